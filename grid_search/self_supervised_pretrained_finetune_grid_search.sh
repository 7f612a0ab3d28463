#!/usr/bin/env bash
# SimCLR fine-tuned: 4 sample ratios x 2 optimizers x 3 learning rates, 24 cells.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
RATIOS=${RATIOS-0.1 0.3 0.5 1.0}
grid SelfSupervisedPretrainedFinetune "$@"
