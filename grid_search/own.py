"""The commands of `run.sh own`: all methods on somebody's pictures, DIR/<class>/*.

What was decided lies in plan.yml in the output folder: the same pictures and minutes keep it,
whatever else the machine does by then, so that a second start goes on.
"""

import argparse
import contextlib
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

import utils
from conf.methods import MODEL_TYPES
from conf.values import MANY, number, path
from data.datasets import open_source
from data.own import check_apart, pile, stores_of
from data.sampling import stratified
from grid_search.all_methods import commands
from grid_search.budget import FEW, LEAST, Pictures, choose_input, make_plan
from grid_search.cells import Cell, words_of
from grid_search.speed import images_per_second
from records.files import whole
from records.names import printable
from records.setting import is_count, read_config
from supervised_pretrained.imagenet import imagenet_weights
from training.command_line import parse_pretrain, parse_train
from training.images import open_labelled, open_pretraining

PLAN, PLAN_BEFORE = "plan.yml", "plan_before.yml"
MINUTES = {"cpu": 20.0, "cuda": 60.0}
LOOKED_AT = 200  # pictures, for their size
SPENT = 0.85  # of the minutes are planned: a loop is a little slower than its steps
TAKEN = set(utils.flags(lambda flag: "grids" in flag.shared)) - {"data_dir"}  # options of all programs


def parse(argv, caller):
    """(what `own` alone is asked for, settings that all programs share) of a command line.

    Args: caller: the folder that its paths are relative to. Raises: SystemExit.
    """
    parser = argparse.ArgumentParser(prog="run.sh own", allow_abbrev=False)
    parser.error = _usage
    parser.add_argument("folder")
    parser.add_argument("--unlabelled", type=path)
    parser.add_argument("--minutes", type=number(float, 1, MANY))
    own, options = parser.parse_known_args(argv)
    before = [word for word in argv[:argv.index(own.folder)] if word in options and "=" not in word]
    if before:  # argparse has taken its value for the folder
        _usage(f"{before[0]}: the folder of the pictures comes before it: run.sh own DIR [options]")
    for word in options:
        name = word.split("=")[0].lstrip("-").replace("-", "_")
        if word.startswith("--") and name not in TAKEN:
            _usage(f"{word}: run.sh own decides that itself, see {PLAN} in the output folder, "
                   "which may be edited")
    own.folder = Path(caller, path(own.folder)).resolve()
    own.unlabelled = own.unlabelled and Path(caller, own.unlabelled).resolve()
    sys.argv[0] = "run.sh"  # argparse names it in its errors
    args = parse_train(["--model-type", "Supervised", "--data", "folder", *options])
    args.data_dir = own.folder
    if "--output-dir" not in {word.split("=")[0].replace("_", "-") for word in options}:
        args.output_dir = Path("own", own.folder.name)
    for name in ("store_dir", "output_dir", "split"):
        value = getattr(args, name)
        if value is not None and Path.cwd() != Path(caller):
            setattr(args, name, Path(caller, value))
    _check_places(own, args.output_dir.resolve())
    return own, args


def _check_places(own, output):
    """Raises: ValueError for folders that cannot be worked with, before any work."""
    inputs = [own.folder, *([own.unlabelled] if own.unlabelled else [])]
    for place in (*inputs, output):
        if not str(place).isprintable():
            raise ValueError(f"{printable(place)}: a name that no line of a shell can hold; rename "
                             "it, or for results name another --output-dir")
    if own.unlabelled:
        check_apart(own.folder, own.unlabelled)
    for place in inputs:
        if not place.is_dir():
            raise ValueError(f"{place}: there is no such folder")
        if place == output or place in output.parents:
            raise ValueError(f"results in {output} would lie among the pictures in {place}; name a "
                             "folder elsewhere with --output-dir")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: a file; --output-dir names a folder")


def _usage(message):
    print(f"error: {message} (see bash run.sh --help)", file=sys.stderr)
    raise SystemExit(2)


def side_of(own, args):
    """The median of the shorter sides of some of the pictures, px, and how many there are to
    pre-train on, at most. Raises: ValueError where none can be read."""
    sources = [open_source("folder", "train", args.data_dir, args.store_dir, args.split)]
    if own.unlabelled:
        sources.append(pile(own.unlabelled, stores_of(args.data_dir, args.store_dir)))
    sides = []
    for source in sources:
        for k in np.unique(np.linspace(0, len(source.labels) - 1, LOOKED_AT).astype(int)):
            with contextlib.suppress(OSError, ValueError, Image.DecompressionBombError):
                with Image.open(source.name(k)) as picture:
                    sides.append(min(picture.size))
    if not sides:
        raise ValueError(f"{printable(own.folder)}: none of its pictures can be read")
    return int(np.median(sides)), sum(len(source.labels) for source in sources)


def count(own, args, size, found):
    """Open all pictures at a size. Args: found: training.images.Labelled. Returns: Pictures."""
    labels, val = found.train.labels[found.train.rows[found.positions["train"]]], len(found.positions["val"])
    few = len(stratified(labels, FEW, 0, purpose="labels"))
    row = {"image-size": size, "sample-ratio": 1}
    before = open_pretraining(parse_pretrain(pretraining_words(own, args, row)))
    return Pictures(len(labels), few, len(found.train.classes), val + len(found.test.rows),
                    max(0, len(before.rows) - len(labels)))


def able_methods(args):
    """Names of the methods that there are weights for; others are named with what they lack."""
    try:
        imagenet_weights(args.arch)
        return list(MODEL_TYPES)
    except (OSError, ValueError, ImportError, KeyError) as error:
        left_out = [name for name, kind in MODEL_TYPES.items() if kind.imagenet]
        print(f"left out: {' and '.join(left_out)}: {printable(error)}", file=sys.stderr)
        return [name for name in MODEL_TYPES if name not in left_out]


def shared_words(args):
    """The options that all programs take, as words."""
    values = {name: getattr(args, name) for name in utils.flags(lambda flag: "grids" in flag.shared)}
    return words_of({name: value for name, value in values.items() if value is not None})


def pretraining_words(own, args, row):
    """The command line of the pre-training."""
    more = {"unlabelled": own.unlabelled} if own.unlabelled else {}
    return ["--model-type", "SelfSupervisedPretraining", "--data", "folder",
            *words_of({**row, **more}), *shared_words(args)]


def plan_for(own, args):
    """The plan, as plan.yml has it: from there where it was made for the same, else a new one."""
    file = args.output_dir / PLAN
    device = utils.open_device(args.device)
    own.minutes = own.minutes or MINUTES.get(device.type, MINUTES["cuda"])
    amp, methods = utils.choose_amp(args.amp, device), able_methods(args)
    side, most = side_of(own, args)
    asked = {"folder": str(own.folder), "unlabelled": own.unlabelled and str(own.unlabelled),
             "pictures": most, "minutes": own.minutes, "device": device.type, "arch": args.arch,
             "methods": methods}
    known = read_plan(file)
    made_at = known and known.get("size", known["pretraining"]["image-size"])
    if known and open_labelled(args, made_at).digests != known["images"]:
        raise ValueError(f"{args.output_dir}: holds runs on other pictures, or another split of "
                         "them; name another --output-dir, or move it away")
    if known and known["asked"] == asked:
        say(f"the plan of {file} goes on")
        return known

    @lru_cache(maxsize=None)
    def speed(size, stem, batch_size):
        return images_per_second(args.arch, size, stem, batch_size, device, amp)

    seconds = 60 * own.minutes * SPENT
    size, stem = choose_input(side, most, seconds, speed)
    labelled = open_labelled(args, size)
    pictures = count(own, args, size, labelled)
    plan = make_plan(pictures, seconds, size, stem, speed, methods)
    for line in describe(pictures, plan, own, side):
        say(line)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    if known:  # somebody may have edited it
        others = ", ".join(name for name, value in asked.items() if known["asked"].get(name) != value)
        file.replace(file.with_name(PLAN_BEFORE))
        say(f"another plan is made, for other {others}; the one before is kept in {PLAN_BEFORE} beside it")
    found = {"asked": asked, "images": labelled.digests, "size": size,
             "pretraining": plan.pretraining, "seeds": plan.seeds, "trainings": plan.trainings}
    with whole(file, encoding="utf-8") as stream:
        yaml.safe_dump(found, stream, sort_keys=False, default_flow_style=None, width=120)
    say(f"the plan is in {file}, which may be edited; without it, or for other minutes or pictures, "
        "another one is made")
    return found


def read_plan(file):
    """What plan.yml has; None where there is none. Raises: ValueError for something else."""
    if not file.exists():
        return None
    known = read_config(file)
    rows, first = known.get("trainings"), known.get("pretraining")
    wrong = None
    if not all(isinstance(known.get(name), dict) for name in ("asked", "images", "pretraining")) or (
            not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows)):
        wrong = "it is no plan"
    elif not is_count(known.get("seeds")):
        wrong = "seeds must be a whole number from 1"
    elif not is_count(first.get("image-size")):
        wrong = "pretraining has no image-size"
    elif not rows or any(row.get("model-type") not in MODEL_TYPES for row in rows):
        wrong = f"each training needs a model-type: {', '.join(MODEL_TYPES)}"
    if wrong:
        raise ValueError(f"{file}: {wrong}; correct it, or delete it to have another one made")
    return known


def describe(pictures, plan, own, side):
    """Lines on what is going to be done."""
    row, trained = plan.pretraining, plan.trainings
    yield (f"{pictures.train} labelled pictures of {pictures.classes} classes to train on, "
           f"{pictures.judged} to choose and to test on, {pictures.unlabelled} without labels; "
           f"shorter sides about {side} px")
    if all(row["label-ratio"] == 1 for row in trained):
        yield (f"too few labels for runs with {FEW:g} of them: {pictures.train} for "
               f"{pictures.classes} classes")
    yield (f"networks see {row['image-size']} px through a {row['stem']} stem; pre-training has "
           f"{row['epochs']} epochs; then {plan.seeds * len(trained)} trainings")
    if row["epochs"] == LEAST["pretraining"]:
        yield "that is the least pre-training there is: with more --minutes it has more epochs"
    yield f"expected time: {plan.seconds / 60:.0f} min (asked for: {own.minutes:g})"


def say(line):
    """To the terminal; standard output is the plan for the shell."""
    print(line, file=sys.stderr, flush=True)


def make_cells(own, args, plan):
    """The pre-training and the trainings of a plan, as Cells."""
    words = tuple(pretraining_words(own, args, plan["pretraining"]))
    source = Cell("pretrain.py", words, parse_pretrain(words))
    cells = [source]
    for seed in range(plan["seeds"]):
        for row in plan["trainings"]:
            kind = MODEL_TYPES[row["model-type"]]
            behind = source if kind.pretraining and not kind.imagenet else None
            more = {"pretrained-model-path": behind.weights} if behind else {}
            row = {"data": "folder", **row, "seed": seed, **more}
            words = (*words_of(row), *shared_words(args))
            cells.append(Cell("train.py", words, parse_train(words), behind))
    return cells


def main():
    """Print the lines for a command line: the caller's folder, then what follows `own`. Ends with
    status 1 or 2 and one line where that is wrong."""
    caller, *argv = sys.argv[1:]

    def work(_):
        with contextlib.redirect_stdout(sys.stderr):
            own, args = parse(argv, caller)
            plan = plan_for(own, args)
            lines = commands(make_cells(own, args, plan), PLAN)
        print("\n".join(lines))

    status = utils.run(work)
    if status:
        raise SystemExit(status)
