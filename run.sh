#!/usr/bin/env bash
# All five methods with the settings of conf/best.yaml, pre-training first where no checkpoint exists.
#   bash run.sh [options of train.py]        CIFAR-100, pre-trained on data/imagenet
#   bash run.sh demo [options of train.py]   a few minutes on two cores: scikit-learn's digits, offline
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./environment.sh

data=cifar100
if [[ ${1:-} == demo ]]; then data=digits; shift; fi

settings() { # MODEL_TYPE: its row of conf/best.yaml as options
    python - "$data" "$1" <<'PY'
import sys
import yaml
row = yaml.safe_load(open("conf/best.yaml"))[sys.argv[1]].get(sys.argv[2], {})
print(" ".join(f"--{name} {value}" for name, value in row.items()))
PY
}
newest() { # MODEL_TYPE DATA: the checkpoint written last, nothing if there is none
    ls -t checkpoint/"$1"/"$2"-*/last.pth 2>/dev/null | head -n 1 || true
}
pretrain() { # MODEL_TYPE: makes its checkpoint where there is none, and names it in $weights
    local source=$data
    [[ $data == cifar100 ]] && source=imagenet
    weights=$(newest "$1" "$source")
    if [[ -z $weights ]]; then
        python pretrain.py --model_type "$1" $(settings "$1") "${device[@]}"
        weights=$(newest "$1" "$source")
    fi
}
train() { # MODEL_TYPE [options]
    python train.py --model-type "$1" --data "$data" $(settings "$1") "${@:2}"
}

device=()
for ((i = 1; i < $#; i++)); do [[ ${!i} == --device ]] && { j=$((i + 1)); device=(--device "${!j}"); }; done

pretrain SelfSupervisedPretraining
train SelfSupervisedPretrained --pretrained-model-path "$weights" "$@"
train SelfSupervisedPretrainedFinetune --pretrained-model-path "$weights" "$@"
own=()
if [[ $data == digits ]]; then # offline: with labels on the same images instead of the ImageNet weights
    pretrain SupervisedPretraining
    own=(--pretrained-model-path "$weights")
fi
train SupervisedPretrained "${own[@]}" "$@"
train SupervisedPretrainedFinetune "${own[@]}" "$@"
train Supervised "$@"
python report.py --data "$data"
