#!/usr/bin/env bash
# The study whose results README.md shows: every run behind res/study/res/*.csv, at the scale of two CPU cores.
# Runs what has no results in res/study/, and resumes what was cut off. DRY_RUN=1 prints the commands that are left.
#   bash grid_search/study.sh [part ...]    the functions at the end; without a name all, in the order of the last line
# Started twice at once, with other parts, it shares the work, a core each:
#   OMP_NUM_THREADS=1 bash grid_search/study.sh simclr simclr_rates simclr_tuned simclr_ratios simclr_seeds
#   OMP_NUM_THREADS=1 bash grid_search/study.sh labels control labels_rates scratch_rates labels_tuned scratch
# Reads data/imagenet (60,000 images of 64 px: 200 classes) and CIFAR-100. res/study/protocol.md says why it is so.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../paths.sh"
export PRETRAIN_ARGS RATIOS SEEDS LRS
# Of each kind of pre-training the scripts' names, the rate to fine-tune at, and its own options
simclr="self_supervised_pretrained 0.05 --lr 3e-4 --epochs 40 --temperature 0.1 --color-strength 0.5"
labels="supervised_pretrained 0.05 --lr 1e-3 --epochs 20"
input="--image-size 96 --start-size 64" # of networks that are trained behind a 7x7 stem
training_seeds=${SEEDS:-0 1 2} # SEEDS=0 for a first look
failed=0

cells() { # SCRIPT [options], with the lists that stand before its call
    "$BASH" "$root/grid_search/$1_grid_search.sh" --output-dir "${at}res/study" "${@:2}" || failed=1
}
linear() { # SCRIPT [options]: the L2 path
    OPTIMIZERS=lbfgs LRS=0.1 BATCH_SIZES=128 cells "$1" --epochs 11 --image-size 128 "${@:2}"
}
network() { # SCRIPT BATCH_SIZE EPOCHS [options]
    OPTIMIZERS=sgd BATCH_SIZES=$2 cells "$1" --epochs "$3" --warmup-epochs 1 --scheduler linear \
        --label-smoothing 0.1 "${@:4}"
}
labelled() { # SCRIPT RATE EPOCHS [options]: a network on all labels, on a tenth of them, and on a hundredth
    local SEEDS=$training_seeds
    LRS=$2 network "$1" 128 "${@:3}"
    LRS=$(part_of "$2" 2) network "$1" 64 30 --label-ratio 0.1 "${@:4}"
    LRS=$(part_of "$2" 4) network "$1" 32 100 --label-ratio 0.01 "${@:4}"
}
part_of() { # RATE TIMES: the rate of a batch so many times smaller
    awk "BEGIN { print $1 / $2 }"
}
tried() { # SCRIPT [options]: the rates, in a third of the steps
    LRS="0.03 0.1 0.3" SEEDS=0 network "$1" 128 4 $input "${@:2}"
}
pretraining() { # its own options
    PRETRAIN_ARGS="--image-size 64 --start-size 32 --stem 7x7 --batch-size 128 --optimizer adam --crop-scale 0.25 \
        --knn-data cifar100 --knn-every 5 $*"
}

full() { # of all images
    pretraining "${@:3}"
    RATIOS=1.0 SEEDS=0 linear "$1" # the same for every seed
    RATIOS=1.0 SEEDS="0 1 2" linear "$1" --label-ratio 0.1
    RATIOS=1.0 SEEDS="0 1 2" linear "$1" --label-ratio 0.01
}
rates() {
    pretraining "${@:3}"
    RATIOS=1.0 tried "$1_finetune"
}
tuned() {
    pretraining "${@:3}"
    RATIOS=1.0 labelled "$1_finetune" "$2" 12 $input
}
ratios() { # of a part of the images
    pretraining "${@:3}"
    RATIOS="0.1 0.3 0.5" SEEDS=0 linear "$1"
    RATIOS=0.1 SEEDS="0 1 2" LRS=$2 network "$1_finetune" 128 12 $input
    RATIOS="0.3 0.5" SEEDS=0 LRS=$2 network "$1_finetune" 128 12 $input
}
seeds() { # of other seeds of pre-training
    pretraining "${@:3}" --seed 1
    RATIOS="0.1 1.0" SEEDS=0 linear "$1"
    RATIOS="0.1 1.0" SEEDS=0 LRS=$2 network "$1_finetune" 128 12 $input
    pretraining "${@:3}" --seed 2
    RATIOS=0.1 SEEDS=0 linear "$1"
    RATIOS=0.1 SEEDS=0 LRS=$2 network "$1_finetune" 128 12 $input
}
scratch() { # the same network, and at its own best
    RATIOS='' labelled supervised 0.1 12 --stem 7x7 $input
    RATIOS='' labelled supervised 0.2 18 --start-size 16
}
control() {
    RATIOS='' SEEDS="0 1 2" linear supervised --model-type Untrained --stem 7x7
}

simclr() { full $simclr; }
simclr_rates() { rates $simclr; }
simclr_tuned() { tuned $simclr; }
simclr_ratios() { ratios $simclr; }
simclr_seeds() { seeds $simclr; }
labels() { full $labels; }
labels_rates() { rates $labels; }
labels_tuned() { tuned $labels; }
labels_ratios() { ratios $labels; }
labels_seeds() { seeds $labels; }
scratch_rates() { RATIOS='' tried supervised --stem 7x7; }
parts="simclr labels control simclr_rates labels_rates scratch_rates simclr_tuned labels_tuned scratch"
parts+=" simclr_ratios labels_ratios simclr_seeds labels_seeds"
for name in ${*:-$parts}; do
    [[ " $parts " == *" $name "* ]] || { echo "error: no part $name of $parts" >&2; exit 2; }
done
for name in ${*:-$parts}; do "$name"; done
exit "$failed"
