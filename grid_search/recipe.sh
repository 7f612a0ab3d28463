#!/usr/bin/env bash
# How the study's recipe was found: changes of it, each in a folder of its own, res/study/recipe/<change>, with the
# CSVs behind the tables of res/study/README.md. Runs what has no results, and resumes what was cut off.
#   JOBS=2 OMP_NUM_THREADS=1 bash grid_search/recipe.sh [change ...]    all of them without a name
# finetune and linear start from the weights of labels, tuned from those of growing-labels: name these first. Reads what
# study.sh reads, 18,000 of the ImageNet images.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../paths.sh"
pretraining="--image-size 32 --stem 7x7 --batch-size 64 --optimizer adam --lr 1e-3 --knn-data cifar100"

changes() { # name, function below, options
    cat <<'END'
labels                  labels
labels-seed1            labels        --seed 1
labels-seed2            labels        --seed 2
labels-lr3e-4           labels        --lr 3e-4
labels-lr3e-3           labels        --lr 3e-3
labels-crop0.08         labels        --crop-scale 0.08
labels-crop0.5          labels        --crop-scale 0.5
labels-lr3e-4-crop0.5   labels        --lr 3e-4 --crop-scale 0.5
labels-64px             labels        --image-size 64
simclr                  simclr
simclr-seed1            simclr        --seed 1
simclr-seed2            simclr        --seed 2
simclr-temp0.05         simclr        --temperature 0.05
simclr-temp0.2          simclr        --temperature 0.2
simclr-temp0.5          simclr        --temperature 0.5
simclr-crop0.08         simclr        --crop-scale 0.08
simclr-crop0.25         simclr        --crop-scale 0.25
simclr-crop0.75         simclr        --crop-scale 0.75
simclr-lr1e-4           simclr        --lr 1e-4
simclr-lr3e-4           simclr        --lr 3e-4
simclr-lr3e-4-seed1     simclr        --lr 3e-4 --seed 1
simclr-lr3e-4-crop0.25  simclr        --lr 3e-4 --crop-scale 0.25
simclr-lr3e-3           simclr        --lr 3e-3
simclr-sgd              simclr        --optimizer sgd --lr 0.05
simclr-bs32             simclr        --batch-size 32
simclr-bs128            simclr        --batch-size 128
simclr-64px             simclr        --image-size 64
simclr-3x3              simclr        --stem 3x3
scratch                 scratch
scratch-lr3e-4          scratch       --lr 3e-4
scratch-lr3e-3          scratch       --lr 3e-3
scratch-sgd             scratch       --optimizer sgd --lr 0.05
scratch-smoothing       scratch       --label-smoothing 0.1
scratch-decay           scratch       --weight-decay 5e-3
scratch-64px            scratch       --image-size 64
scratch-3x3             scratch       --stem 3x3
finetune                finetune
finetune-lr3e-4         finetune      --lr 3e-4
finetune-lr3e-3         finetune      --lr 3e-3
finetune-sgd            finetune      --optimizer sgd --lr 0.05
finetune-smoothing      finetune      --label-smoothing 0.1
finetune-decay          finetune      --weight-decay 5e-3
finetune-all            finetune_all
finetune-all-lr3e-4     finetune_all  --lr 3e-4
linear-lr1e-3           linear        --lr 1e-3
linear-lr1e-2           linear        --lr 1e-2
linear-sgd              linear        --optimizer sgd --lr 0.1
growing                 growing
growing-temp0.2         growing       --temperature 0.2
growing-lr1e-3          growing       --lr 1e-3
growing-color0.5        growing       --color-strength 0.5
growing-linear-96px     growing_linear --image-size 96
growing-linear-128px    growing_linear --image-size 128
growing-labels          growing_labels
growing-labels-sgd      growing_labels --optimizer sgd --lr 0.1 --weight-decay 5e-4
tuned-64px              tuned         --image-size 64 --start-size 32
tuned-96px              tuned         --image-size 96 --start-size 64
tuned-128px             tuned         --image-size 128 --start-size 64
short                   short_seeds
short-lr0.1             short         --lr 0.1
short-lr0.4             short         --lr 0.4
short-bs256             short         --lr 0.4 --batch-size 256
short-bs512             short         --lr 0.8 --batch-size 512
short-cosine            short         --scheduler cosine
short-smoothing0        short         --label-smoothing 0
short-decay1e-3         short         --weight-decay 1e-3
END
}
cell() { # SCRIPT [options]: one, without a list
    OPTIMIZERS=${OPTIMIZERS:-adam} "$BASH" "$root/grid_search/$1_grid_search.sh" \
        --output-dir "${at}res/study/recipe/$change" "${@:2}"
}
few() { LRS=0.001 BATCH_SIZES=32 RATIOS='' cell "$@" --label-ratio 0.1 --epochs 10; }
probe() { LRS=0.003 BATCH_SIZES=64 cell "$@" --epochs 20; }
base() { # [CHANGE KIND]: the weights of labels, or of another: the only ones there, or where they will be
    local folder="${at}res/study/recipe/${1:-labels}/checkpoint/${2:-SupervisedPretraining}" found
    found=("$folder"/*/last.pth)
    if [[ ${#found[@]} == 1 && ( -f ${found[0]} || -n ${DRY_RUN:-} ) ]]; then
        echo "${found[0]}"
    else
        echo "error: expected one last.pth below $folder: the change ${1:-labels} makes it" >&2
        return 1
    fi
}

# Pre-training with these options, and a linear classifier on it
simclr() {
    RATIOS=0.3 PRETRAIN_ARGS="$pretraining --epochs 4 --temperature 0.1 --crop-scale 0.5 $*" \
        probe self_supervised_pretrained
}
labels() { RATIOS=0.3 PRETRAIN_ARGS="$pretraining --epochs 5 --crop-scale 0.25 $*" probe supervised_pretrained; }
# Training with these options, after pre-training with labels or without
scratch() { few supervised --stem 7x7 --image-size 32 "$@"; }
finetune() {
    local weights; weights=$(base) && few supervised_pretrained_finetune --pretrained-model-path "$weights" "$@"
}
finetune_all() {
    local weights; weights=$(base) && LRS=0.001 BATCH_SIZES=64 RATIOS='' \
        cell supervised_pretrained_finetune --pretrained-model-path "$weights" --epochs 3 "$@"
}
# The same at 64 px, from half of that on, and the classifier's L2 path
grown() { # SCRIPT EPOCHS [options]
    RATIOS=0.3 PRETRAIN_ARGS="--image-size 64 --start-size 32 --stem 7x7 --batch-size 128 --knn-data cifar100 \
        --crop-scale 0.25 --epochs $2 --optimizer adam ${*:3}" \
        OPTIMIZERS=lbfgs LRS=0.1 BATCH_SIZES=128 cell "$1" --epochs 11
}
growing() { grown self_supervised_pretrained 12 --lr 3e-4 --temperature 0.1 "$@"; }
growing_linear() {
    local weights; weights=$(base growing SelfSupervisedPretraining) && OPTIMIZERS=lbfgs LRS=0.1 BATCH_SIZES=128 \
        RATIOS='' cell self_supervised_pretrained --pretrained-model-path "$weights" --epochs 11 "$@"
}
growing_labels() { grown supervised_pretrained 10 --lr 1e-3 "$@"; }
tuned() { # on all labels, from growing-labels
    local weights; weights=$(base growing-labels) && OPTIMIZERS=sgd LRS=0.05 BATCH_SIZES=128 RATIOS='' \
        cell supervised_pretrained_finetune --pretrained-model-path "$weights" --epochs 4 --warmup-epochs 1 \
        --scheduler linear --label-smoothing 0.1 "$@"
}
# From scratch in few epochs
short() {
    OPTIMIZERS=sgd LRS=0.2 BATCH_SIZES=128 RATIOS='' cell supervised --stem 7x7 --image-size 32 \
        --epochs 6 --warmup-epochs 1 --scheduler linear --label-smoothing 0.1 "$@"
}
short_seeds() { SEEDS="0 1 2" short "$@"; }
linear() {
    local weights; weights=$(base) && RATIOS='' probe supervised_pretrained --pretrained-model-path "$weights" "$@"
}

for name in "$@"; do
    [[ $'\n'$(changes) == *$'\n'"$name "* ]] || { echo "error: no change $name" >&2; exit 2; }
done
run() { # name, function, options
    if [[ " ${only:-$1} " == *" $1 "* ]]; then change=$1 JOBS=1 "${@:2}"; fi
}
export only="$*" pretraining root at
export -f base cell few probe simclr labels scratch finetune finetune_all linear grown growing growing_linear
export -f growing_labels tuned short short_seeds run
changes | xargs -P "${JOBS:-1}" -L 1 "$BASH" -c 'run "$@" || exit 1' recipe
