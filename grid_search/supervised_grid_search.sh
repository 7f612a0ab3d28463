#!/usr/bin/env bash
# From scratch: 2 optimizers x 3 learning rates x 4 batch sizes, 24 cells.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
BATCH_SIZES=${BATCH_SIZES:-32 64 128 256}
grid Supervised "$@"
