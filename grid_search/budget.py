"""A plan for a number of pictures and the minutes there are: what the networks see, and for how many
epochs."""

from typing import NamedTuple

from conf.methods import MODEL_TYPES
from data.dataloader import steps_of

SEEDS = 3
FEW = 0.1  # of the labels, besides all of them
LEAST_A_CLASS = 2  # labelled pictures, on average, for a share of the labels to be worth a run
MOST_BATCH = 128
SIZES = 224, 160, 128, 96, 64, 48, 32  # px a side
WANTED = 100  # epochs of pre-training; where there is no time for them, smaller pictures pay more
MOST = {"pretraining": 800, "training": 200}  # epochs; with few labels, as many steps
LEAST = {"pretraining": 10, "training": 10}
START = 8  # seconds that a program takes before and after it trains
VIEWS = 2.2  # of an image of which SimCLR sees two, and makes them
JUDGING = 1.1  # of an epoch: to evaluate takes a tenth of the time, at most
PRETRAINING_SHARE = 0.45  # of the time
SIMCLR = {"optimizer": "adam", "lr": 0.0003, "temperature": 0.1, "crop-scale": 0.25,
          "color-strength": 0.5, "sample-ratio": 1.0}
TRAINED = {"optimizer": "adam", "lr": 0.001}
LINEAR = {"optimizer": "lbfgs"}
IMAGENET_SIZES = {True: 224, False: 64}  # px a side, at least; frozen or not


class Pictures(NamedTuple):
    """How many there are. train: labelled ones to train on, of so many classes; few: those of them
    that a share of FEW takes. judged: to choose and to test on. unlabelled: further ones to pre-train
    on."""

    train: int
    few: int
    classes: int
    judged: int
    unlabelled: int


class Plan(NamedTuple):
    """pretraining: dict of options of pretrain.py. trainings: the same of train.py, a dict each,
    to be run with so many seeds. seconds: that all this takes, about."""

    pretraining: dict
    trainings: list
    seeds: int
    seconds: float


def choose_input(side, images, seconds, speed):
    """What the networks see: the most detail that WANTED epochs of pre-training have time for.

    Args: side: of the pictures, px. images: to pre-train on. speed: (size, stem, batch size) ->
        images/s of a training step. Returns: (px a side, stem).
    """
    sizes = [size for size in SIZES if size <= max(side, SIZES[-1])]
    able = [*((size, "7x7") for size in sizes[:-1]), (SIZES[-1], "3x3")]
    for size, stem in able:
        if WANTED * images * VIEWS / speed(size, stem, MOST_BATCH) <= PRETRAINING_SHARE * seconds:
            return size, stem
    return SIZES[-1], "7x7"


def batch_for(images, most):
    """A power of two: a sixteenth of the images, from 16 to most; all of them where they are less."""
    size = 16
    while size < most and 32 * size <= images:
        size *= 2
    return min(size, images)


def make_plan(pictures, seconds, size, stem, speed, methods):
    """The settings of all runs. Args: size, stem, speed: as of choose_input. methods: names of
    those that there are weights for. Returns: Plan."""
    seen = {"image-size": size, "stem": stem}
    shares = [1.0] + [FEW] * (FEW * pictures.train >= LEAST_A_CLASS * pictures.classes)
    trained = [name for name in methods if not MODEL_TYPES[name].frozen]
    spent = START * (1 + SEEDS * len(shares) * len(methods))
    left = max(0.0, seconds - spent)

    images = pictures.train + pictures.unlabelled
    batch = batch_for(images, MOST_BATCH)
    second = VIEWS / speed(size, stem, batch)
    epochs = _within(left * PRETRAINING_SHARE / (images * second), "pretraining")
    pretraining = {**SIMCLR, **seen, "batch-size": batch, "epochs": epochs}
    before = epochs * images * second

    counts = dict(zip(shares, (pictures.train, pictures.few)))
    batches = {share: batch_for(count, MOST_BATCH) for share, count in counts.items()}
    step = sum(batches[share] / speed(*_input_of(name, size, stem), batches[share]) * JUDGING
               for name in trained for share in shares)
    per_epoch = {share: steps_of(counts[share], batches[share]) for share in shares}
    epochs = _within((left - before) / (SEEDS * step * per_epoch[1.0]), "training")
    steps = epochs * per_epoch[1.0]
    trainings = []
    for share in reversed(shares):  # so that the newest, which is applied where none is named, has all labels
        trained_row = {**TRAINED, "epochs": -(-steps // per_epoch[share])}
        for name in methods:
            own_size, own_stem = _input_of(name, size, stem)
            trainings.append({
                "model-type": name, "label-ratio": share, "batch-size": batches[share],
                "image-size": own_size, "stem": own_stem,
                **(LINEAR if MODEL_TYPES[name].frozen else trained_row)})
    return Plan(pretraining, trainings, SEEDS, spent + before + SEEDS * step * steps)


def _within(epochs, kind):
    return int(min(max(epochs, LEAST[kind]), MOST[kind]))


def _input_of(name, size, stem):
    """(px a side, stem) that a method sees."""
    kind = MODEL_TYPES[name]
    return (max(size, IMAGENET_SIZES[kind.frozen]), "7x7") if kind.imagenet else (size, stem)
