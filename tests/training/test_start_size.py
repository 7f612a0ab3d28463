"""--start-size: views grow with the run; all that is evaluated and saved is of the final size."""

import pytest
import torch

import pretrain
import train
from records import checkpoint
from tests.common import cut_off, equal, outcome, rows_of, run
from training.command_line import growing_sizes

pytestmark = pytest.mark.usefixtures("narrow")
TRAIN = ["--model-type", "Supervised", "--batch-size", "9", "--lr", "0.01", "--amp", "off", "--image-size", "32"]
PRETRAIN = ["--sample-ratio", "1", "--batch-size", "6", "--lr", "0.01", "--amp", "off", "--image-size", "64",
            "--knn-every", "0"]
BOTH = [(train, [*TRAIN, "--start-size", "16"]), (pretrain, [*PRETRAIN, "--start-size", "32"])]


@pytest.mark.parametrize("start, size, wanted", [
    (None, 32, [32]), (32, 32, [32]), (16, 32, [16, 24, 32]), (32, 64, [32, 48, 64]), (64, 96, [64, 80, 96]),
    (24, 32, [24, 28, 32]), (28, 32, [28, 32]), (8, 10, [8, 10]), (128, 224, [128, 176, 224])])
def test_sizes_are_few_and_fast(start, size, wanted):
    assert growing_sizes(start, size) == wanted


@pytest.fixture
def seen(monkeypatch):
    """Sizes of what a network is trained on, step by step, and of what it is evaluated on."""
    from supervised.resnet import ResNet
    found, forward = {True: [], False: []}, ResNet.forward

    def watched(self, images):
        found[self.training].append(images.shape[-1])
        return forward(self, images)
    monkeypatch.setattr(ResNet, "forward", watched)
    return found


@pytest.mark.parametrize("program, words", BOTH)
def test_steps_of_each_size_are_as_many(image_folder, seen, program, words):
    assert run(program, image_folder, *words, "--epochs", "6") == 0
    sizes = seen[True]
    final = sizes[-1]
    assert [sizes.count(size) for size in (final // 2, final * 3 // 4, final)] == [len(sizes) // 3] * 3
    assert sizes == sorted(sizes) and set(seen[False]) <= {final}
    state, rows = outcome(image_folder)
    assert [int(row["image_size"]) for row in rows] == [size for size in (final // 2, final * 3 // 4, final)
                                                        for _ in range(2)]
    assert state["trained_as"]["image_size"] == final


def test_a_size_may_change_within_an_epoch(image_folder, seen):
    """The run's steps count, not its epochs."""
    assert run(train, image_folder, *BOTH[0][1], "--epochs", "1") == 0
    assert seen[True] == [16, 16, 24, 32], "4 steps"
    assert outcome(image_folder)[1][0]["image_size"] == "32"


@pytest.mark.parametrize("program, words", BOTH)
@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_resume_goes_on_bit_for_bit_across_the_change(image_folder, monkeypatch, program, words, epoch):
    words = [*words, "--epochs", "5"]
    assert run(program, image_folder, *words, output="whole") == 0
    cut_off(monkeypatch, epoch, program, image_folder, *words)
    assert run(program, image_folder, *words, "--resume") == 0
    whole, = image_folder.glob("whole/checkpoint/*/*/last.pth")
    log, = image_folder.glob("whole/res/*.csv")
    state, rows = outcome(image_folder)
    assert equal(state["model"], checkpoint.read(whole)["model"]) and rows == rows_of(log, timed=False)


def test_without_it_the_column_is_empty_and_its_own_size_is_none(image_folder, capsys):
    assert run(train, image_folder, *TRAIN, "--epochs", "2") == 0
    state, rows = outcome(image_folder)
    assert [row["image_size"] for row in rows] == ["", ""]
    capsys.readouterr()
    assert run(train, image_folder, *TRAIN, "--epochs", "2", "--start-size", "32") == 0
    assert "left as it is" in capsys.readouterr().out, "the same run"
    assert torch.is_tensor(state["model"]["fc.weight"])


@pytest.mark.parametrize("program, words, status, message", [
    (train, [*TRAIN, "--start-size", "40"], 1, "--start-size 40 is more than the 32 px"),
    (pretrain, [*PRETRAIN, "--start-size", "72"], 1, "--start-size 72 is more than the 64 px"),
    (pretrain, [*PRETRAIN, "--start-size", "24"], 1, "--start-size 24 leaves the last stage of a 7x7 stem"),
    (train, [*TRAIN, "--start-size", "4"], 2, "--start-size"),
    (train, ["--model-type", "SelfSupervisedPretrained", "--start-size", "16"], 2, "trains a classifier on features")])
def test_what_does_not_fit_is_refused_in_one_line(image_folder, capsys, program, words, status, message):
    try:
        found = run(program, image_folder, *words)
    except SystemExit as stop:
        found = stop.code
    line, = capsys.readouterr().err.splitlines()
    assert found == status and line.startswith("error: ") and message in line
    assert not (image_folder / "out").exists() and not (image_folder / "data" / "store").exists()
