"""A grid goes on from results that were kept without the weights behind them."""

import shutil
from pathlib import Path

import yaml

LISTS = {"script": "self_supervised_pretrained", "RATIOS": "0.2", "OPTIMIZERS": "sgd", "LRS": "0.01",
         "PRETRAIN_ARGS": "--data digits --epochs 1 --knn-every 0"}


def test_what_has_results_is_not_run_again_without_its_weights(tmp_path, grid):
    status, out, err = grid.finish(**LISTS)
    assert status == 0 and "finished: 2 of 2 runs" in out, err
    weights, = tmp_path.glob("grid/checkpoint/SelfSupervisedPretraining/*/last.pth")
    shutil.rmtree(tmp_path / "grid" / "checkpoint")
    assert grid.finish(**LISTS, DRY_RUN="1")[:2] == (0, "")
    assert "1 cells, 0 of them to run" in grid.finish(**LISTS)[1]
    named = {**LISTS, "RATIOS": "", "DRY_RUN": "1"}
    assert grid.finish("--pretrained-model-path", str(weights), **named)[:2] == (0, "")
    others = {**LISTS, "PRETRAIN_ARGS": "--data digits --epochs 1 --knn-every 0 --temperature 0.9"}
    status, out, _ = grid.finish(**others)
    assert status == 0 and "finished: 2 of 2 runs" in out, "another pre-training, another run"
    status, out, _ = grid.finish("--epochs", "3", **LISTS, DRY_RUN="1")  # more than there is
    assert status == 0
    assert [Path(command.split()[1]).name for command in out.splitlines()] == ["pretrain.py", "train.py"]

    for result in tmp_path.glob("grid/res/SelfSupervisedPretrained_*.csv"):
        result.unlink()
    commands = grid.finish(**LISTS, DRY_RUN="1")[1].splitlines()
    assert [Path(command.split()[1]).name for command in commands] == ["pretrain.py", "train.py"]


def test_cells_are_those_of_the_weights_that_were_made_anew(tmp_path, grid):
    """The pre-training is run again for a new cell and makes other weights than those on record."""
    assert grid.finish(**LISTS)[0] == 0
    shutil.rmtree(tmp_path / "grid" / "checkpoint")
    record, = tmp_path.glob("grid/res/pretrain_*.yml")
    facts = yaml.safe_load(record.read_text())
    record.write_text(yaml.safe_dump({**facts, "made": "elsewhere"}))
    status, out, err = grid.finish(**LISTS)
    assert status == 0 and "finished: 2 of 2 runs" in out, out + err
    assert grid.finish(**LISTS, DRY_RUN="1")[:2] == (0, "")
