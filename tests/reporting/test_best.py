"""report.py --best, where run.sh would take another network than the best one had."""

import pytest
import yaml

import report
from tests.csv_runs import NAME, epoch, made_from, write_run


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


def test_no_stem_is_left_beside_the_rate_of_another(tmp_path):
    """The file has what an earlier report found best; these runs never tried another stem."""
    write_run(tmp_path / "res", NAME, [epoch(0.5, 0.1)], made=made_from(NAME, stem="3x3"))
    best = tmp_path / "best.yaml"
    best.write_text("cifar100:\n  Supervised: {optimizer: sgd, lr: 0.03, stem: 7x7, epochs: 30}\n")
    assert report.main(["--res", str(tmp_path / "res"), "--best", str(best)]) == 0
    wanted = {"optimizer": "sgd", "lr": 0.1, "stem": "3x3", "epochs": 30, "batch-size": 128}
    assert yaml.safe_load(best.read_text()) == {"cifar100": {"Supervised": wanted}}
