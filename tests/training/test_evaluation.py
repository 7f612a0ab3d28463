"""--eval-every: which epochs are evaluated, and what follows from that."""

import pytest

import train
from records import checkpoint
from records.results import choose_epoch, parse_row, read_results
from tests.common import cut_off, outcome, rows_of, run
from training import tasks
from training.command_line import evaluated_every, parse_train

pytestmark = pytest.mark.usefixtures("narrow")
TRAIN = ["--model-type", "Supervised", "--data", "digits", "--batch-size", "16", "--lr", "0.01", "--amp", "off",
         "--val-ratio", "0.5", "--epochs", "5"]


@pytest.mark.parametrize("images, judged, epochs, start, pixels, wanted", [
    (45000, 15000, 200, 32, 1, 1), (4500, 15000, 200, 32, 1, 10), (450, 15000, 200, 32, 1, 100),
    (450, 15000, 5, 32, 1, 5), (100, 0, 5, 32, 1, 1), (1, 10 ** 6, 3, 32, 1, 3),
    (45000, 15000, 18, 16, (0.25 + 0.5625 + 1) / 3, 2), (4500, 15000, 200, 24, (0.5625 + 0.765625 + 1) / 3, 13)])
def test_evaluation_takes_a_tenth_at_most(images, judged, epochs, start, pixels, wanted):
    """pixels: of an image trained on, as a share of one that is evaluated."""
    args = parse_train(["--model-type", "Supervised", "--epochs", str(epochs), "--start-size", str(start)])
    every, usual = evaluated_every(args, 32, images, judged)
    assert every == usual == wanted
    assert judged / 3 <= 0.1 * (every * pixels * images + judged / 3) + 1e-9 or every == epochs


def evaluated(root):
    """Numbers of the epochs that have test and validation figures."""
    rows = rows_of(next(root.glob("out/res/*.csv")))
    found = [[int(row["epoch"]) for row in rows if row[name]]
             for name in ("val_accuracy", "test_accuracy", "test_loss")]
    assert found[0] == found[1] == found[2] and all(row["train_loss"] for row in rows)
    return found[0]


@pytest.mark.parametrize("every, wanted", [("1", [1, 2, 3, 4, 5]), ("2", [1, 3, 5]), ("3", [2, 5]), ("9", [5])])
def test_epochs_count_back_from_the_last(tmp_path, every, wanted):
    assert run(train, tmp_path, *TRAIN, "--eval-every", every) == 0
    assert evaluated(tmp_path) == wanted


def test_an_epoch_whose_evaluation_is_not_finite_is_never_the_best(tmp_path, monkeypatch):
    """Batch norm's statistics may recover: training goes on, and the report takes the same epoch as best.pth."""
    found = iter([0.5, 0.5, float("nan"), float("nan"), *[0.5] * 6])
    real = tasks.metrics
    monkeypatch.setattr(tasks, "metrics", lambda *given: {
        **real(*given), "loss": (value := next(found)), "accuracy": 0.25 + 0.5 * (value != value)})
    assert run(train, tmp_path, *TRAIN, "--eval-every", "1") == 0
    best, = tmp_path.glob("out/checkpoint/*/*/best.pth")
    result, = read_results(tmp_path / "out" / "res")
    assert checkpoint.read(best)["epoch"] == result.chosen[0]["epoch"] == 5 and result.status == "done"


@pytest.mark.parametrize("val_ratio", ["0.5", "0"])
def test_the_weights_do_not_depend_on_it_and_resume_goes_on(tmp_path, monkeypatch, val_ratio):
    words = [*TRAIN, "--val-ratio", val_ratio]
    states = []
    for every in ("1", "2"):
        root = tmp_path / every
        cut_off(monkeypatch, 3, train, root, *words, "--eval-every", every)
        assert run(train, root, *words, "--eval-every", every, "--resume") == 0
        state, rows = outcome(root)
        header = list(rows[0])
        found = [parse_row(header, ",".join(row.values()), header) for row in rows]
        assert choose_epoch(found)["test_accuracy"] is not None
        states.append(state["model"]["fc.weight"])
    assert (states[0] == states[1]).all()
