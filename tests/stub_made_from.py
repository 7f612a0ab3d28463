"""Stands for training/images.py and supervised_pretrained/start.py where a grid is tested: no images, no PyTorch."""

from types import SimpleNamespace

from data.datasets import DATASETS
from records.setting import read_config


def open_labelled(args, image_size):
    return SimpleNamespace(counts=(1, 0), digests=dict.fromkeys(("images", "train", "val", "test"), str(image_size)))


def open_pretraining(args):
    return str(args.sample_ratio)


def pretraining_digests(split):
    return {"images": "", "pretrain": split}


def read_weights(kind, arch, dataset, path=None, say=None):
    """Weights known by the name of their run, which may be gone."""
    log = path and path.parent.parent.parent.parent / "res" / "_".join(("pretrain", *path.parts[-3:-1]))
    known = read_config(log.with_name(log.name + ".yml")) if log else {}
    if path and not known and not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    seen = known.get("settings", {})
    dataset = DATASETS[seen["data"]] if seen else dataset
    stem = seen.get("stem", "7x7" if path else "3x3")
    usual = {"image_size": seen.get("image_size", 32), "stem": stem, "mean": list(dataset.mean),
             "std": list(dataset.std)}
    return SimpleNamespace(usual=usual, identity=path and {"digest": path.parent.name, "from": "run", "run": {
        name: known.get(name) for name in ("settings", "data", "weights")}})
