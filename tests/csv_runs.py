"""CSVs of runs and the YAML files beside them, made here, for the tests of what reads them."""

import csv

import yaml

from records import runs
from records.predictions import write_labels, write_predictions
from records.setting import parse_name

NAME = "Supervised_cifar100-sgd-lr0.1-bs128"
COMMON = {"epochs": 1, "scheduler": "cosine", "weight_decay": 0.0005, "arch": "resnet18", "stem": "7x7",
          "image_size": 32, "amp": "off", "compile": False, "micro_batch_size": None, "seed": 0}
TRAINING = {**COMMON, "criterion": "CrossEntropyLoss", "label_smoothing": 0.0, "label_ratio": 1.0, "val_ratio": 0.1,
            "val_seed": 0}
PRETRAINING = {**COMMON, "model_type": "SelfSupervisedPretraining", "data": "imagenet", "optimizer": "adam",
               "lr": 0.001,
               "batch_size": 64, "sample_ratio": 1.0, "crop_scale": 0.08, "temperature": 0.5}


def write_run(res, name, epochs, planned=None, columns=runs.TRAIN_COLUMNS, made=None):
    """A CSV with one row for each dict of `epochs`, the config.yml of its run if planned, and `made`, a dict as of
    `made_from`, in a YAML file beside it."""
    res.mkdir(parents=True, exist_ok=True)
    rows = [{"epoch": number, "train_loss": 1.0, "seconds": 30.0, **epoch}
            for number, epoch in enumerate(epochs, start=1)]
    with open(res / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    if made:
        (res / f"{name}.yml").write_text(yaml.safe_dump(made), encoding="utf-8")
    if planned:
        folder = res.parent / "checkpoint" / name.removeprefix("pretrain_").replace("_", "/", 1)
        folder.mkdir(parents=True)
        (folder / "config.yml").write_text(f"warmup_epochs: 7\nepochs: {planned}\nlr: 0.1\n")
    return res / f"{name}.csv"


def write_predicted(path, made, correct, classes=3):
    """Predictions beside a CSV, right where `correct` is. Args: made: its YAML."""
    labels = [place % classes for place in range(len(correct))]
    write_labels(path, made["data"]["test"], labels, classes)
    write_predictions(path, [label if right else (label + 1) % classes for label, right in zip(labels, correct)],
                      classes)


def epoch(val, test, **more):
    return {"val_accuracy": val, "test_accuracy": test, **more}


def made_from(name=NAME, weights=None, data="images", duplicates=None, **settings):
    """The YAML of a run, as programs write it. Args: name: an old one, which tells the settings that are not given.
    weights: as of `behind`. data: the digest of its images."""
    setting, seed, _ = parse_name(name)
    own = {"model_type": setting.model_type, "data": setting.data, "optimizer": setting.optimizer, "lr": setting.lr,
           "batch_size": setting.batch_size, "seed": seed}
    if settings.get("optimizer") == "lbfgs":
        del own["lr"], own["batch_size"]
    if setting.pretraining:
        known = {**PRETRAINING, **own, "sample_ratio": setting.ratio, **settings}
    else:
        known = {**TRAINING, **own, "label_ratio": setting.labels, **settings}
    return {"name": "of no meaning", "settings": known, "data": {"images": data, "test": f"test{data}"},
            "weights": weights, "duplicates": duplicates}


def behind(seed=0, images="of pre-training", **settings):
    """The weights of a pre-training of ours."""
    made = {"settings": {**PRETRAINING, "seed": seed, **settings}, "data": {"images": images}, "weights": None}
    return {"digest": f"weights of seed {seed}", "from": "run", "run": made}
