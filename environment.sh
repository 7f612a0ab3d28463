# Sourced by run.sh and tests/run.sh: makes the virtual environment once and puts its python first on PATH.
# VENV=folder uses or makes another one.
VENV=${VENV:-.venv}
if ! cmp -s requirements.txt "$VENV/requirements.installed"; then
    echo "installing requirements.txt into $VENV (once; PyTorch is a few gigabytes)"
    "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
        || { echo "error: Python 3.10 or newer is needed; name one with PYTHON=..." >&2; exit 1; }
    "${PYTHON:-python3}" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt "$VENV/requirements.installed"
fi
PATH=$(cd "$VENV/bin" && pwd):$PATH
