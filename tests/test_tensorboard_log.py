"""What TensorBoard shows of a run, read back from its files."""

import csv

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import train
import utils


@pytest.fixture
def trained(image_folder):
    arguments = ["--model-type", "Supervised", "--epochs", "2", "--batch-size", "7", "--lr", "0.01", "--data-dir",
                 str(image_folder / "data"), "--output-dir", str(image_folder)]
    assert utils.run_program(train.main, arguments) == 0
    return image_folder


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
    for name in set(train.COLUMNS) - {"epoch"}:
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
    assert events.Scalars("final/test_accuracy")[0].value == pytest.approx(float(rows[-1]["test_accuracy"]))


def test_the_projector_has_a_name_for_every_feature(trained):
    folder, _ = events_of(trained)
    tensors, = folder.glob("*/test_features/tensors.tsv")
    names = tensors.with_name("metadata.tsv").read_text().splitlines()
    features = tensors.read_text().splitlines()
    assert len(names) == len(features) == 12 and set(names) == {f"class{k}" for k in range(4)}
    assert all(len(line.split("\t")) == 512 for line in features)
    assert tensors.with_name("sprite.png").is_file()
    assert "test_features" in (folder / "projector_config.pbtxt").read_text()
