#!/usr/bin/env bash
#SBATCH --job-name=grid
#SBATCH --output=slurm-%A_%a.out
#SBATCH --signal=B:TERM@120
# Any grid as a Slurm array, one cell a task, submitted from the repository's root:
#   sbatch --array=1-24 --gres=gpu:1 --cpus-per-task=8 --time=4:00:00 \
#       grid_search/slurm_array.sh grid_search/supervised_grid_search.sh --device cuda
# A grid with pre-training is two arrays, of ONLY=pretrain and of ONLY=cells; see docs/grids.md.
# At its time limit a task writes a checkpoint; submitting the same again runs what is unfinished.
set -euo pipefail
if (($# == 0)) || [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
    echo "error: usage: sbatch --array=1-24 grid_search/slurm_array.sh GRID [options]" >&2
    exit 2
fi
export CELL=$SLURM_ARRAY_TASK_ID
# Not a thread for each core of the node: the other cores are other tasks'.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_ON_NODE:-1}}
exec bash "$@"
