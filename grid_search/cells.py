"""The cells of a grid: their commands, the files they leave, and how far they have come."""

import shlex
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import utils
from conf import global_settings as settings
from conf.methods import MODEL_TYPES
from records import results
from records.runs import check_resume, run_name
from training.command_line import parse_pretrain, parse_train

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"train.py": parse_train, "pretrain.py": parse_pretrain}


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a program.

    program: a key of PROGRAMS. options: its command line; args: the same, parsed. ratio: the sample
    ratio in its name, or None. source: the Cell that pre-trains its weights, or None.
    pretrained_on: the dataset of those weights, or None.
    """

    program: str
    options: tuple
    args: Namespace
    ratio: float | None = None
    source: "Cell | None" = None
    pretrained_on: str | None = None

    @property
    def name(self):
        """`<model type>/<run>`, below checkpoint/."""
        args = self.args
        run = run_name(args.data, args.optimizer, args.lr, args.batch_size, self.ratio,
                             getattr(args, "label_ratio", 1.0), args.seed, self.pretrained_on)
        return f"{args.model_type}/{run}"

    @property
    def folder(self):
        return self.args.output_dir / "checkpoint" / self.name

    @property
    def csv(self):
        prefix = "pretrain_" if self.program == "pretrain.py" else ""
        return self.args.output_dir / "res" / f"{prefix}{self.name.replace('/', '_', 1)}.csv"

    def command(self, state):
        """The command line that does what is left to do."""
        # Other folders see it by its whole path, and so does who copies the printed command.
        program = self.program if Path.cwd() == ROOT else str(ROOT / self.program)
        return [program, *self.options, *(["--resume"] if state == "cut off" else [])]

    def rows(self):
        """The whole rows of its CSV; none where there is no such file."""
        try:
            return results.read_rows(self.csv, self.program == "pretrain.py")[0]
        except (OSError, ValueError):
            return []

    def has_results(self):
        """Whether its CSV has the last epoch."""
        rows = self.rows()
        return bool(rows) and rows[-1]["epoch"] >= self.args.epochs

    def state(self):
        """How far it has come: "finished", "diverged", "cut off" or "new".

        Raises: ValueError where what lies in its place was made with other settings.
        """
        rows, weights = self.rows(), self.folder / "last.pth"
        if rows or weights.is_file():
            self._check_settings()
        if rows and results.diverged(rows[-1]):
            return "diverged"
        if self.has_results() and (self.program == "train.py" or weights.is_file()):
            return "finished"
        return "cut off" if weights.is_file() else "new"

    def _check_settings(self):
        """Raises: ValueError where the same name hides a run of other settings."""
        old, new = results.read_config(self.folder / "config.yml"), vars(self.args)
        if not old and self.has_results():  # kept without the weights
            old = results.read_config(self.csv.with_suffix(".yml"))
        wrong = [f"--{name.replace('_', '-')} was {old[name]} and is {new[name]}"
                 for name, same in (("epochs", int), ("pretrained_model_path", _run_of))
                 if name in old and name in new and same(old[name]) != same(new[name])]
        try:
            check_resume({"config": old}, self.args, utils.flags(lambda flag: flag.resumable))
        except ValueError as error:
            wrong.append(str(error).split(": ", 1)[-1])
        if wrong:
            raise ValueError(f"there are results of other settings ({'; '.join(wrong)}); take "
                             f"another --output-dir, or delete {self.folder} and {self.csv}")


def _run_of(path):
    """The end of a checkpoint's path that says which it is, wherever the folders were moved."""
    return path and Path(path).parts[-3:]


def make_cells(lines, extra, pretrain_options):
    """The cells of a grid.

    Args: lines: as common.sh prints them. extra: options of train.py for every cell.
        pretrain_options: options of pretrain.py.
    Raises: ValueError for lists that make no grid; SystemExit for options that are wrong.
    """
    cells, sources = {}, {}
    for line in lines:
        ratio, *options = line.split()
        if ratio == "-":
            cell = _plain_cell([*options, *extra])
        else:
            if ratio not in sources:
                sources[ratio] = _pretraining(ratio, [*options, *extra], pretrain_options)
            cell = _pretrained_cell(sources[ratio], options, extra)
        if cells.setdefault(cell.name, cell) is not cell:
            raise ValueError(f"two cells are the same run {cell.name}: the variables OPTIMIZERS, "
                             "LRS, BATCH_SIZES, RATIOS and SEEDS make other lists, not options")
    if not cells:
        raise ValueError("no cells: one of the lists is empty")
    return list(cells.values())


def _parse(program, options):
    sys.argv[0] = program  # argparse names it in its errors
    args = PROGRAMS[program](options)
    if args.resume:
        raise ValueError("a grid resumes by itself what was cut off; leave out --resume")
    return args


def _plain_cell(options):
    """A cell without pre-training of its own."""
    args = _parse("train.py", options)
    kind, path = MODEL_TYPES[args.model_type], args.pretrained_model_path
    if path is None and kind.pretraining and not kind.imagenet:
        raise ValueError("RATIOS is empty: name the checkpoint with --pretrained-model-path")
    trained_as = {} if path is None else _trained_as(path)
    return Cell("train.py", tuple(options), args, trained_as.get("sample_ratio"),
                pretrained_on=trained_as.get("data"))


def _trained_as(path):
    """The settings of a pre-training that name its cells: from its checkpoint or, where only
    results were kept, from the name of its folder."""
    if path.is_file():
        from records import checkpoint  # which imports PyTorch
        found = checkpoint.read(path).get("trained_as")
        return found if isinstance(found, dict) else {}
    try:
        setting, *_ = results.parse_name("pretrain_" + "_".join(path.parts[-3:-1]))
    except ValueError:
        return {}
    return {"sample_ratio": setting.ratio, "data": setting.data}


def _pretraining(ratio, options, pretrain_options):
    """The pre-training of a sample ratio for cells with these options."""
    args = _parse("train.py", options)
    kind = MODEL_TYPES[args.model_type]
    if not kind.pretraining:
        raise ValueError(f"{args.model_type} has no pre-training: leave RATIOS out")
    if args.pretrained_model_path is not None:
        raise ValueError("RATIOS and --pretrained-model-path exclude each other; RATIOS= (empty) "
                         "starts every cell from that checkpoint")
    defaults = parse_train(["--model-type", args.model_type])
    handed_on = utils.flags(lambda flag: "grids" in flag.shared)
    shared = [word for name in handed_on if getattr(args, name) != getattr(defaults, name)
              for word in (f"--{name.replace('_', '-')}", str(getattr(args, name)))]
    options = ["--model-type", kind.pretraining, "--data", settings.PRETRAINING_DATA, *shared,
               *pretrain_options, "--sample-ratio", ratio]
    args = _parse("pretrain.py", options)
    return Cell("pretrain.py", tuple(options), args, args.sample_ratio)


def _pretrained_cell(source, options, extra):
    """A cell that starts from a pre-training."""
    options = [*options, "--pretrained-model-path", str(source.folder / "last.pth"), *extra]
    args = _parse("train.py", options)
    return Cell("train.py", tuple(options), args, source.ratio, source, source.args.data)


def shown(command):
    """A command as a line for a shell."""
    return shlex.join(["python", *command])
