"""What is held out to choose on: never the last image of a class, a copy, or what is pre-trained on."""

import numpy as np
import pytest

import train
from data.datasets import load_split
from data.sampling import hold_out, sample, stratified


@pytest.mark.parametrize("count, ratio, held", [
    (1, 0.1, 0), (1, 0.01, 0), (1, 0.9, 0), (2, 0.1, 1), (2, 0.8, 1), (3, 0.9, 2), (4, 0.9, 3), (5, 0.9, 4)])
def test_a_class_keeps_an_image_to_train_on(count, ratio, held):
    labels = np.repeat([0, 1, 2], [20, count, 30])
    kept, validation = hold_out(labels, ratio, 0)
    assert (labels[validation] == 1).sum() == held and (labels[kept] == 1).sum() == count - held
    assert sorted([*kept, *validation]) == list(range(len(labels)))
    assert set(hold_out(labels, ratio / 2, 0)[1]) <= set(validation)


def test_of_ordinary_classes_the_share_of_each():
    labels = np.repeat(np.arange(3), [10, 25, 500])
    for ratio in (0.01, 0.1, 0.5, 0.9):
        assert np.array_equal(hold_out(labels, ratio, 7)[1], stratified(labels, ratio, 7, purpose="hold-out"))


def test_a_sample_with_the_same_seed_is_not_what_is_held_out():
    """They once were the same images."""
    labels = np.repeat(np.arange(10), 100)
    drawn = {purpose: set(stratified(labels, 0.1, 5, purpose=purpose)) for purpose in
             ("sample", "hold-out", "labels", "probe")}
    assert set(hold_out(labels, 0.1, 5)[1]) == drawn["hold-out"]
    names = sorted(drawn)
    assert all(len(drawn[one] & drawn[other]) < 30 for one in names for other in names if one != other)


def test_copies_never_lie_on_both_sides():
    labels = np.repeat(np.arange(4), 50)
    checksums = np.arange(200) % 150  # a quarter of the pictures are there twice, in two classes
    drawn = hold_out(labels, 0.3, 1)[1]
    kept, validation = hold_out(labels, 0.3, 1, checksums)
    assert not set(checksums[kept]) & set(checksums[validation]) and len(validation) < len(drawn)
    assert set(validation) < set(drawn) and sorted([*kept, *validation]) == list(range(200))
    expected = [row for row in drawn if checksums[row] not in checksums[np.setdiff1d(np.arange(200), drawn)]]
    assert validation.tolist() == expected
    assert np.array_equal(hold_out(labels, 0.3, 1, np.arange(200))[1], drawn)
    assert len(hold_out(labels, 0.3, 1, np.zeros(200, int))[1]) == 0


def test_copies_that_are_drawn_together_stay_held_out():
    labels = np.zeros(50, int)
    drawn = hold_out(labels, 0.2, 0)[1]
    checksums = np.arange(50)
    checksums[drawn[:2]] = 99
    assert np.array_equal(hold_out(labels, 0.2, 0, checksums)[1], drawn)


def test_an_image_that_cannot_be_read_changes_nothing_for_the_others():
    labels = np.repeat(np.arange(4), 50)
    rows = np.delete(np.arange(200), [3, 77, 199])
    drawn = hold_out(labels, 0.2, 1)[1]
    kept, validation = hold_out(labels, 0.2, 1, np.arange(200), rows)
    assert rows[validation].tolist() == np.intersect1d(drawn, rows).tolist()
    assert sorted([*kept, *validation]) == list(range(197))
    assert [len(part) for part in hold_out(labels, 0, 1, None, rows)] == [197, 0]


def test_a_class_whose_other_images_cannot_be_read_keeps_what_was_drawn():
    labels = np.repeat([0, 1], 10)
    drawn = hold_out(labels, 0.3, 0)[1]
    rows = np.concatenate([np.arange(10), drawn[drawn >= 10]])
    kept, validation = hold_out(labels, 0.3, 0, None, rows)
    assert (labels[rows[kept]] == 1).sum() == 3 and rows[validation].tolist() == drawn[drawn < 10].tolist()


@pytest.mark.parametrize("left_out", [None, (0.2, 3), (0.2, 4)])
def test_samples_are_nested_and_leave_out_what_is_held_out(left_out):
    labels = np.repeat(np.arange(5), [10, 20, 30, 40, 1])
    found = [sample(labels, ratio, 3, left_out) for ratio in (0.1, 0.5, 1.0)]
    assert set(found[0]) < set(found[1]) < set(found[2])
    wanted = hold_out(labels, *left_out)[0] if left_out else np.arange(101)
    assert np.array_equal(found[2], wanted) and np.array_equal(sample(labels, 1.0, 9, left_out), wanted)
    assert all(set(labels[rows]) == set(range(5)) for rows in found)


def test_where_labels_lack_nothing_is_left_out():
    labels = np.array([-1] * 20 + [0] * 20)
    assert len(sample(labels, 1.0, 0, (0.5, 0))) == 40 and len(sample(labels[20:], 1.0, 0, (0.5, 0))) == 10


def test_pre_training_decodes_nothing_that_is_held_out(image_folder):
    split = load_split("cifar100", "pretrain", image_folder / "data", left_out=(0.2, 5))
    kept, validation = hold_out(split.labels, 0.2, 5)
    assert np.array_equal(split.rows, kept) and len(validation) == 8
    assert not split.images[validation].any() and (split.checksums[validation] == -1).all()
    assert split.images[kept].any((1, 2, 3)).all()
    assert len(load_split("cifar100", "test", image_folder / "data", left_out=(0.2, 5)).rows) == 12
    assert len(load_split("cifar100", "train", image_folder / "data").rows) == 40


def test_held_out_images_that_a_training_has_decoded_are_left_out_too(image_folder):
    train = load_split("cifar100", "train", image_folder / "data")
    split = load_split("cifar100", "pretrain", image_folder / "data", left_out=(0.2, 5))
    assert np.array_equal(split.rows, hold_out(train.labels, 0.2, 5)[0]) and len(split.rows) == 32


def test_held_out_images_are_not_pre_trained_on_where_some_cannot_be_read(image_folder):
    (image_folder / "data/cifar100/train/class1/4.png").write_bytes(b"")
    options = {"max_bad_images": 1, "left_out": (0.2, 5)}
    pretraining = load_split("cifar100", "pretrain", image_folder / "data", **options)
    train = load_split("cifar100", "train", image_folder / "data", max_bad_images=1)
    assert len(train.rows) == 39
    _, held_out = hold_out(train.labels, 0.2, 5, train.checksums, train.rows)
    assert len(held_out) >= 7 and not set(train.rows[held_out]) & set(pretraining.rows)


def test_classes_without_a_validation_image_are_named(capsys):
    train.say_unchosen(("ape", "two\nlines", "cat"), np.array([0, 0, 2]))
    assert capsys.readouterr().out == "validation has no image of 1 of 3 classes: two\\nlines\n"
    train.say_unchosen(("ape", "bee"), np.array([1, 0]))
    assert not capsys.readouterr().out
