"""What report.py says that its comparisons do not say."""

import pytest

from records.results import read_results
from reporting.comparison import compare
from tests.csv_runs import behind
from tests.reporting.trained import LINEAR, SCRATCH, TUNED, said, train

FOREIGN = {"digest": "abc", "from": "file", "run": None}


def test_weights_that_somebody_else_made_are_one_pretraining(tmp_path):
    train(tmp_path, SCRATCH, 0.0)
    train(tmp_path, LINEAR.removesuffix("-ratio1"), 0.6, weights=FOREIGN)
    words, text = said(tmp_path)
    assert "; of one pre-training alone)" in words and "start from one pre-training" in words
    assert "| one pre-training " in text and "| methods " not in text


@pytest.mark.parametrize("draws, told", [(1, "one draw of the labels"), (3, "methods")])
def test_draws_of_labels_that_all_pretrainings_share_are_told(tmp_path, draws, told):
    """Three pre-trainings; on each a training with one seed for all, or with its own."""
    train(tmp_path, SCRATCH, 0.0, labels=0.1)
    for seed in range(3):
        train(tmp_path / f"{seed}", LINEAR, 0.6, labels=0.1, seeds=1, weights=behind(seed))
        for path in (tmp_path / f"{seed}").glob("*"):
            text = path.read_bytes()
            if path.suffix == ".yml" and draws > 1:
                text = text.replace(b"  seed: 0\n  ", f"  seed: {seed}\n  ".encode(), 1)
            (tmp_path / path.name.replace("lr0.1", f"lr0.1{seed}")).write_bytes(text)
    (pair,), = (each.pairs for each in compare(read_results(tmp_path)))
    assert len(pair.one.sample.shares) == 3 and pair.one.one_draw == (draws == 1)
    words, text = said(tmp_path)
    assert f"| {told} " in text and ("saw the same draw of the labelled images" in words) == (draws == 1)


def test_a_better_setting_of_which_a_run_diverged_is_named(tmp_path):
    train(tmp_path, SCRATCH, 0.0, val=0.5)
    train(tmp_path, LINEAR, 0.6)
    train(tmp_path, SCRATCH.replace("lr0.1", "lr0.2"), 0.5, val=0.7)
    assert "diverged" not in said(tmp_path)[0]
    train(tmp_path, SCRATCH.replace("lr0.1", "lr0.2"), 0.5, val=0.7, seeds=1, columns={"train_loss": float("nan")})
    assert ('Another setting of "Supervised from scratch" is better on validation, but 1 of 3 of its trainings '
            "diverged, so it does not count.") in said(tmp_path)[0]


def test_a_training_that_was_cut_off_is_left_out_of_three(tmp_path):
    train(tmp_path, SCRATCH, 0.0, epochs=2)
    train(tmp_path, LINEAR, 0.6, epochs=2)
    path = train(tmp_path, SCRATCH, 0.0, epochs=2)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    words, _ = said(tmp_path)
    assert 'Training is unfinished: "Supervised from scratch" (1 of 3, which is left out).' in words
    assert "(mean of 2 trainings)" in words and "predictions" not in words


@pytest.mark.parametrize("more, settings, told", [
    ({}, {"arch": "resnet50"}, 'Not all of them are the same network: "Supervised from scratch" resnet18; '
     '"Self-supervised pre-training, linear" resnet50.'),
    ({"labelled_images": 50000}, {}, "They were not all trained on the same labelled images."),
    ({}, {"val_ratio": 0.2}, "They were not all trained on the same labelled images."),
    ({"train_files": "others"}, {}, "They were not all trained on the same labelled images."),
    ({"machine": "a GPU"}, {}, "Minutes are of several machines or numbers of threads, and do not compare methods.")])
def test_what_differs_besides_the_method_is_told(tmp_path, more, settings, told):
    own = {"machine": "two cores", "threads": 2, "train_files": "these"}
    train(tmp_path, SCRATCH, 0.0, more=own)
    train(tmp_path, LINEAR, 0.6, more={**own, **more}, **settings)
    assert told in said(tmp_path)[0]
    train(tmp_path / "equal", SCRATCH, 0.0, more=own)
    train(tmp_path / "equal", LINEAR, 0.6, more=own)
    assert told not in said(tmp_path / "equal")[0]


@pytest.mark.parametrize("value", [None, [], {}, [1], -1, True, float("nan")])
def test_strange_notes_are_no_notes(tmp_path, value):
    train(tmp_path, SCRATCH, 0.0, more=dict.fromkeys(("machine", "threads", "train_files", "labelled_images"), value))
    train(tmp_path, LINEAR, 0.6)
    assert "labelled images" not in said(tmp_path)[0]


def test_where_frequent_classes_decide_the_balanced_accuracy_is_told(tmp_path):
    train(tmp_path, SCRATCH, 0.9, columns={"test_balanced_accuracy": 0.5})
    train(tmp_path, LINEAR, 0.6, columns={"test_balanced_accuracy": 0.625})
    assert ('By balanced accuracy, to which every class counts the same, "Self-supervised pre-training, linear" is '
            'first (62.5 %; "Supervised from scratch" has 50.0 %)') in said(tmp_path)[0]


def test_a_worth_in_labels_is_of_the_curve_that_is_named(tmp_path):
    """There is one of the other stem alone: that is none of the network that the method is held against."""
    for labels, level in ((0.5, -0.3), (1.0, 0.4)):
        train(tmp_path, SCRATCH, level, labels=labels, stem="7x7")
    train(tmp_path, SCRATCH, 0.0, labels=0.5)
    train(tmp_path, TUNED, 0.2, labels=0.5)
    found, = (each for each in compare(read_results(tmp_path)) if each.task.labels == 0.5)
    assert not any(method.worth for method in found.methods)
    assert 'How many labels a method is worth needs trainings of "Supervised from scratch" at two' in said(tmp_path)[0]


def test_a_worth_of_networks_alone_says_so(tmp_path):
    for labels, level, seeds in ((0.1, -0.5, 3), (1.0, 0.5, 1)):
        train(tmp_path, SCRATCH, level, labels=labels, seeds=seeds)
    train(tmp_path, TUNED, 0.0, labels=0.1)
    assert "interpolated between 1 and 10 times; of these networks alone)" in said(tmp_path)[0]
