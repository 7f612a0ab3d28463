"""The commands of run.sh: what is left to do of all methods as conf/best.yaml sets them.

Whatever any of the programs would refuse is refused here, before pre-training.
"""

import shlex
import sys
from pathlib import Path

import utils
from conf.methods import MODEL_TYPES
from grid_search.cells import Cell, shown, words_of
from reporting.best import BEST, read_best
from self_supervised_pretrained.registry import PRETRAININGS
from training.command_line import parse_pretrain, parse_train

OWN = "model_type", "data", "pretrained_model_path", "resume"  # what run.sh says to each program
PATHS = utils.flags(lambda flag: flag.options.get("type") in (utils.path, utils.utf8_path))


def make_cells(data, options, caller):
    """A cell for each pre-training and method that best.yaml has a row of; for each method where it
    has none of the dataset.

    Args: options: of train.py; pre-training takes part in those that utils.ARGUMENTS shares with
        it. caller: the folder that their paths are relative to.
    Raises: ValueError, SystemExit for options that are wrong.
    """
    rows = {name: words_of(row) for name, row in read_best(BEST).get(data, {}).items()}
    given = {word.split("=")[0].lstrip("-").replace("-", "_") for word in options
             if word.startswith("--")}
    own = [f"--{name.replace('_', '-')}" for name in OWN if name in given]
    if own:
        raise ValueError(f"run.sh sets {' and '.join(own)} itself, for each method; use train.py")
    sys.argv[0] = "train.py"  # argparse names it in its errors
    args = parse_train(["--model-type", next(iter(MODEL_TYPES)), "--data", data, *options])
    if Path.cwd() != Path(caller):
        options = [*options, *_words(args, [name for name in PATHS if name in given], caller)]
    shared = utils.flags(lambda flag: "run.sh" in flag.shared)
    both = _words(args, [name for name in shared if name in given], caller)
    unused = [name for name in rows if name in PRETRAININGS and name not in {kind.pretraining for kind in
                                                                             MODEL_TYPES.values()}]
    if unused:
        raise ValueError(f"{BEST.name}: no method of run.sh starts from {' or '.join(unused)}; pre-train it by itself, "
                         "and name the weights to train.py")
    sources = {}
    for name in [name for name in PRETRAININGS if name in rows]:
        words = ("--model_type", name, *rows[name], *both)
        found = parse_pretrain(words)
        sources[name] = Cell("pretrain.py", words, found)
    cells = [*sources.values(), *(_cell(name, kind, data, rows.get(name, []), options, sources)
                                  for name, kind in MODEL_TYPES.items() if name in rows or not rows)]
    for cell in cells:
        cell.check()
    return cells


def _words(args, names, caller):
    """Settings as words of a command line, paths from the caller's folder on."""
    values = {name: getattr(args, name) for name in names}
    return words_of({name: Path(caller, value) if name in PATHS and Path.cwd() != Path(caller)
                     else value for name, value in values.items()})


def _cell(name, kind, data, row, options, sources):
    source = sources.get(kind.pretraining)
    weights = ["--pretrained-model-path", str(source.weights)] if source else []
    own = ("--model-type", name, "--data", data, *row, *weights)
    words = (*own, *options)
    found = parse_train(words)
    penalties = None if utils.by_steps(vars(found)) else parse_train(own).epochs
    if penalties and found.epochs != penalties:  # those that were asked for are passes over the images
        words += ("--epochs", str(penalties))
    return Cell("train.py", words, parse_train(words), source)


def commands(cells, place=BEST.name):
    """Lines of a shell script: what is left to do, and a word on what is not. Args: place: the file
    that has the settings."""
    states = {cell: cell.state() for cell in cells}
    wanted = {cell.source for cell, state in states.items() if state in ("new", "cut off")}
    lines = []
    for cell, state in states.items():
        if cell.program == "pretrain.py" and state == "diverged":
            raise ValueError(f"{cell.name} diverged, see {cell.csv}; lower its rate in {place}")
        spare = cell.program == "pretrain.py" and cell not in wanted and cell.has_results()
        if state in ("finished", "diverged") or spare:
            said = state if state == "diverged" else "finished"
            lines.append(f"echo {shlex.quote(f'{cell.name}: {said}, left as it is ({cell.csv})')}")
        else:
            lines.append(shown(cell.command(state)))
    args = cells[-1].args
    res = str(args.output_dir / "res")
    return [*lines, shown(["report.py", "--data", args.data, "--res", res])]


def main():
    """Print the lines for a command line: the caller's folder, dataset, options of train.py. Ends
    with status 1 or 2 and one line where they are wrong."""
    caller, data, *options = sys.argv[1:]
    status = utils.run(lambda _: print("\n".join(commands(make_cells(data, options, caller)))))
    if status:
        raise SystemExit(status)
