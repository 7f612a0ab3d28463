#!/usr/bin/env bash
# The methods that conf/best.yaml has settings of, pre-training first. What is finished is left as it is, what was cut
# off goes on.
#   bash run.sh [options]        CIFAR-100, pre-trained on data/imagenet
#   bash run.sh demo [options]   a few minutes on two cores: scikit-learn's digits, offline
#   bash run.sh own DIR [--unlabelled DIR2] [--minutes N] [options]
#                                your own pictures, DIR/<class>/*, and further ones to pre-train on;
#                                fits itself to them and to N minutes (20; on a GPU 60), results in own/
# Options are those of train.py; pre-training takes part in those that utils.py shares with it. Their paths mean the
# folder you are in; without any, data/ and results are those of the repository.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
for word; do # before anything is installed, and not into the plan below
    case $word in -h | --help) sed -n 's/^# //p' "$root/run.sh"; exit ;; esac
done
source "$root/environment.sh"

plan=all_methods data=cifar100
case ${1:-} in
    demo) data=digits; shift ;;
    own) plan=own data=; shift ;;
esac
left_to_do() { # FOLDER [DATA] [options]: a command a line
    python -c "from grid_search.$plan import main; main()" "$@"
}
caller=$PWD
cd "$root"
commands=$(left_to_do "$caller" ${data:+"$data"} "$@")
worst=0
while IFS= read -r -u 3 command; do
    eval "$command" || { worst=$?; [[ $worst == 3 ]] || exit "$worst"; } # 3: it diverged, others may not
done 3<<<"$commands"
exit "$worst"
