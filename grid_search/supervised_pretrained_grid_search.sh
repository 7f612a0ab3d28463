#!/usr/bin/env bash
# Linear on ImageNet weights: 2 optimizers x 3 learning rates, 6 cells.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
grid SupervisedPretrained "$@"
