#!/usr/bin/env bash
# The tests, in the environment that run.sh uses: bash tests/run.sh [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../paths.sh"
source "$root/environment.sh"
cd "$root"
python -m pytest tests --quiet --override-ini=tmp_path_retention_policy=failed "$@"  # checkpoints are large
