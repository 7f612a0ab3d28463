"""What TensorBoard shows of a run, read back from its files."""

import csv

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import pretrain
import train
from records import runs
from utils import run as run_program

pytestmark = pytest.mark.usefixtures("narrow")


def run(program, root, *arguments):
    common = ["--batch-size", "7", "--lr", "0.01", "--data-dir", str(root / "data"), "--output-dir", str(root)]
    assert run_program(program.main, [*arguments, *common]) == 0


@pytest.fixture
def trained(image_folder, narrow):
    run(train, image_folder, "--model-type", "Supervised", "--epochs", "2", "--eval-every", "1")
    return image_folder


def test_the_projector_shows_every_class_where_it_shows_a_part(image_folder, monkeypatch):
    """The test images lie class by class; the features of a frozen backbone are those on disk."""
    monkeypatch.setattr(train, "PROJECTED", 4)
    run(pretrain, image_folder, "--epochs", "1", "--sample-ratio", "1", "--image-size", "32")
    run(train, image_folder, "--model-type", "SelfSupervisedPretrained", "--epochs", "1")
    tensors, = image_folder.glob("runs/SelfSupervisedPretrained/*/*/test_features/tensors.tsv")
    assert sorted(tensors.with_name("metadata.tsv").read_text().split()) == [f"class{k}" for k in range(4)]
    found = np.array([line.split("\t") for line in tensors.read_text().splitlines()], dtype=float)
    kept = [np.load(path) for path in image_folder.glob("checkpoint/features/*.npy")]
    test_features, = [features for features in kept if len(features) == 12]
    assert all(np.isclose(test_features, row, atol=1e-4).all(1).any() for row in found)


def events_of(root):
    folder, = root.glob("runs/Supervised/*")
    events = EventAccumulator(str(folder))
    events.Reload()
    return folder, events


def test_curves_images_text_and_settings(trained):
    _, events = events_of(trained)
    log, = trained.glob("res/*.csv")
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    tags = events.Tags()
    for name in set(runs.TRAIN_COLUMNS) - {"image_size", "epoch", "penalty"}:
        assert [event.value for event in events.Scalars(name)] == pytest.approx([float(row[name]) for row in rows])
    assert "confusion_matrix" in tags["images"]
    wrong = float(rows[-1]["test_accuracy"]) < 1
    assert ("most_wrong" in tags["images"]) == wrong
    text, = events.Tensors("settings/text_summary")
    assert b"optimizer: sgd" in text.tensor_proto.string_val[0]
    started = HParamsPluginData.FromString(
        events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    settings = started.session_start_info.hparams
    assert settings["lr"].number_value == 0.01 and settings["optimizer"].string_value == "sgd"
    assert not {"debug", "output_dir", "workers"} & set(settings)
    with pytest.raises(KeyError):  # TensorBoard would take one run's list of columns for all runs
        events.SummaryMetadata("_hparams_/experiment")
    assert events.Scalars("final/test_accuracy")[0].value == pytest.approx(float(rows[-1]["test_accuracy"]))


def test_the_projector_has_a_name_for_every_feature(trained):
    folder, _ = events_of(trained)
    tensors, = folder.glob("*/test_features/tensors.tsv")
    names = tensors.with_name("metadata.tsv").read_text().splitlines()
    features = tensors.read_text().splitlines()
    assert len(names) == len(features) == 12 and set(names) == {f"class{k}" for k in range(4)}
    assert all(len(line.split("\t")) == 64 for line in features)
    assert tensors.with_name("sprite.png").is_file()
    assert "test_features" in (folder / "projector_config.pbtxt").read_text()


def test_a_run_made_anew_has_its_features_alone(trained, capsys):
    run(train, trained, "--model-type", "Supervised", "--epochs", "2", "--eval-every", "1", "--overwrite")
    folder, _ = events_of(trained)
    assert len(list(folder.glob("*/test_features"))) == 1
    assert (folder / "projector_config.pbtxt").read_text().count("tensor_path") == 1
    assert "warning" not in capsys.readouterr().out
