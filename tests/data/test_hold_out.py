"""What is held out to choose on: never the last image of a class."""

import numpy as np
import pytest

from data.datasets import hold_out, stratified
from training.images import say_unchosen


@pytest.mark.parametrize("count, ratio, held", [
    (1, 0.1, 0), (1, 0.01, 0), (1, 0.9, 0), (2, 0.1, 1), (2, 0.8, 1), (3, 0.9, 2), (4, 0.9, 3), (5, 0.9, 4)])
def test_a_class_keeps_an_image_to_train_on(count, ratio, held):
    labels = np.repeat([0, 1, 2], [20, count, 30])
    kept, validation = hold_out(labels, ratio, 0)
    assert (labels[validation] == 1).sum() == held and (labels[kept] == 1).sum() == count - held
    assert sorted([*kept, *validation]) == list(range(len(labels)))
    assert set(hold_out(labels, ratio / 2, 0)[1]) <= set(validation)


def test_of_ordinary_classes_the_same_images_as_ever():
    labels = np.repeat(np.arange(3), [10, 25, 500])
    for ratio in (0.01, 0.1, 0.5, 0.9):
        assert np.array_equal(hold_out(labels, ratio, 7)[1], stratified(labels, ratio, 7, purpose="hold-out"))


def test_classes_without_a_validation_image_are_named(capsys):
    say_unchosen(("ape", "two\nlines", "cat"), np.array([0, 0, 2]))
    assert capsys.readouterr().out == ("validation has no image of 1 of 3 classes, which have too few to hold "
                                       "one out: two\\nlines\n")
    say_unchosen(("ape", "bee"), np.array([1, 0]))
    assert not capsys.readouterr().out
