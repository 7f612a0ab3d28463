# Sourced by the five grids: every combination of their lists is a cell, one run of train.py.
#   OPTIMIZERS LRS BATCH_SIZES RATIOS SEEDS DATA    the lists, each with a default
#   VARY="--weight-decay 0,1e-4 --image-size 32,64"  every combination of these, too
#   PRETRAIN_ARGS="--epochs 100"                    options of the pre-training that RATIOS asks for
#   JOBS=4 DEVICES="cuda:0 cuda:1"                  processes side by side (linear ones on a CPU: one a core), and where
#   DRY_RUN=1                                       print what is left to do, a command a line
#   ONLY=pretrain, ONLY=cells, CELL=7               a part of the grid: for arrays of batch jobs
# Paths, those in PRETRAIN_ARGS too, mean the folder you are in; without any, data/ and results are the repository's.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../paths.sh"

cells() { # MODEL_TYPE: a line a cell: its pre-training's sample ratio or "-", its options
    for seed in ${SEEDS:-0}; do for ratio in ${RATIOS:--}; do
        for optimizer in ${OPTIMIZERS:-sgd adam}; do for lr in ${LRS:-0.1 0.01 0.001}; do
            for batch_size in ${BATCH_SIZES:-128}; do
                echo "$ratio --model-type $1 --data ${DATA:-cifar100} --optimizer $optimizer" \
                    "--lr $lr --batch-size $batch_size --seed $seed"
            done
        done; done
    done; done
}
able() { "$1" -c 'import importlib.util as found, sys; sys.exit(found.find_spec("torch") is None)' 2>/dev/null; }
grid() { # MODEL_TYPE [options of train.py]
    local python=python
    able "$python" || python=${VENV:-$root/.venv}/bin/python
    able "$python" || {
        echo "error: no python on PATH has PyTorch; bash run.sh demo makes .venv, which grids find" >&2; exit 1
    }
    # Not -m grid_search.run: it would take a utils.py in the caller's folder for ours.
    PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" "$root/grid_search/run.py" \
        ${here[@]+"${here[@]}"} "${@:2}" < <(cells "$1")
}
