"""Stands for train.py and pretrain.py where a grid is tested: their command line, files, signals and lock, no PyTorch.

The figures depend on the settings alone: a table tells whether the right cells were run, each of its epochs once.
"""

import os
import signal
import time
import zlib
from pathlib import Path

import yaml

import utils
from records import runs
from records.files import flock
from training import identity
from training.command_line import parse_pretrain, parse_train

PRETRAINING = Path(__file__).name == "pretrain.py"
EPOCH_SECONDS = float(os.environ.get("EPOCH_SECONDS", "0.05"))


def identity_of(args):
    """What the run is made from: settings, and the name of the pre-training that it starts from."""
    path = getattr(args, "pretrained_model_path", None)
    if PRETRAINING:
        start = identity.pretraining_start(args)
        return identity.of_pretraining(args, start), start.usual
    if path and not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    start = identity.start_of(None, args.data, args.arch, path)
    return identity.of_training(args, start), start.usual


def row_of(epoch, columns, key):
    row = {column: zlib.crc32(f"{key} {column} {epoch}".encode()) / 2 ** 32 for column in columns}
    return {**row, "epoch": epoch, "seconds": EPOCH_SECONDS}


def main(argv=None):
    args = (parse_pretrain if PRETRAINING else parse_train)(argv)
    made_from, usual = identity_of(args)
    name = identity.name_of(args, made_from, usual)
    columns = runs.PRETRAIN_COLUMNS if PRETRAINING else runs.TRAIN_COLUMNS
    folder = args.output_dir / "checkpoint" / args.model_type / name
    log = args.output_dir / "res" / f"{'pretrain_' * PRETRAINING}{args.model_type}_{name}.csv"
    last, signals = folder / "last.pth", []
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / "lock", "ab")
    if flock(lock, "LOCK_EX", "LOCK_NB") is False:
        raise ValueError(f"{folder}: another process works on this run")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.append(number))
    done = int(last.read_text()) if args.resume else 0
    for path in (folder / "config.yml", log.with_suffix(".yml")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({**made_from.plain(), "made": name, "flags": {
            flag: str(value) if isinstance(value, Path) else value for flag, value in vars(args).items()}}))
    key = f"{args.model_type} {name}"
    table = runs.CsvLog(log, columns, row_of(done, columns, key) if done else None)
    for epoch in range(done + 1, args.epochs + 1):
        time.sleep(EPOCH_SECONDS)
        while os.path.exists(os.environ.get("WAIT_WHILE_THERE_IS", "")):
            time.sleep(0.02)
        last.with_suffix(".partial").write_text(str(epoch))
        last.with_suffix(".partial").rename(last)
        table.write(row_of(epoch, columns, key))
        if signals and epoch < args.epochs:
            raise utils.Interrupted(f"stopped after epoch {epoch}", signals[0])
    print(f"checkpoint: {last}")


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
