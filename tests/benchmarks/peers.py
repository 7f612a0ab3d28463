"""How each whole program is started for a task: ours, and the well-known ones. Nothing of theirs is in here.

All train a ResNet-18 from scratch on the CPU, with as many images, pixels, epochs and workers and the same batch size.
SimCLR: each with its own augmentation, at its defaults but for the size. lightly-train, SimCLR's code and timm know the
7x7 stem alone, at 32 px too; solo-learn has the 3x3 stem for CIFAR alone (padded by 2, hence 34 px), pytorch-cifar100
the 3x3 stem alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, NamedTuple

import measure
import yaml

HERE = Path(__file__).resolve().parent
HIDDEN, WIDTH = 512, 128  # of the projection head, as ours and SimCLR's code have it
TEMPERATURE, LR = 0.1, 3e-4  # of NT-Xent; of Adam
SUPERVISED_LR = 0.1  # of SGD


class Job(NamedTuple):
    """One run: task "simclr" or "supervised"; size in px a side; images as peer_images.py lays them; out: a fresh
    folder, which is the run's working folder."""
    task: str
    size: int
    stem: str
    batch: int
    epochs: int
    workers: int
    images: Path
    out: Path


class Peer(NamedTuple):
    """command: (folder, Job) -> words; checkpoint: where it leaves its last weights below `out`; runs: the (task, stem)
    that it knows; packages: whose versions tell its own, where it is no checkout; precision: its best on a CPU."""
    command: Callable
    checkpoint: str
    runs: tuple
    precision: str
    packages: tuple = ()

    def knows(self, task, stem):
        return (task, stem) in self.runs


def python_of(folder):
    """The Python of a virtual environment, or of one in `.venv` or `venv` of a checkout; else the one that runs."""
    places = [Path(folder) / inside / "bin" / "python" for inside in ("", ".venv", "venv")]
    return next((str(place) for place in places if place.exists()), sys.executable)


def version_of(peer, folder):
    """Versions of its packages, or the commit of its checkout."""
    if peer.packages:
        words = f"from importlib.metadata import version as v; print(*(p + ' ' + v(p) for p in {peer.packages!r}))"
        command = [python_of(folder), "-c", words]
    else:
        command = ["git", "-C", str(folder), "log", "-1", "--format=%h of %cs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "version not known"


def environment(threads):
    """Of every run: CPU, so many threads, and nothing that asks the network."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1",
            "WANDB_MODE": "disabled", "NO_ALBUMENTATIONS_UPDATE": "1", "LIGHTLY_TRAIN_EVENTS_DISABLED": "1"}


def ours(start_size=None):
    """A Peer: this repository, growing from start_size px where it is given."""
    def command(folder, job):
        words = [sys.executable, folder / "pretrain.py", "--knn-every", 0, "--data", "imagenet", "--sample-ratio", 1,
                 "--optimizer", "adam", "--lr", LR, "--temperature", TEMPERATURE, "--out-dim", WIDTH]
        if job.task == "supervised":
            words = [sys.executable, folder / "train.py", "--model-type", "Supervised", "--data", "cifar100",
                     "--val-ratio", 0, "--optimizer", "sgd", "--lr", SUPERVISED_LR]
        growing = ["--start-size", start_size] if start_size else []
        return [*words, "--data-dir", job.images, "--store-dir", job.out / "store", "--output-dir", job.out,
                "--image-size", job.size, "--stem", job.stem, "--batch-size", job.batch, "--epochs", job.epochs,
                "--workers", job.workers, *growing]
    runs = tuple((task, stem) for task in ("simclr", "supervised") for stem in ("7x7", "3x3"))
    return Peer(command, "checkpoint/*/*/last.pth", runs, "--amp auto")


def lightly_train(folder, job):
    options = {"out": job.out / "run", "data": job.images / "imagenet" / "train", "model": "torchvision/resnet18",
               "method": "simclr", "epochs": job.epochs, "batch_size": job.batch, "num_workers": job.workers,
               "accelerator": "cpu", "devices": 1, "precision": "bf16-mixed", "optim": "adamw", "optim_args.lr": LR,
               "method_args.temperature": TEMPERATURE, "method_args.hidden_dim": HIDDEN,
               "method_args.output_dim": WIDTH, "transform_args.image_size": f"[{job.size},{job.size}]"}
    return [Path(folder) / "bin" / "lightly-train", "pretrain", *(f"{name}={it}" for name, it in options.items())]


def solo_learn(folder, job):
    """With the settings of its file for SimCLR, in a file of our own as its guide asks for."""
    cifar = job.stem == "3x3"
    jitter = {"prob": 0.8, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
    views = {"rrc": {"enabled": True, "crop_min_scale": 0.08, "crop_max_scale": 1.0}, "color_jitter": jitter,
             "grayscale": {"prob": 0.2}, "gaussian_blur": {"prob": 0.0 if cifar else 0.5}, "crop_size": job.size,
             "solarization": {"prob": 0.0}, "equalization": {"prob": 0.0}, "horizontal_flip": {"prob": 0.5},
             "num_crops": 2}
    train = job.images / "pickled" if cifar else job.images / "imagenet" / "train"
    settings = {
        "defaults": ["_self_", {"override hydra/hydra_logging": "disabled"},
                     {"override hydra/job_logging": "disabled"}],
        "hydra": {"output_subdir": None, "run": {"dir": "."}},
        "name": "simclr", "method": "simclr", "backbone": {"name": "resnet18"},
        "method_kwargs": {"proj_hidden_dim": HIDDEN, "proj_output_dim": WIDTH, "temperature": TEMPERATURE},
        "data": {"dataset": "cifar10" if cifar else "custom", "train_path": str(train), "format": "image_folder",
                 "num_workers": job.workers, **({"val_path": str(train)} if cifar else {})},
        "augmentations": [views],
        "optimizer": {"name": "adam", "batch_size": job.batch, "lr": LR, "classifier_lr": LR, "weight_decay": 1e-4},
        "scheduler": {"name": "warmup_cosine"},
        "checkpoint": {"enabled": True, "dir": str(job.out / "run"), "frequency": 1},
        "auto_resume": {"enabled": False}, "wandb": {"enabled": False},
        "max_epochs": job.epochs, "devices": "1", "accelerator": "cpu", "strategy": "auto", "precision": "bf16-mixed"}
    (job.out / "settings.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return [*launched(folder, "main_pretrain.py", {}), "--config-path", job.out, "--config-name", "settings"]


def launched(folder, program, changes):
    """A program of a checkout, started by peer_launch.py."""
    return [python_of(folder), HERE / "peer_launch.py", json.dumps(changes), Path(folder) / program]


def simclr_code(folder, job):
    """At 32 px its own CIFAR-10; at any other size a folder of images."""
    changes = {} if job.size == 32 else {"images": str(job.images / "imagenet" / "train"), "size": job.size}
    return [*launched(folder, "run.py", changes), "-data", job.images / "pickled", "-dataset-name", "cifar10",
            "-a", "resnet18", "--epochs", job.epochs, "-b", job.batch, "-j", job.workers, "--lr", LR,
            "--out_dim", WIDTH, "--temperature", TEMPERATURE, "--disable-cuda"]


def cifar100_code(folder, job):
    (job.out / "data").symlink_to(job.images / "pickled")
    return [*launched(folder, "train.py", {"epochs": job.epochs, "workers": job.workers}), "-net", "resnet18",
            "-b", job.batch, "-lr", SUPERVISED_LR]


def timm(folder, job):
    """Its crops and flips, without its changes of colour."""
    return [python_of(folder), Path(folder) / "train.py", "--data-dir", job.images / "cifar100",
            "--train-split", "train", "--val-split", "test", "--model", "resnet18", "--num-classes", 100,
            "--img-size", job.size, "--epochs", job.epochs, "--batch-size", job.batch, "--workers", job.workers,
            "--device", "cpu", "--amp", "--amp-dtype", "bfloat16", "--channels-last", "--opt", "sgd",
            "--lr", SUPERVISED_LR, "--warmup-epochs", 0, "--color-jitter", 0, "--output", job.out / "run"]


PEERS = {
    "lightly-train": Peer(lightly_train, "run/checkpoints/last.ckpt", (("simclr", "7x7"),), "bf16-mixed",
                          ("lightly-train", "torch")),
    "solo-learn": Peer(solo_learn, "run/**/*.ckpt", (("simclr", "7x7"), ("simclr", "3x3")), "bf16-mixed"),
    "SimCLR": Peer(simclr_code, "runs/*/checkpoint_*.pth.tar", (("simclr", "7x7"),), "float32"),
    "pytorch-cifar100": Peer(cifar100_code, "checkpoint/resnet18/*/*.pth", (("supervised", "3x3"),), "float32"),
    "timm": Peer(timm, "run/*/last.pth.tar", (("supervised", "7x7"),), "bf16"),
}


def whole(peer, folder, job, threads):
    """Seconds of a whole run, from the start of its process to its end. Raises: RuntimeError where it ends with an
    error or leaves no weights."""
    words = list(map(str, peer.command(Path(folder), job)))

    def run():
        return subprocess.run(words, cwd=job.out, env=environment(threads), capture_output=True, text=True, check=False)
    done = []
    seconds = measure.seconds(lambda: done.append(run()))
    if done[0].returncode or not list(job.out.glob(peer.checkpoint)):
        raise RuntimeError(f"{' '.join(words)} ended with {done[0].returncode}, weights "
                           f"{[str(path) for path in job.out.glob(peer.checkpoint)]}:\n{done[0].stdout[-1500:]}"
                           f"{done[0].stderr[-3000:]}")
    return seconds
