#!/usr/bin/env bash
# Do the programs here write what they wrote at another commit? Both pre-trainings and all five methods, on some of the
# digits and, with a data folder that holds imagenet/ and cifar100/, on some of those images; the CSVs must be the same
# but for times.
#   bash tests/same_numbers.sh COMMIT [DATA_DIR]        status 0: the same
# KNN=1 compares the kNN accuracies, too.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../paths.sh"
source "$root/environment.sh"
commit=${1:?usage: bash tests/same_numbers.sh COMMIT [DATA_DIR]} images=${2:+$(cd "$2" && pwd)}
there=$(mktemp -d); trap 'git -C "$root" worktree remove --force "$there/code"; rm -rf "$there"' EXIT
git -C "$root" worktree add --quiet --detach "$there/code" "$commit"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

runs() { # CODE OUT DATA SOURCE DATA_DIR [options]: one epoch or two of everything
    local code=$1 out=$2 data=$3 source=$4 kind weights
    local options=(--epochs 2 --data-dir "$5" --output-dir "$2" --amp off --image-size 16 "${@:6}")
    local few=(--data "$data" --label-ratio 0.5 --batch-size 8 ${options[@]+"${options[@]}"})
    for kind in SelfSupervisedPretraining SupervisedPretraining; do
        python "$code/pretrain.py" --model-type "$kind" --data "$source" --sample-ratio 0.02 --batch-size 16 \
            --lr 1e-3 --stem 7x7 --knn-every 1 ${options[@]+"${options[@]}"}
    done
    for kind in SelfSupervised Supervised; do
        weights=$(echo "$out/checkpoint/${kind}Pretraining/"*/last.pth)
        python "$code/train.py" --model-type "${kind}Pretrained" --pretrained-model-path "$weights" \
            --optimizer adam --lr 1e-3 ${few[@]+"${few[@]}"}
        python "$code/train.py" --model-type "${kind}PretrainedFinetune" --pretrained-model-path "$weights" \
            --lr 0.001 ${few[@]+"${few[@]}"}
    done
    python "$code/train.py" --model-type Supervised --lr 0.001 ${few[@]+"${few[@]}"}
}
said() { "$@" >"$there/log" 2>&1 || { tail -n 3 "$there/log"; exit 1; }; } # a command's last lines where it fails
for side in code here; do
    place=$root; [[ $side == here ]] || place=$there/code
    said runs "$place" "$there/$side-digits" digits digits "$there/none"
    [[ -z $images ]] || said runs "$place" "$there/$side-images" cifar100 imagenet "$images"
done
python - "$there" "${KNN:-}" <<'PY'
import csv
import sys
from pathlib import Path
there, differ, count = Path(sys.argv[1]), 0, 0
left_out = {"images_per_second", "seconds", *([] if sys.argv[2] else ["knn_accuracy"])}
for path in sorted(there.glob("code-*/res/*.csv")):
    other = there / path.parts[len(there.parts)].replace("code-", "here-") / "res" / path.name
    sides = [[{k: v for k, v in row.items() if k not in left_out} for row in csv.DictReader(open(side))]
             for side in (path, other)]
    count, differ = count + 1, differ + (sides[0] != sides[1])
    print("same  " if sides[0] == sides[1] else "DIFFER", path.relative_to(there))
print(f"{count} CSVs, {differ} differ")
raise SystemExit(differ > 0 or not count)
PY
