# Sourced by run.sh, tests/run.sh and the grids. A path that somebody gives means the folder they are in. What is not
# given is the repository's own wherever they are: `here` goes before a grid's options, and the last one counts.
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if [[ . -ef $root ]]; then
    at='' here=()
else
    at=$root/ here=(--data-dir "$root/data" --output-dir "$root")
fi
