"""Stands for train.py and pretrain.py where a grid is tested: their command line, files, signals and errors, no PyTorch.

The figures depend on the settings alone: a table tells whether the right cells were run, each of its epochs once.
"""

import os
import signal
import time
import zlib
from pathlib import Path

import yaml

import utils
from records import results, runs
from training.command_line import parse_pretrain, parse_train

PRETRAINING = Path(__file__).name == "pretrain.py"
EPOCH_SECONDS = float(os.environ.get("EPOCH_SECONDS", "0.05"))


def name_of(args):
    """As the programs name it; what a checkpoint was trained as, its path tells."""
    ratio, data, path = getattr(args, "sample_ratio", None), None, getattr(args, "pretrained_model_path", None)
    if path:
        if not path.is_file():
            raise FileNotFoundError(f"no checkpoint at {path}")
        source = results.parse_name("pretrain_" + "_".join(path.parts[-3:-1]))[0]
        ratio, data = source.ratio, source.data
    return runs.run_name(args.data, args.optimizer, args.lr, args.batch_size, ratio, getattr(args, "label_ratio", 1.0),
                         args.seed, data)


def row_of(epoch, columns, key):
    row = {column: zlib.crc32(f"{key} {column} {epoch}".encode()) / 2 ** 32 for column in columns}
    return {**row, "epoch": epoch, "seconds": EPOCH_SECONDS}


def main(argv=None):
    args = (parse_pretrain if PRETRAINING else parse_train)(argv)
    name, columns = name_of(args), runs.PRETRAIN_COLUMNS if PRETRAINING else runs.TRAIN_COLUMNS
    folder = args.output_dir / "checkpoint" / args.model_type / name
    log = args.output_dir / "res" / f"{'pretrain_' * PRETRAINING}{args.model_type}_{name}.csv"
    last, signals = folder / "last.pth", []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.append(number))
    done = int(last.read_text()) if args.resume else 0
    for path in (folder / "config.yml", log.with_suffix(".yml")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({key: str(v) if isinstance(v, Path) else v for key, v in vars(args).items()}))
    key = f"{args.model_type} {name}"
    table = runs.CsvLog(log, columns, row_of(done, columns, key) if done else None)
    for epoch in range(done + 1, args.epochs + 1):
        time.sleep(EPOCH_SECONDS)
        last.with_suffix(".partial").write_text(str(epoch))
        last.with_suffix(".partial").rename(last)
        table.write(row_of(epoch, columns, key))
        if signals and epoch < args.epochs:
            raise utils.Interrupted(f"stopped after epoch {epoch}", signals[0])
    print(f"checkpoint: {last}")


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
