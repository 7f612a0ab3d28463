#!/usr/bin/env bash
# All five methods with the settings of conf/best.yaml, pre-training first where no checkpoint exists.
#   bash run.sh [options]        CIFAR-100, pre-trained on data/imagenet
#   bash run.sh demo [options]   a few minutes on two cores: scikit-learn's digits, offline
# Options are those of train.py; pre-training takes part in those that utils.py shares with it. Their paths mean the folder you are
# in; without any, data/ and results are those of the repository.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
for word; do # before anything is installed, and not into the plan below
    case $word in -h | --help) sed -n 's/^# //p' "$root/run.sh"; exit ;; esac
done
source "$root/environment.sh"

data=cifar100 source=imagenet
if [[ ${1:-} == demo ]]; then data=digits source=digits; shift; fi

plan() { # DATA [options]: assignments, see there
    PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} python - "$@" <<'PY'
from grid_search.settings import main
main()
PY
}
both=() assignments=$(plan "$data" ${here[@]+"${here[@]}"} "$@")
eval "$assignments" # sets output_dir, both and row_<model type>; wrong options have ended it
settings() { # MODEL_TYPE: its row of conf/best.yaml as options
    local row=row_$1
    echo "${!row:-}"
}
newest() { # MODEL_TYPE: its checkpoint written last, nothing if there is none
    ls -t "$output_dir/checkpoint/$1/$source"-*/last.pth 2>/dev/null | head -n 1 || true
}
pretrain() { # MODEL_TYPE: makes its checkpoint where there is none, and names it in $weights
    if [[ -z $(newest "$1") ]]; then
        # The form with + is for bash before 4.4, of every Mac, to which an empty array is an unbound variable.
        python "${at}pretrain.py" --model_type "$1" $(settings "$1") ${both[@]+"${both[@]}"}
    fi
    weights=(--pretrained-model-path "$(newest "$1")")
}
train() { # MODEL_TYPE [options]
    python "${at}train.py" --model-type "$1" --data "$data" $(settings "$1") ${here[@]+"${here[@]}"} "${@:2}"
}

pretrain SelfSupervisedPretraining
train SelfSupervisedPretrained ${weights[@]+"${weights[@]}"} "$@"
train SelfSupervisedPretrainedFinetune ${weights[@]+"${weights[@]}"} "$@"
weights=()
if [[ $data == digits ]]; then # offline: with labels on the same images, not the ImageNet weights
    pretrain SupervisedPretraining
fi
train SupervisedPretrained ${weights[@]+"${weights[@]}"} "$@"
train SupervisedPretrainedFinetune ${weights[@]+"${weights[@]}"} "$@"
train Supervised "$@"
python "${at}report.py" --data "$data" --res "$output_dir/res"
