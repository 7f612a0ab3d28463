"""reporting/lines.py: which points a line has, and what is said about them; on CSVs made here."""

import itertools
import math

import numpy as np
import pytest

from data import sampling
from records import results
from records.setting import parse_name
from reporting.lines import draw_labels, draw_ratio, images_per_class
from tests.csv_runs import NAME, epoch, write_run


@pytest.fixture
def res(tmp_path):
    return tmp_path / "res"


def axes_of(draw, res):
    """The axes of a figure, drawn of all results in a folder."""
    figure = draw(results.read_results(res), "cifar100")
    return figure and figure.axes[0]


def labels_study(res, val_ratio=0.1):
    """Two methods over label ratios, each with two settings whose order validation and test turn round."""
    for method, ratios in (("Supervised", ("",)), ("SelfSupervisedPretrained", ("-ratio0.1", "-ratio1"))):
        for place, labels in enumerate(("-labels0.01", "-labels0.1", "")):
            for lr, ratio in itertools.product(("0.1", "0.2"), ratios):
                top = 0.1 + 0.2 * place + (lr == "0.1") / 100 + (ratio == "-ratio1") / 50
                name = f"{method}_cifar100-sgd-lr{lr}-bs128{ratio}{labels}"
                write_run(res, name, [epoch(top, 0.99 - top)])
                (res / f"{name}.yml").write_text(f"val_ratio: {val_ratio}\n")


def test_pretraining_datasets_have_lines_that_differ(res):
    for place, source in enumerate(("", "-fromstl10", "-fromcifar10")):
        for ratio in (0.1, 1):
            write_run(res, f"SelfSupervisedPretrained_cifar100-sgd-lr0.1-bs128{source}-ratio{ratio}",
                      [epoch(0.5, 0.1 * place + ratio / 10)])
    lines = axes_of(draw_ratio, res).get_lines()
    lines = [line for line in lines if not line.get_label().startswith("_")]
    found = {line.get_label(): round(line.get_ydata()[-1], 2) for line in lines}
    assert found == {"Self-supervised pre-training, linear": 0.1, "Self-supervised pre-training on stl10, linear": 0.2,
                     "Self-supervised pre-training on cifar10, linear": 0.3}
    assert len({line.get_fillstyle() for line in lines}) == 3


def test_label_ratios_have_a_figure_of_the_settings_best_on_validation(res):
    labels_study(res)
    lines = axes_of(draw_labels, res).get_lines()
    found = {line.get_label(): (list(line.get_xdata()), [round(y, 2) for y in line.get_ydata()])
             for line in lines if not line.get_label().startswith("_")}
    assert found == {"Self-supervised pre-training, linear": ([0.01, 0.1, 1], [0.86, 0.66, 0.46]),
                     "Supervised from scratch": ([0.01, 0.1, 1], [0.88, 0.68, 0.48])}


@pytest.mark.parametrize("val_ratio, expected", [
    (0.1, ["0.01\n4 a class", "0.1\n45 a class", "1\n450 a class"]), ("null", ["0.01", "0.1", "1"]),
    (0, ["0.01\n5 a class", "0.1\n50 a class", "1\n500 a class"])])
def test_label_ratios_are_told_in_images_a_class_if_known(res, val_ratio, expected):
    labels_study(res, val_ratio)
    axes = axes_of(draw_labels, res)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == expected and axes.get_xscale() == "log"


def test_images_a_class_are_those_that_a_training_takes():
    labels = np.repeat(np.arange(100), 500)
    for ratio, val_ratio in itertools.product((0.01, 0.03, 0.1, 1), (0, 0.1, 0.25)):
        kept, _ = sampling.hold_out(labels, val_ratio, 0)
        setting = parse_name(f"{NAME}-labels{ratio}")[0]
        run = results.RunRecord(setting, 0, [], 1, {"val_ratio": val_ratio})
        found = images_per_class([results.Result(setting, [run], [], (), (), "done")])
        assert found * 100 == len(sampling.stratified(labels[kept], ratio, 0))


def test_one_label_ratio_is_no_figure(res):
    write_run(res, NAME, [epoch(0.5, 0.5)])
    assert axes_of(draw_labels, res) is None


def test_imagenet_weights_are_another_line_than_our_own_pretraining(res):
    method = "SupervisedPretrained_cifar100-sgd-lr0.1-bs128"
    for name, path in (("-ratio0.1", "a/b/last.pth"), ("-ratio1", "a/c/last.pth"), ("", "null")):
        write_run(res, method + name, [epoch(0.9, 0.9) if path == "null" else epoch(0.5, 0.5)])
        (res / f"{method}{name}.yml").write_text(f"pretrained_model_path: {path}\n")
    labels = [line.get_label() for line in axes_of(draw_ratio, res).get_lines()]
    assert "Supervised pre-training, linear" in labels and "ImageNet weights, linear" in labels


def test_a_ratio_where_all_diverged_is_marked(res):
    for ratio, loss in (("0.1", 1), ("0.3", math.nan), ("1", 1)):
        write_run(res, f"{NAME}-ratio{ratio}", [epoch(0.5, 0.5, train_loss=loss)])
    figure = draw_ratio(results.read_results(res), "cifar100")
    assert "diverged" in figure.legends[0].get_title().get_text()
