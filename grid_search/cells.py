"""The cells of a grid: their commands, the files they leave, and how far they have come."""

import contextlib
import itertools
import json
import shlex
import sys
from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import utils
from conf import global_settings as settings
from conf.methods import MODEL_TYPES
from records import results
from records.runs import differences, identity_of
from training import identity
from training.command_line import check_start_size, effective, parse_pretrain, parse_train

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"train.py": parse_train, "pretrain.py": parse_pretrain}


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a program.

    program: a key of PROGRAMS. options: its command line; args: the same, parsed. source: the Cell
    that pre-trains its weights, or None.
    """

    program: str
    options: tuple
    args: Namespace
    source: "Cell | None" = None

    @property
    def pretraining(self):
        return self.program == "pretrain.py"

    @cached_property
    def identity(self):
        """What the run is made from: opens its images, and reads the weights it starts from.

        Raises: OSError, ValueError where they are wrong or missing.
        """
        with contextlib.redirect_stdout(sys.stderr):  # the plan is on standard output
            of = identity.of_pretraining if self.pretraining else identity.of_training
            return of(self.args, self._start)

    @cached_property
    def _start(self):
        """The Start of the run. Raises: OSError, ValueError where weights are wrong or missing."""
        if self.pretraining:
            return identity.pretraining_start(self.args)
        return self.source.leads_to(self.args) if self.source else _start_of(
            *(getattr(self.args, name) for name in ("model_type", "data", "arch",
                                                    "pretrained_model_path")))

    def forget(self):
        """Look at images and weights anew: those it starts from have been made in the meantime."""
        for name in ("identity", "_start"):
            self.__dict__.pop(name, None)

    @property
    def known(self):
        """Whether its weights are there or, where only results were kept, known."""
        return self.source is None or self.source.state() == "finished" or (
            self.source.made is not None)

    @property
    def name(self):
        """`<model type>/<run>`, below checkpoint/; without a digest before its images and weights
        are there."""
        args = self.args
        try:
            if self.known:
                return f"{args.model_type}/{identity.name_of(args, self.identity, self._start.usual)}"
        except OSError:
            pass
        return f"{args.model_type}/{identity.readable(args, self._expected)}"

    @property
    def _expected(self):
        """The Start of the run, less what its weights will be; None where less is known."""
        try:
            return self.source.leads_to(None) if self.source else self._start
        except OSError:
            return None

    def check(self):
        """Raises: ValueError for what its program would refuse once it knows the weights."""
        if self._expected:
            check_start_size(self.args, self._expected.seen(self.args))

    @property
    def folder(self):
        return self.args.output_dir / "checkpoint" / self.name

    @property
    def csv(self):
        prefix = "pretrain_" * self.pretraining
        return self.args.output_dir / "res" / f"{prefix}{self.name.replace('/', '_', 1)}.csv"

    @property
    def made(self):
        """Of a finished pre-training, the digest of its weights that its YAML file has, or None."""
        record = results.read_config(self.csv.with_suffix(".yml"))
        found, known = record.get("made"), identity_of(record)
        fits = self.has_results() and known and not differences(known, self.identity)
        return found if fits and isinstance(found, str) else None

    @property
    def weights(self):
        """The checkpoint that it leaves. Raises: OSError where its images are not there, without
        which its place is not known."""
        return self.identity and self.folder / "last.pth"

    def leads_to(self, args):
        """Of a pre-training, the Start of a training. Args: args: of that; None before it is
        finished."""
        if args is None:
            return identity.start_from(self.args, self._start, None, None)
        if self.weights.is_file():
            return _start_of(args.model_type, args.data, args.arch, self.weights)
        return identity.start_from(self.args, self._start, self.identity, self.made)

    def command(self, state):
        """The command line that does what is left to do."""
        # Other folders see it by its whole path, and so does who copies the printed command.
        program = self.program if Path.cwd() == ROOT else str(ROOT / self.program)
        return [program, *self.options, *(["--resume"] if state == "cut off" else [])]

    def rows(self):
        """The whole rows of its CSV; none where there is no such file."""
        return results.rows_or_none(self.csv, self.pretraining) or []

    def has_results(self):
        """Whether its CSV has the last epoch."""
        rows = self.rows()
        return bool(rows) and rows[-1]["epoch"] >= self.args.epochs

    def state(self):
        """How far it has come: "finished", "diverged", "cut off" or "new".

        Raises: ValueError where images or weights are wrong.
        """
        if not self.known:
            return "new"
        try:
            weights = self.weights
        except OSError:  # images or weights are missing, which the program will say
            return "new"
        rows = self.rows()
        if rows and results.diverged(rows[-1]):
            return "diverged"
        if self.has_results() and (not self.pretraining or weights.is_file()):
            return "finished"
        return "cut off" if weights.is_file() else "new"


@lru_cache(maxsize=64)
def _start_of(model_type, data, arch, path):
    with contextlib.redirect_stdout(sys.stderr):
        return identity.start_of(MODEL_TYPES[model_type], data, arch, path)


def make_cells(lines, extra, pretrain_options, vary=()):
    """The cells of a grid.

    Args: lines: as common.sh prints them. extra: options of train.py for every cell.
        pretrain_options: options of pretrain.py. vary: words: each flag, and behind it its values
        with commas between.
    Raises: ValueError for lists that make no grid; SystemExit for options that are wrong.
    """
    cells, sources = {}, {}
    for line, (varied, before) in itertools.product(lines, _variations(vary)):
        ratio, *options = line.split()
        words = [*options, *extra, *varied]
        if ratio == "-":
            cell = _plain_cell(words, before)
        else:
            source = _pretraining(ratio, words, [*pretrain_options, *before])
            source = sources.setdefault(_key(source), source)
            cell = _pretrained_cell(source, words)
        if cells.setdefault(_key(cell), cell) is not cell:
            raise ValueError(f"two cells are the same run {cell.name}: the variables OPTIMIZERS, "
                             "LRS, BATCH_SIZES, RATIOS and SEEDS make other lists, not options; "
                             "VARY does it for other flags")
    if not cells:
        raise ValueError("no cells: one of the lists is empty")
    for cell in (*sources.values(), *cells.values()):
        cell.check()
    return list(cells.values())


def _key(cell):
    """Equal for the same run of the same grid."""
    args = cell.args
    seen = {name: getattr(args, name, None) for name in ("image_size", "stem", "mean", "std")}
    return json.dumps(effective(args, seen)), cell.source


def _variations(words):
    """[(options of train.py, options of pretrain.py)], one for each combination of values."""
    if len(words) % 2:
        raise ValueError("VARY: expected flags and their values, as in "
                         "VARY='--weight-decay 0,1e-4 --image-size 32,64'")
    axes = []
    for flag, values in zip(words[::2], words[1::2]):
        known = utils.ARGUMENTS.get(flag.removeprefix("--").replace("-", "_"))
        if known is None or not flag.startswith("--"):
            raise ValueError(f"VARY: {flag} is no flag of train.py or pretrain.py")
        if isinstance(known.options.get("default"), list) or "R,G,B" in known.options.values():
            raise ValueError(f"VARY: commas are part of what {flag} means; give it as an option, a "
                             "grid for each value")
        axes.append([(flag, value, "T" in known.programs) for value in values.split(",")])
    return [tuple([word for flag, value, training in chosen if training == wanted
                   for word in (flag, value)] for wanted in (True, False))
            for chosen in itertools.product(*axes)]


def _parse(program, options):
    sys.argv[0] = program  # argparse names it in its errors
    args = PROGRAMS[program](options)
    if args.resume or args.overwrite:
        raise ValueError("a grid resumes by itself what was cut off, and leaves what is finished; "
                         "leave out --resume and --overwrite")
    return args


def _plain_cell(options, before):
    """A cell without pre-training of its own."""
    args = _parse("train.py", options)
    kind, path = MODEL_TYPES[args.model_type], args.pretrained_model_path
    if before:
        raise ValueError(f"VARY: {before[0]} is of pre-training, which this grid has none of: "
                         "RATIOS is empty")
    if path is None and kind.pretraining and not kind.imagenet:
        raise ValueError("RATIOS is empty: name the checkpoint with --pretrained-model-path")
    return Cell("train.py", tuple(options), args)


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
    return Cell("pretrain.py", tuple(options), _parse("pretrain.py", options))


def _pretrained_cell(source, options):
    """A cell that starts from a pre-training."""
    options = [*options, "--pretrained-model-path", str(source.weights)]
    return Cell("train.py", tuple(options), _parse("train.py", options), source)


def words_of(row):
    """{option: value} as words of a command line."""
    return [word for name, value in row.items()
            for word in (f"--{name.replace('_', '-')}", str(value))]


def shown(command):
    """A command as a line for a shell."""
    return shlex.join(["python", *command])
