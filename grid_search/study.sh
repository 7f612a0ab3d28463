#!/usr/bin/env bash
# The study whose results README.md shows: every run behind res/*.csv, at the scale of two CPU cores.
# Runs what is missing, and resumes what was cut off. DRY_RUN=1 prints the commands that are left.
#   bash grid_search/study.sh [part ...]    pretrain linear finetune labels; all of them without a name
# Reads data/imagenet (60,000 images of 64 px: 200 classes) and CIFAR-100; see res/README.md.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export RATIOS="0.1 0.3 0.5 1.0" LRS OPTIMIZERS BATCH_SIZES=64
pretraining="--image-size 32 --stem 7x7 --batch-size 64 --optimizer adam --lr 1e-3 --knn-data cifar100"
without_labels="$pretraining --epochs 6 --temperature 0.1 --crop-scale 0.5 --knn-every 3"
with_labels="$pretraining --epochs 5 --crop-scale 0.25"
failed=0
self_supervised() { PRETRAIN_ARGS=$without_labels bash "self_supervised_pretrained${1}_grid_search.sh" "${@:2}" || failed=1; }
supervised() { PRETRAIN_ARGS=$with_labels bash "supervised_pretrained${1}_grid_search.sh" "${@:2}" || failed=1; }
scratch() { RATIOS='' bash supervised_grid_search.sh --stem 7x7 --image-size 32 "$@" || failed=1; }

pretrain() {
    OPTIMIZERS=adam LRS=0.003
    ONLY=pretrain self_supervised ''
    ONLY=pretrain supervised ''
}
linear() { # three seeds of the classifier and of what is held out, on one backbone a ratio
    OPTIMIZERS=adam LRS=0.003
    SEEDS="0 1 2" self_supervised '' --epochs 20
    SEEDS="0 1 2" supervised '' --epochs 20
}
finetune() {
    OPTIMIZERS=adam LRS=0.001
    for seed in 0 1 2; do
        SEEDS=$seed scratch --epochs 3
        SEEDS=$seed RATIOS="1.0 0.1" self_supervised _finetune --epochs 3
        SEEDS=$seed RATIOS="1.0 0.1" supervised _finetune --epochs 3
    done
}
labels() {
    export RATIOS=1.0
    for seed in 0 1 2; do for few in "0.1 5" "0.01 8"; do
        local options=(--label-ratio "${few% *}" --epochs "${few#* }")
        OPTIMIZERS=adam LRS=0.001 BATCH_SIZES=32
        SEEDS=$seed scratch "${options[@]}"
        SEEDS=$seed self_supervised _finetune "${options[@]}"
        SEEDS=$seed supervised _finetune "${options[@]}"
        OPTIMIZERS=adam LRS=0.003
        SEEDS=$seed self_supervised '' "${options[@]}"
        SEEDS=$seed supervised '' "${options[@]}"
    done; done
}
for part in "${@:-pretrain linear finetune labels}"; do for name in $part; do "$name"; done; done
exit "$failed"
