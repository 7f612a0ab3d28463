#!/usr/bin/env bash
# The study whose results README.md shows: every run behind res/study/res/*.csv, at the scale of two CPU cores.
# Runs what has no results in res/study/, and resumes what was cut off. DRY_RUN=1 prints the commands that are left.
#   bash grid_search/study.sh [part ...]    scratch supervised self_supervised; all of them without a name
# Started twice at once, with its parts in another order, it shares the work:
#   OMP_NUM_THREADS=1 bash grid_search/study.sh self_supervised
#   OMP_NUM_THREADS=1 bash grid_search/study.sh scratch supervised self_supervised
# Four hours of epochs.
# Reads data/imagenet (60,000 images of 64 px: 200 classes) and CIFAR-100; see res/study/README.md.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../paths.sh"
export OPTIMIZERS=adam PRETRAIN_ARGS
pretraining="--image-size 32 --stem 7x7 --batch-size 64 --optimizer adam --knn-data cifar100"
failed=0

cells() { # SCRIPT LR BATCH_SIZE RATIOS EPOCHS [options]: three seeds of training, and of what is held out
    LRS=$2 BATCH_SIZES=$3 RATIOS=$4 SEEDS="0 1 2" "$BASH" \
        "$root/grid_search/$1_grid_search.sh" --output-dir "${at}res/study" --epochs "$5" "${@:6}" || failed=1
}
trained() { # SCRIPT RATIOS [options]: the whole network, from all labels and from few
    cells "$1" 0.001 64 "$2" 3 "${@:3}"
    cells "$1" 0.001 32 "$2" 10 --label-ratio 0.1 "${@:3}"
    cells "$1" 0.001 32 "$2" 20 --label-ratio 0.01 "${@:3}"
}
linear() { # SCRIPT: one backbone a ratio
    cells "$1" 0.003 64 "1.0 0.1 0.3 0.5" 20
    cells "$1" 0.003 32 1.0 10 --label-ratio 0.1
    cells "$1" 0.003 32 1.0 20 --label-ratio 0.01
}
pretrained() { # SCRIPT without its ending
    linear "$1"
    trained "$1_finetune" 1.0
    cells "$1_finetune" 0.001 64 0.1 3
}
scratch() { trained supervised '' --stem 7x7 --image-size 32; }
supervised() {
    PRETRAIN_ARGS="$pretraining --lr 1e-3 --epochs 5 --crop-scale 0.25"
    pretrained supervised_pretrained
}
self_supervised() {
    PRETRAIN_ARGS="$pretraining --lr 3e-4 --epochs 20 --temperature 0.1 --crop-scale 0.5 --knn-every 5"
    pretrained self_supervised_pretrained
}
for part in "${@:-scratch supervised self_supervised}"; do for name in $part; do "$name"; done; done
exit "$failed"
