#!/usr/bin/env bash
# All five methods with the settings of conf/best.yaml, pre-training first where no checkpoint exists.
#   bash run.sh [options]        CIFAR-100, pre-trained on data/imagenet
#   bash run.sh demo [options]   a few minutes on two cores: scikit-learn's digits, offline
# Options are those of train.py; pre-training takes part in the ones listed in $shared. Their paths mean the folder you are in;
# without any, data/ and results are those of the repository.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
source "$root/environment.sh"

data=cifar100 source=imagenet
if [[ ${1:-} == demo ]]; then data=digits source=digits; shift; fi

shared=(device epochs seed amp workers arch data-dir store-dir output-dir max-bad-images checkpoint-minutes)
# The form with + is for bash before 4.4, of every Mac, to which an empty array is an unbound variable.
both=(${here[@]+"${here[@]}"}) output_dir=${at%/} output_dir=${output_dir:-.}
for ((i = 1; i <= $#; i++)); do
    option=${!i}
    [[ $option == --*=* ]] && value=${option#*=} || value=${@:i + 1:1}
    name=${option#--} name=${name%%=*} name=${name//_/-}
    if [[ $option == --* && " ${shared[*]} " == *" $name "* ]]; then both+=("--$name" "$value"); fi
    if [[ $option == --output?dir* ]]; then output_dir=$value; fi
done
if [[ $output_dir == '~'* ]]; then # no shell expands it after =; the programs do
    output_dir=$(python -c 'import os, sys; print(os.path.expanduser(sys.argv[1]))' "$output_dir")
fi

settings() { # MODEL_TYPE: its row of conf/best.yaml as options
    python - "$data" "$1" "$root/conf/best.yaml" <<'PY'
import sys
import yaml
row = yaml.safe_load(open(sys.argv[3], encoding="utf-8"))[sys.argv[1]].get(sys.argv[2], {})
print(" ".join(f"--{name} {value}" for name, value in row.items()))
PY
}
newest() { # MODEL_TYPE: its checkpoint written last, nothing if there is none
    ls -t "$output_dir/checkpoint/$1/$source"-*/last.pth 2>/dev/null | head -n 1 || true
}
pretrain() { # MODEL_TYPE: makes its checkpoint where there is none, and names it in $weights
    if [[ -z $(newest "$1") ]]; then
        local found; found=$(settings "$1")
        python "${at}pretrain.py" --model_type "$1" $found ${both[@]+"${both[@]}"}
    fi
    weights=(--pretrained-model-path "$(newest "$1")")
}
train() { # MODEL_TYPE [options]
    local found; found=$(settings "$1") # set -e sees a failure here, not inside a command's arguments
    python "${at}train.py" --model-type "$1" --data "$data" $found ${here[@]+"${here[@]}"} "${@:2}"
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
