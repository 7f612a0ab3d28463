#!/usr/bin/env bash
#SBATCH --job-name=grid
#SBATCH --output=slurm-%A_%a.out
#SBATCH --signal=B:TERM@120
# Any grid as a Slurm array, one cell a task, submitted from the repository's root:
#   sbatch --array=1-24 --gres=gpu:1 --time=4:00:00 \
#       grid_search/slurm_array.sh grid_search/supervised_grid_search.sh --device cuda
# At its time limit a task writes a checkpoint; submitting the same again runs what is unfinished.
set -euo pipefail
if (($# == 0)) || [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
    echo "error: usage: sbatch --array=1-24 grid_search/slurm_array.sh GRID [options]" >&2
    exit 2
fi
export CELL=$SLURM_ARRAY_TASK_ID
exec bash "$@"
