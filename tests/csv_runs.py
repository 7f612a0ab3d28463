"""CSVs of runs, made here, for the tests of what reads them."""

import csv

from records import runs

NAME = "Supervised_cifar100-sgd-lr0.1-bs128"


def write_run(res, name, epochs, planned=None, columns=runs.TRAIN_COLUMNS):
    """A CSV with one row for each dict of `epochs`, and the config.yml of its run if planned."""
    res.mkdir(parents=True, exist_ok=True)
    rows = [{"epoch": number, "train_loss": 1.0, "seconds": 30.0, **epoch}
            for number, epoch in enumerate(epochs, start=1)]
    with open(res / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    if planned:
        folder = res.parent / "checkpoint" / name.removeprefix("pretrain_").replace("_", "/", 1)
        folder.mkdir(parents=True)
        (folder / "config.yml").write_text(f"warmup_epochs: 7\nepochs: {planned}\nlr: 0.1\n")
    return res / f"{name}.csv"


def epoch(val, test, **more):
    return {"val_accuracy": val, "test_accuracy": test, **more}
