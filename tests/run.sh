#!/usr/bin/env bash
# The tests, in the environment that run.sh uses: bash tests/run.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ./environment.sh
python -m pytest tests --quiet --override-ini=tmp_path_retention_policy=failed "$@"  # checkpoints are large
