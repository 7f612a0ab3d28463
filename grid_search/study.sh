#!/usr/bin/env bash
# The study whose results README.md shows: every run behind res/study/res/*.csv; those by which rates were chosen,
# on pre-trainings of their own, in rates/ there; what a larger budget gives, in longer/; 20 epochs of labels, in half/.
# Runs what has no results there, and resumes what was cut off. DRY_RUN=1 prints the commands that are left,
# DEVICES=cuda runs them on a GPU.
#   bash grid_search/study.sh [part ...]    the functions at the end; without a name all of `parts`, in that order
# SEEDS (0 1 2): of pre-training, and of what is trained on it. Started several times at once, with other parts or
# seeds, it shares the work, on two cores with one each:
#   OMP_NUM_THREADS=1 bash grid_search/study.sh simclr simclr_tuned simclr_ratios
#   OMP_NUM_THREADS=1 bash grid_search/study.sh labels control labels_tuned scratch scratch_best labels_ratios
# Reads data/imagenet (60,000 images of 64 px: 200 classes) and CIFAR-100. res/study/protocol.md says why it is so.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../paths.sh"
export PRETRAIN_ARGS RATIOS SEEDS LRS
seeds=${SEEDS:-0 1 2}
# The grid script of each kind of training, the rates for all labels, for a tenth and for a hundredth, its own options
simclr="self_supervised_pretrained 0.3,0.01,0.01 --temperature 0.1 --color-strength 0.5 --optimizer adam"
longer="$simclr --lr 4e-4 --batch-size 256 --epochs 120" # three times the views
simclr+=" --lr 3e-4 --batch-size 128 --epochs 40"
# Of labels, as they were first
half="supervised_pretrained 0.1,0.03,0.03 --optimizer adam --lr 1e-3 --batch-size 128 --epochs 20"
labels="supervised_pretrained 0.1,0.03,0.01 --optimizer sgd --lr 0.1 --batch-size 128 --weight-decay 5e-4 --epochs 40"
input="--image-size 96 --start-size 64" # of networks that are trained behind a 7x7 stem
same="supervised 0.3,0.03,0.01 --stem 7x7 $input"
best="supervised 0.2+0.4,0.1+0.2,0.03 --start-size 16" # of two rates the one that is better with three seeds
folder=res/study # of the results
failed=0

cells() { # SCRIPT [options], with the lists that stand before its call
    "$BASH" "$root/grid_search/$1_grid_search.sh" --output-dir "$at$folder" "${@:2}" || failed=1
}
linear() { # SCRIPT [options]: the L2 path
    OPTIMIZERS=lbfgs LRS=0.1 BATCH_SIZES=128 cells "$1" --epochs 11 --image-size 128 "${@:2}"
}
linear_few() { # SCRIPT [options]: with a tenth of the labels, and with a hundredth
    SEEDS="0 1 2" linear "$1" --label-ratio 0.1 "${@:2}"
    SEEDS="0 1 2" linear "$1" --label-ratio 0.01 "${@:2}"
}
network() { # SCRIPT RATE BATCH_SIZE EPOCHS [options]
    OPTIMIZERS=sgd LRS=$2 BATCH_SIZES=$3 cells "$1" --epochs "$4" --warmup-epochs 1 --scheduler linear \
        --label-smoothing 0.1 "${@:5}"
}
labelled() { # SCRIPT RATE,RATE,RATE [options]: a network on all labels, on a tenth of them, and on a hundredth
    local rates
    IFS=, read -ra rates <<< "${2//+/ }" # several of a kind have a plus between them
    network "$1" "${rates[0]}" 128 18 "${@:3}"
    network "$1" "${rates[1]}" 64 30 --label-ratio 0.1 "${@:3}"
    network "$1" "${rates[2]}" 32 100 --label-ratio 0.01 "${@:3}"
}
tried() { # SCRIPT RATES [options]: which rate is best, in two ninths of the steps
    network "$1" "$2" 128 4 "${@:3}"
}
tried_few() { # SCRIPT [options]: which is best with a tenth of the labels, and with a hundredth
    network "$1" "0.01 0.03 0.1" 64 30 --label-ratio 0.1 "${@:2}"
    network "$1" "0.01 0.03 0.1" 32 100 --label-ratio 0.01 "${@:2}"
}
pretraining() { # SEED [its own options]
    [[ -e ${at}data/imagenet ]] || { echo "error: no images at ${at}data/imagenet" >&2; exit 1; }
    PRETRAIN_ARGS="--image-size 64 --start-size 32 --stem 7x7 --crop-scale 0.25 --knn-data cifar100 --knn-every 5"
    PRETRAIN_ARGS+=" ${*:2}"
    [[ $1 == 0 ]] || PRETRAIN_ARGS+=" --seed $1"
    SEEDS=$1
}

full() { # SCRIPT RATES [its own options]: of all images, and linear classifiers on it
    for seed in $seeds; do
        pretraining "$seed" "${@:3}"
        RATIOS=1.0 linear "$1"
        RATIOS=1.0 linear_few "$1"
    done
}
rates() {
    pretraining 0 "${@:3}"
    RATIOS=1.0 tried "$1_finetune" "0.03 0.1 0.3" $input
}
rates_at_length() { # SEED SCRIPT RATES [its own options]: the two that these do not tell apart, in all of the steps
    pretraining "$1" "${@:4}"
    RATIOS=1.0 network "$2_finetune" "0.1 0.3" 128 18 $input
}
rates_few() { # SEED SCRIPT RATES [its own options]
    pretraining "$1" "${@:4}"
    RATIOS=1.0 tried_few "$2_finetune" $input
}
tuned() {
    for seed in $seeds; do
        pretraining "$seed" "${@:3}"
        RATIOS=1.0 labelled "$1_finetune" "$2" $input
    done
}
ratios() { # of a part of the images
    for seed in $seeds; do
        pretraining "$seed" "${@:3}"
        RATIOS=0.1 linear "$1"
    done
    pretraining 0 "${@:3}"
    RATIOS="0.3 0.5" linear "$1"
}
from_scratch() { # SCRIPT RATES [options]
    RATIOS='' SEEDS=$seeds labelled "$@"
}
control() {
    RATIOS='' SEEDS=$seeds linear supervised --model-type Untrained --stem 7x7
    RATIOS='' linear_few supervised --model-type Untrained --stem 7x7
}

simclr() { full $simclr; }
simclr_rates() {
    local folder=res/study/rates
    rates $simclr
    rates_at_length 0 $simclr
    rates_few 1 $simclr
}
simclr_tuned() { tuned $simclr; }
simclr_ratios() { ratios $simclr; }
labels_half() {
    local folder=res/study/half seeds=0
    full $half
    rates $half
    tuned $half
}
labels() { full $labels; }
labels_rates() {
    local folder=res/study/rates
    rates_at_length 1 $labels
    rates_few 1 $labels
}
labels_tuned() { tuned $labels; }
labels_ratios() { ratios $labels; }
scratch_rates() {
    local folder=res/study/rates
    export RATIOS='' SEEDS=0
    tried supervised "0.03 0.1 0.3" --stem 7x7 $input
    tried_few supervised --stem 7x7 $input
}
scratch_best_rates() {
    local folder=res/study/rates
    export RATIOS='' SEEDS=0
    tried supervised "0.1 0.2 0.4" --start-size 16
    tried_few supervised --start-size 16
}
scratch() { from_scratch $same; } # the network of the other rows
scratch_best() { from_scratch $best; } # at its own best
simclr_longer() {
    local folder=res/study/longer seeds=0
    full $longer
    tuned $longer
}
scratch_longer() { # the curve of accuracy over budget, whose 18 epochs are above
    local folder=res/study/longer
    RATIOS='' SEEDS=$seeds network supervised 0.2 128 36 --start-size 16
    RATIOS='' SEEDS=0 network supervised 0.2 128 9 --start-size 16
    RATIOS='' SEEDS=0 network supervised 0.2 128 72 --start-size 16
}
parts="simclr labels_half labels control simclr_rates labels_rates scratch_rates scratch_best_rates simclr_tuned"
parts+=" labels_tuned scratch scratch_best simclr_ratios labels_ratios simclr_longer scratch_longer"
for name in ${*:-$parts}; do
    [[ " $parts " == *" $name "* ]] || { echo "error: no part $name of $parts" >&2; exit 2; }
done
for name in ${*:-$parts}; do "$name"; done
exit "$failed"
