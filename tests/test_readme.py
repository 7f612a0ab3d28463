"""README.md: every command parses, every flag is explained, the results are those in res/."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import matplotlib
import pytest

import export
import predict
import report
import test
import utils
from records import results, runs
from tests.common import ROOT
from tests.evidence import EVIDENCE, TRACKED
from training.command_line import parse_pretrain, parse_train

COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
            for line in block.replace("\\\n", " ").splitlines() if line]
PARSERS = {"pretrain.py": parse_pretrain, "train.py": parse_train, "test.py": test.parse, "predict.py": predict.parse,
           "export.py": export.parse}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_parses(command):
    words = [word for word in shlex.split(command) if not re.match("[A-Z_]+=", word)]
    if words[0] == "export":
        return
    first, second, *arguments = words
    if "--wrap" in words:
        words = words[words.index("--wrap") + 1].replace("$(", "").split()
    if "torchrun" in words:
        program = next(word for word in words if word.endswith(".py"))
        PARSERS[program](words[words.index(program) + 1:])
    elif "sbatch" in words:
        script, grid, *arguments = words[words.index("grid_search/slurm_array.sh"):]
        assert (ROOT / script).is_file() and (ROOT / grid).is_file()
        parse_train(["--model-type", "Supervised", *(word.strip(")") for word in arguments)])
    elif first == "python" and second != "report.py":
        PARSERS[second](arguments)
    elif first in ("bash", "python"):
        assert (ROOT / second).is_file()
    else:
        assert first == "tensorboard"


def test_every_flag_is_explained():
    text = (ROOT / "README.md").read_text()
    assert [name for name in utils.ARGUMENTS if f"`--{name.replace('_', '-')}`" not in text] == []


def draws_the_same():
    """Whether figures come out here as they were committed: matplotlib is the one that draws them."""
    pin = f'matplotlib=={matplotlib.__version__}; python_version >= "3.11"'
    return sys.version_info >= (3, 11) and pin in (ROOT / "requirements.txt").read_text().splitlines()


def test_results_and_figures_are_what_report_py_writes(tmp_path):
    (tmp_path / "res").mkdir()
    for path in TRACKED:
        if path.parent == ROOT / "res":
            shutil.copy(path, tmp_path / "res")
    shutil.copy(ROOT / "README.md", tmp_path)
    assert report.main(["--res", str(tmp_path / "res"), "--readme", str(tmp_path / "README.md")]) == 0
    assert (tmp_path / "README.md").read_bytes() == (ROOT / "README.md").read_bytes(), "run report.py --readme"

    committed = {path.name: path.read_bytes() for path in TRACKED if path.parent == ROOT / "res" / "figures"}
    drawn = {path.name: path.read_bytes() for path in tmp_path.glob("res/figures/*")}
    assert set(drawn) == set(committed)
    if draws_the_same():
        assert [name for name in drawn if drawn[name] != committed[name]] == [], "run report.py --readme"


def rerun_name(command):
    """The name of the CSV that a command would write, from its options alone."""
    words = shlex.split(command)
    place = next(k for k, word in enumerate(words) if Path(word).name in ("pretrain.py", "train.py"))
    pretraining = Path(words[place]).name == "pretrain.py"
    args = PARSERS[Path(words[place]).name](words[place + 1:])
    ratio = data = None
    if pretraining:
        ratio = args.sample_ratio
    elif args.pretrained_model_path:  # <model type>/<run>/last.pth
        source = results.parse_name("pretrain_" + "_".join(args.pretrained_model_path.parts[-3:-1]))[0]
        ratio, data = source.ratio, source.data
    run = runs.run_name(args.data, args.optimizer, args.lr, args.batch_size, ratio,
                         getattr(args, "label_ratio", 1.0), args.seed, data)
    return "pretrain_" * pretraining + f"{args.model_type}_{run}"


@pytest.mark.parametrize("command, name", [
    ("OMP_NUM_THREADS=2 python pretrain.py --lr 1e-3 --batch-size 256 --sample-ratio 0.30 --seed 2",
     "pretrain_SelfSupervisedPretraining_imagenet-adam-lr0.001-bs256-ratio0.3-seed2"),
    ("torchrun --nproc-per-node 2 ./train.py --model-type SupervisedPretrained --label-ratio 0.01 --optimizer adam "
     "--pretrained-model-path 'x y/checkpoint/SupervisedPretraining/imagenet-sgd-lr0.1-bs64-ratio1/last.pth'",
     "SupervisedPretrained_cifar100-adam-lr0.1-bs128-ratio1-labels0.01"),
    ("python train.py --model-type SelfSupervisedPretrained --pretrained-model-path "
     "checkpoint/SelfSupervisedPretraining/stl10-adam-lr0.001-bs128-ratio1/last.pth",
     "SelfSupervisedPretrained_cifar100-sgd-lr0.1-bs128-fromstl10-ratio1"),
    ("python train.py --model-type SupervisedPretrained", "SupervisedPretrained_cifar100-sgd-lr0.1-bs128")])
def test_a_command_tells_the_name_of_its_csv(command, name):
    assert rerun_name(command) == name


def test_every_csv_in_res_has_the_command_that_reruns_it():
    wrong = {}
    for path in EVIDENCE:
        config = results.read_config(path.with_suffix(".yml"))
        if path.with_suffix(".yml") not in TRACKED or "command" not in config:
            wrong[str(path)] = "no YAML file with its command beside it"
        elif rerun_name(config["command"]) != path.stem:
            wrong[str(path)] = f"another run than {config['command']}"
    assert wrong == {}


def test_the_demo_table_is_what_its_csvs_hold():
    rows = re.findall(r"^\| (.+) \| (\d\.\d+ ± \d\.\d+) \|$", (ROOT / "README.md").read_text(), re.M)
    found = {(result.setting.model_type, result.runs[0].planned): "{:.3f} ± {:.3f}".format(*result.test)
             for result in results.read_results(ROOT / "res" / "demo" / "res") if not result.setting.pretraining}
    assert rows == [("self-supervised, linear", found.pop(("SelfSupervisedPretrained", 10))),
                    ("self-supervised, finetune", found.pop(("SelfSupervisedPretrainedFinetune", 10))),
                    ("supervised, linear", found.pop(("SupervisedPretrained", 10))),
                    ("supervised, finetune", found.pop(("SupervisedPretrainedFinetune", 10))),
                    ("from scratch", found.pop(("Supervised", 10))),
                    ("from scratch, 120 steps at a rate of 0.003", found.pop(("Supervised", 40)))] and not found
