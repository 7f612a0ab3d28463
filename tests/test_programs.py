"""All three programs over all five methods on a handful of images."""

import os
import shutil

import pytest
import torch

import pretrain
import test as test_program
import train
from data.datasets import DATASETS, load_split
from functions import MODEL_TYPES
from records import checkpoint, runs
from records.weights import find_backbone
from self_supervised_pretrained.registry import PRETRAININGS
from tests.common import cut_off, rows_of
from tests.common import run as run_there
from training.command_line import trained_part

pytestmark = pytest.mark.usefixtures("narrow")


def run(program, root, *arguments):
    return run_there(program, root, *arguments, output=".")


def pretrain_one(root, model_type, *arguments):
    return run(pretrain, root, "--model_type", model_type, "--epochs", "1", "--sample-ratio", "1", "--batch-size", "9",
               "--image-size", "32", "--stem", "7x7", *arguments)


TRAIN = ("--epochs", "2", "--batch-size", "7", "--lr", "0.01", "--val-ratio", "0.2", "--eval-every", "1")


@pytest.fixture
def pretrained(image_folder, narrow):
    for model_type in {kind.pretraining for kind in MODEL_TYPES.values()} - {""}:
        assert pretrain_one(image_folder, model_type) == 0
    return image_folder


def start_from(root, model_type):
    kind = MODEL_TYPES[model_type]
    if not kind.pretraining:
        return []
    path = checkpoint.newest(root / "checkpoint" / kind.pretraining)
    return ["--pretrained-model-path", str(path)]


def check_details(root, model_type, accuracy):
    """The CSVs of test.py tell of the same predictions."""
    folder = root / "details"
    assert run(test_program, root, "--model-type", model_type, "--csv-dir", str(folder)) == 0
    predictions, classes, confusion = (rows_of(folder / f"{name}.csv")
                                       for name in ("predictions", "classes", "confusion"))
    assert [row["image"] for row in predictions] == [str(number) for number in range(12)]
    assert sum(row["true_class"] == row["predicted_class"] for row in predictions) / 12 == pytest.approx(accuracy)
    assert sum(int(row["correct"]) for row in classes) / 12 == pytest.approx(accuracy)
    for row in confusion:
        for name in [row["class"] for row in classes]:
            pairs = [p for p in predictions if (p["true_class"], p["predicted_class"]) == (row["true class"], name)]
            assert int(row[name]) == len(pairs)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_method_end_to_end(pretrained, capsys, model_type):
    root = pretrained
    arguments = ["--model-type", model_type, *TRAIN, *start_from(root, model_type)]
    assert run(train, root, *arguments) == 0
    log, = (root / "res").glob(f"{model_type}_*.csv")
    first, untimed = rows_of(log), rows_of(log, timed=False)
    assert [row["epoch"] for row in first] == ["1", "2"]
    assert tuple(first[0]) == runs.TRAIN_COLUMNS
    assert [name for name, cell in first[-1].items() if not cell] == ["image_size", "penalty"]

    best = max(reversed(first), key=lambda row: float(row["val_accuracy"]))
    capsys.readouterr()
    assert run(test_program, root, "--model-type", model_type) == 0
    assert f"test accuracy {best['test_accuracy']}," in capsys.readouterr().out
    check_details(root, model_type, float(best["test_accuracy"]))

    assert run(train, root, *arguments) == 0
    assert rows_of(log) == first, "left as it is"
    assert run(train, root, *arguments, "--overwrite") == 0
    assert rows_of(log, timed=False) == untimed

    if MODEL_TYPES[model_type].pretraining:
        trained, = (root / "checkpoint" / model_type).glob("*/last.pth")
        before, after = (find_backbone(checkpoint.read(path), path).tensors
                         for path in (start_from(root, model_type)[1], trained))
        same = all(torch.equal(before[key], after[key]) for key in before)
        assert same == MODEL_TYPES[model_type].frozen


@pytest.mark.parametrize("model_type", ["Supervised", "SelfSupervisedPretrained"])
def test_resume_equals_an_uninterrupted_run(pretrained, monkeypatch, capsys, model_type):
    root = pretrained
    arguments = ["--model-type", model_type, *TRAIN, "--scheduler", "constant", *start_from(root, model_type)]
    assert run(train, root, *arguments) == 0
    last, = (root / "checkpoint" / model_type).glob("*/last.pth")
    whole = checkpoint.read(last)["model"]
    shutil.rmtree(last.parent)
    log, = (root / "res").glob(f"{model_type}_*.csv")
    log.unlink()
    cut_off(monkeypatch, 1, train, root, *arguments, output=".")
    capsys.readouterr()
    assert run(train, root, *arguments) == 1
    assert "unfinished: epoch 1 of 2 is its last; go on with: " in capsys.readouterr().err
    assert run(train, root, *arguments, "--resume") == 0
    parts = checkpoint.read(last)["model"]
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert run(train, root, *arguments, "--resume", "--lr", "0.02") == 1


@pytest.mark.parametrize("newest", range(3))
def test_newest_pretraining_checkpoint_is_taken(image_folder, capsys, newest):
    """Neither the first nor the last by name, number or learning rate."""
    ages = [100, 200, 300]
    ages[newest] = 0
    for seed, age in enumerate(ages):
        assert pretrain_one(image_folder, "SelfSupervisedPretraining", "--seed", seed) == 0
        paths = sorted(image_folder.glob("checkpoint/SelfSupervisedPretraining/*/last.pth"), key=os.path.getmtime)
        path = paths[-1]  # before it is made old
        os.utime(path, (1e9 - age, 1e9 - age))
    paths = {checkpoint.read(path)["config"]["seed"]: path
             for path in image_folder.glob("checkpoint/SelfSupervisedPretraining/*/last.pth")}
    wanted = paths[newest]
    capsys.readouterr()
    assert run(train, image_folder, "--model-type", "SelfSupervisedPretrained", *TRAIN, "--epochs", "1") == 0
    assert f"starting from {wanted}\n" in capsys.readouterr().out and len(paths) == 3
    trained, = image_folder.glob("checkpoint/SelfSupervisedPretrained/*/last.pth")
    found = checkpoint.read(trained)
    assert found["config"]["pretrained_model_path"] == str(wanted)
    before = find_backbone(checkpoint.read(wanted), wanted).tensors
    assert all(torch.equal(tensor, before[name]) for name, tensor in find_backbone(found, trained).tensors.items())


def test_pretrainings_on_two_datasets_leave_two_runs(image_folder):
    for data in ("imagenet", "cifar100"):
        assert pretrain_one(image_folder, "SelfSupervisedPretraining", "--data", data, "--val-ratio", "0.2") == 0
        assert run(train, image_folder, "--model-type", "SelfSupervisedPretrained", *TRAIN) == 0
    assert {path.stem.split("bs7")[1].split("-epochs")[0]
            for path in image_folder.glob("res/SelfSupervisedPretrained_*.csv")} == {"-ratio1", "-fromcifar100-ratio1"}


WRONG = {
    "unknown data": (["--model-type", "Supervised", "--data", "mnist"], 2, "mnist"),
    "unknown model type": (["--model-type", "Other"], 2, "Other"),
    "no model type": ([], 2, "model-type"),
    "negative rate": (["--model-type", "Supervised", "--lr", "-1"], 2, "above 0"),
    "rate in words": (["--model-type", "Supervised", "--lr", "fast"], 2, "not a number"),
    "ratio above one": (["--model-type", "Supervised", "--label-ratio", "1.5"], 2, "at most 1"),
    "ratio of zero": (["--model-type", "Supervised", "--label-ratio", "0"], 2, "above 0"),
    "resume in words": (["--model-type", "Supervised", "--resume", "maybe"], 2, "neither True nor False"),
    "batch too large": (["--model-type", "Supervised", "--batch-size", "999"], 1, "larger than"),
    "no device": (["--model-type", "Supervised", "--device", "meta"], 2, "'meta' is none of cpu, cuda and cuda:N"),
    "no such device": (["--model-type", "Supervised", "--device", "cuda:77"], 1, "cuda:77"),
    "no pre-training": (["--model-type", "SelfSupervisedPretrained"], 1, "pretrain.py"),
    "no such checkpoint": (["--model-type", "SupervisedPretrainedFinetune", "--batch-size", "4",
                            "--pretrained-model-path", "gone.pth"], 1, "gone.pth"),
    "nothing to resume": (["--model-type", "Supervised", "--batch-size", "4", "--resume", "True"], 1, "no checkpoint"),
    "no images": (["--model-type", "Supervised", "--data", "folder"], 1, "<class>"),
    "batch of one": (["--model-type", "Supervised", "--batch-size", "1"], 2, "--batch-size 1: batch norm"),
    "warm-up as long as the run": (["--model-type", "Supervised", "--epochs", "5", "--warmup-epochs", "5"], 2,
                                   "not shorter than --epochs 5"),
    "smoothing of a margin": (["--model-type", "SelfSupervisedPretrained", "--criterion", "MultiMarginLoss",
                               "--label-smoothing", "0.1"], 2, "--label-smoothing is for CrossEntropyLoss"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(image_folder, capsys, case):
    arguments, status, message = WRONG[case]
    try:
        found = run(train, image_folder, *arguments)
    except SystemExit as exit_:
        found = exit_.code
    error = capsys.readouterr().err.strip().splitlines()
    assert found == status
    assert error[-1].startswith("error: ") and message in error[-1] and len(error) == 1


def test_broken_checkpoints(image_folder, capsys, tmp_path):
    def start(path):
        status = run(train, image_folder, "--model-type", "SupervisedPretrainedFinetune",
                     "--pretrained-model-path", str(path), *TRAIN)
        return status, capsys.readouterr().err.strip()
    half = tmp_path / "half.pth"
    torch.save({"model": {}}, half)
    half.write_bytes(half.read_bytes()[:100])
    assert start(half)[0] == 1
    other = tmp_path / "other.pth"
    from supervised.resnet import resnet
    torch.save(resnet("resnet34", 10, "7x7").state_dict(), other)
    status, error = start(other)
    assert status == 1 and "a resnet34, not --arch resnet18" in error and len(error.splitlines()) == 1


def test_empty_class_folder(image_folder, capsys):
    (image_folder / "data/cifar100/train/empty").mkdir()
    assert run(train, image_folder, "--model-type", "Supervised", *TRAIN) == 1
    assert "empty" in capsys.readouterr().err


@pytest.mark.parametrize("model_type", PRETRAININGS)
@pytest.mark.parametrize("arguments, message", [
    (["--batch-size", "1"], "tells it from others; use 2 or more"),
    (["--epochs", "2", "--warmup-epochs", "2.5"], "--warmup-epochs 2.5 is not shorter than --epochs 2")])
def test_pretraining_refuses_before_any_work(image_folder, capsys, model_type, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        run(pretrain, image_folder, "--model-type", model_type, *arguments)
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not (image_folder / "data" / "store").exists()


def test_a_single_image(image_folder, capsys):
    train_folder = image_folder / "data/imagenet/train"
    for path in train_folder.glob("*/*.png"):
        if path.name != "0.png" or path.parent.name != "class0":
            path.unlink()
    for folder in list(train_folder.iterdir()):
        if folder.name != "class0":
            folder.rmdir()
    for model_type, kind in PRETRAININGS.items():
        assert pretrain_one(image_folder, model_type, "--batch-size", "2") == 1
        error, = capsys.readouterr().err.splitlines()
        few = "1 training images: 2 are needed at least; use more images, or a larger --sample-ratio"
        one = f"{train_folder}: one class only, class0, leaves nothing to tell apart"
        assert error.startswith(f"error: {one if kind.labels else few}")


def test_a_linear_classifier_learns_from_batches_of_one(pretrained):
    arguments = ["--model-type", "SelfSupervisedPretrained", *start_from(pretrained, "SelfSupervisedPretrained")]
    assert run(train, pretrained, *arguments, "--epochs", "3", "--batch-size", "1", "--lr", "0.01") == 0
    log, = (pretrained / "res").glob("SelfSupervisedPretrained_*.csv")
    rows = rows_of(log)
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def knn_column(root, model_type, data, *arguments):
    assert run(pretrain, root, "--model_type", model_type, "--data", data, "--epochs", "1", "--batch-size", "9",
               "--image-size", "8", "--knn-every", "1", "--amp", "off", "--overwrite", *arguments) == 0
    log = max((root / "res").glob(f"pretrain_{model_type}_{data}*.csv"), key=os.path.getmtime)
    row, = rows_of(log)
    assert float(row["rankme"]) >= 1, "with labels and without"
    return row["knn_accuracy"]


def test_labels_that_are_trained_on_are_not_asked(image_folder, capsys, monkeypatch):
    """With labels the kNN accuracy is of images that the sample left out, class by class."""
    probed, make = [], pretrain.knn_probe
    monkeypatch.setattr(pretrain, "knn_probe", lambda split, *more: probed.append(split) or make(split, *more))
    trained = load_split("cifar100", "train", image_folder / "data", 8, 0.5, 0).rows
    for more in ((), ("--knn-data", "cifar100")):
        assert knn_column(image_folder, "SupervisedPretraining", "cifar100", "--sample-ratio", "0.5",
                          "--val-ratio", "0", *more) != ""
        split = probed.pop()
        assert sorted([*split.rows, *trained]) == list(range(40))
        assert [list(split.labels[split.rows]).count(k) for k in range(4)] == [5] * 4
    assert "no kNN accuracy" not in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), ("--knn-data", "cifar100")])
def test_where_all_labels_are_trained_on_none_are_asked(image_folder, capsys, more):
    common = ["SupervisedPretraining", "cifar100", "--sample-ratio", "1", "--val-ratio", "0"]
    assert knn_column(image_folder, *common, *more) == ""
    said = [line for line in capsys.readouterr().out.splitlines() if "kNN" in line]
    assert said == ["no kNN accuracy: too few images of cifar100 (0) have labels that are not trained on; name others "
                    "with --knn-data, or leave some out with --sample-ratio"]
    assert knn_column(image_folder, *common, "--knn-data", "digits") != ""
    assert knn_column(image_folder, "SelfSupervisedPretraining", *common[1:]) != ""


@pytest.mark.parametrize("model_type, classes", [("SupervisedPretraining", "56789"),
                                                 ("SelfSupervisedPretraining", "01234")])
def test_the_probe_of_the_digits(image_folder, monkeypatch, model_type, classes):
    """They keep a labelled part that pre-training does not see."""
    probed, make = [], pretrain.knn_probe
    monkeypatch.setattr(pretrain, "knn_probe", lambda split, *more: probed.append(split) or make(split, *more))
    assert knn_column(image_folder, model_type, "digits", "--sample-ratio", "0.05") != ""
    assert "".join(probed[0].classes) == classes


@pytest.mark.parametrize("name", DATASETS)
def test_no_dataset_is_probed_on_what_labels_train_on(name):
    part = trained_part(name, labels=True)
    assert part == ("pretrain" if name == "digits" else "train")
