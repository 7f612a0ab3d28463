# Sourced by run.sh and tests/run.sh after paths.sh: makes the virtual environment once and puts its python first on
# PATH.
# VENV=folder uses or makes another one.
VENV=${VENV:-$root/.venv}
if [[ -n $(ls -A "$VENV" 2> /dev/null) && ! -e $VENV/pyvenv.cfg ]]; then
    echo "error: $VENV is no virtual environment (of conda, say); VENV=... names another folder" >&2
    exit 1
fi
if ! cmp -s "$root/requirements.txt" "$VENV/requirements.installed"; then
    echo "installing requirements.txt into $VENV (once; PyTorch is a few gigabytes)"
    "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
        || { echo "error: Python 3.10 or newer is needed; name one with PYTHON=..." >&2; exit 1; }
    "${PYTHON:-python3}" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$root/requirements.txt" \
        || { echo "error: requirements.txt could not be installed into $VENV, see above;" \
            "PYTHON=... names another Python, VENV=... another folder" >&2; exit 1; }
    cp "$root/requirements.txt" "$VENV/requirements.installed"
fi
if ! "$VENV/bin/python" -c 'import numpy'; then
    way="delete $VENV to have it made anew${PYTHONPATH:+, or unset PYTHONPATH, whose packages go before its own}"
    echo "error: $VENV/bin/python does not work, see above; $way" >&2
    exit 1
fi
PATH=$(CDPATH='' cd -- "$VENV/bin" && pwd):$PATH
