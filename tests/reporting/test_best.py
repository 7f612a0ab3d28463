"""report.py --best, whose rows run.sh takes: the network and the setting that were best."""

import pytest
import yaml

import report
from grid_search.cells import words_of
from tests.csv_runs import NAME, epoch, made_from, write_run
from training.command_line import parse_train


@pytest.mark.parametrize("accuracy, wanted", [
    (0.9, {"optimizer": "sgd", "lr": 0.03, "batch-size": 128, "stem": "7x7"}),
    (0.3, {"optimizer": "sgd", "lr": 0.1, "batch-size": 128, "stem": "3x3"})])
def test_the_stem_goes_with_its_learning_rate(tmp_path, accuracy, wanted):
    for stem, lr, reached in (("3x3", 0.1, 0.5), ("7x7", 0.03, accuracy)):
        name = NAME.replace("lr0.1", f"lr{lr}")
        write_run(tmp_path / "res", name, [epoch(reached, 0.1)], made=made_from(name, stem=stem))
    best = tmp_path / "best.yaml"
    assert report.main(["--res", str(tmp_path / "res"), "--best", str(best)]) == 0
    assert yaml.safe_load(best.read_text()) == {"cifar100": {"Supervised": wanted}}


def test_the_setting_is_all_that_the_command_said(tmp_path):
    """And nothing of what was best before; whether the method's own folder, weights or seed had other names is not."""
    commands = {0.1: "train.py --model-type Supervised --lr=1e-1 --scheduler cosine --seed 0", 0.03:
                "torchrun --nproc-per-node=2 /there/train.py --data cifar100 --model_type Supervised --lr 0.03 --amp "
                "bf16 --weight_decay 0 --mean -0.1,0,0 --milestones 0.3,0.6 --label-ratio 1 --seed 7 --output-dir x "
                "--compile"}
    for lr, command in commands.items():
        name = NAME.replace("lr0.1", f"lr{lr}")
        made = {**made_from(name), "command": f"python {command}"}
        write_run(tmp_path / "res", name, [epoch(1 - lr, 0.1)], made=made)
    best = tmp_path / "best.yaml"
    best.write_text("cifar100:\n  Supervised: {optimizer: adam, lr: 9.0, start-size: 16, epochs: 30}\n")
    assert report.main(["--res", str(tmp_path / "res"), "--best", str(best)]) == 0
    row = yaml.safe_load(best.read_text())["cifar100"]["Supervised"]
    assert row == {"lr": 0.03, "weight-decay": 0, "mean": "-0.1,0,0", "milestones": "0.3,0.6",
                   "label-ratio": 1}
    args = parse_train(["--model-type", "Supervised", *words_of(row)])
    assert (args.weight_decay, args.mean, args.milestones) == (0, [-0.1, 0, 0], [0.3, 0.6])


@pytest.mark.parametrize("command", ["", "python train.py --model-type Supervised --lr x", "python pretrain.py", 3, "'",
                                     "train.py --model-type Supervised --gone 1"])
def test_of_a_command_that_tells_nothing_the_name_counts(tmp_path, command, capsys):
    write_run(tmp_path / "res", NAME, [epoch(0.5, 0.1)], made={**made_from(NAME), "command": command})
    best = tmp_path / "best.yaml"
    assert report.main(["--res", str(tmp_path / "res"), "--best", str(best)]) == 0
    assert yaml.safe_load(best.read_text())["cifar100"]["Supervised"]["lr"] == 0.1
    assert not capsys.readouterr().err


def test_no_stem_is_left_beside_the_rate_of_another(tmp_path):
    """The file has what an earlier report found best; these runs never tried another stem."""
    write_run(tmp_path / "res", NAME, [epoch(0.5, 0.1)], made=made_from(NAME, stem="3x3"))
    best = tmp_path / "best.yaml"
    best.write_text("cifar100:\n  Supervised: {optimizer: sgd, lr: 0.03, stem: 7x7, epochs: 30}\n")
    assert report.main(["--res", str(tmp_path / "res"), "--best", str(best)]) == 0
    wanted = {"optimizer": "sgd", "lr": 0.1, "stem": "3x3", "epochs": 30, "batch-size": 128}
    assert yaml.safe_load(best.read_text()) == {"cifar100": {"Supervised": wanted}}
