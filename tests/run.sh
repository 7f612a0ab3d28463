#!/usr/bin/env bash
# The tests, on all cores, in the environment that run.sh uses: bash tests/run.sh [FILE[::TEST] ...] [pytest arguments]
#   SOAK=1 bash tests/run.sh      with what takes long: three processes, real cells, many kills and examples
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../paths.sh"
source "$root/environment.sh"
tests=tests
for word; do # where files are named, or tests in them, these alone
    shift
    if [[ $word == [!-]*[/.]* && -e ${word%%::*} ]]; then
        tests=''
        [[ $word == /* ]] || word=$PWD/$word
    fi
    set -- "$@" "$word"
done
cd "$root"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # each of the processes would start a thread a core
cores=$(python -c 'from data.packing import cores; print(cores())')
# What passes leaves no folder: checkpoints are large.
python -m pytest ${tests:+"$tests"} --quiet --numprocesses "$cores" --dist worksteal \
    --override-ini=tmp_path_retention_policy=failed "$@"
