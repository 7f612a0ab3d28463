"""The plan of run.sh own: it takes the minutes that there are, and fits the pictures."""

import numpy as np
import pytest

from conf.methods import MODEL_TYPES
from data.dataloader import Batches
from grid_search.budget import LEAST, MOST, Pictures, batch_for, choose_input, make_plan

METHODS = [name for name, kind in MODEL_TYPES.items() if not kind.imagenet]


def steady(rate):
    return lambda size, stem, batch_size: rate * (32 / size) ** 2 / (10 if stem == "3x3" else 1)


@pytest.mark.parametrize("rate", [30, 1000, 10 ** 5])
@pytest.mark.parametrize("minutes", [3, 20, 600])
@pytest.mark.parametrize("pictures",
                         [Pictures(700, 70, 20, 300, 3000), Pictures(64, 6, 2, 16, 0),
                          Pictures(10 ** 5, 10 ** 4, 100, 30000, 0)])
def test_a_plan_takes_the_minutes_that_there_are(pictures, minutes, rate):
    """Or says how many it needs, where they are too few for the least that tells anything."""
    size, stem = choose_input(40, pictures.train, 60 * minutes, steady(rate))
    plan = make_plan(pictures, 60 * minutes, size, stem, steady(rate), METHODS)
    trained = [row for row in plan.trainings if not MODEL_TYPES[row["model-type"]].frozen and row["label-ratio"] == 1]
    least = plan.pretraining["epochs"] == LEAST["pretraining"] or trained[0]["epochs"] == LEAST["training"]
    assert plan.seconds <= 60 * minutes * 1.02 or least
    assert LEAST["pretraining"] <= plan.pretraining["epochs"] <= MOST["pretraining"]
    if plan.seconds < 60 * minutes * 0.8:  # time is left because nothing would come of more
        assert plan.pretraining["epochs"] == MOST["pretraining"] or trained[0]["epochs"] == MOST["training"]
    assert {(row["image-size"], row["stem"]) for row in plan.trainings} == {(size, stem)}, "one network for all"


@pytest.mark.parametrize("images", [700, 470, 240])
def test_trained_methods_have_as_many_steps_with_few_labels(images):
    plan = make_plan(Pictures(images, images // 10, 10, 300, 3000), 1200, 32, "7x7", steady(1000), METHODS)
    pixels, labels = np.zeros((images, 1, 1, 3), np.uint8), np.zeros(images, np.int64)
    steps = {row["epochs"] * len(Batches(pixels, labels, row["batch-size"], "cpu",
                                         np.arange(round(images * row["label-ratio"]))))
             for row in plan.trainings if "epochs" in row}
    assert len({row["label-ratio"] for row in plan.trainings}) == 2 and max(steps) <= 1.02 * min(steps)


@pytest.mark.parametrize("classes, wanted", [(35, {0.1, 1.0}), (36, {1.0})])
def test_few_labels_are_left_out_where_there_are_too_few(classes, wanted):
    plan = make_plan(Pictures(700, 70, classes, 300, 0), 1200, 32, "7x7", steady(1000), METHODS)
    assert {row["label-ratio"] for row in plan.trainings} == wanted


def test_more_time_or_a_faster_machine_sees_more_detail():
    seen = [choose_input(224, 4000, seconds, steady(rate)) for rate, seconds in ((10, 60), (300, 1200), (10 ** 4, 1200),
                                                                                  (10 ** 6, 1200))]
    sizes = [size for size, _ in seen]
    assert sizes == sorted(sizes) and sizes[0] == 32 and sizes[-1] == 224
    assert choose_input(30, 4000, 1200, steady(10 ** 6)) == (32, "3x3"), "no more than the pictures have"
    assert seen[0] == (32, "7x7"), "the fastest there is"


def test_no_batch_is_larger_than_the_images_of_a_tenth():
    """Which are counted class by class: of two classes of 25, 2 each."""
    plan = make_plan(Pictures(50, 4, 2, 20, 0), 60, 32, "7x7", steady(1000), METHODS)
    assert {row["batch-size"] for row in plan.trainings if row["label-ratio"] == 0.1} == {4}


def test_batches_suit_the_images():
    assert [batch_for(images, 128) for images in (5, 16, 40, 700, 10 ** 6)] == [5, 16, 16, 32, 128]
