"""What run.sh needs of its options and of conf/best.yaml, as assignments for a shell.

Whatever any of the programs would refuse is refused here, before pre-training.
"""

import shlex
import sys

import utils
from conf.methods import MODEL_TYPES
from reporting.best import BEST, read_best
from self_supervised_pretrained.registry import PRETRAININGS
from training.command_line import parse_pretrain, parse_train


OWN = "model_type", "data", "pretrained_model_path"  # what run.sh says to each program


def assignments(data, options):
    """Lines of bash: output_dir, both (an array: options that pre-training takes, too), and
    row_<model type> (a method's options in best.yaml)."""
    given = {word.split("=")[0].lstrip("-").replace("-", "_") for word in options
             if word.startswith("--")}
    own = [f"--{name.replace('_', '-')}" for name in OWN if name in given]
    if own:
        raise ValueError(f"run.sh sets {' and '.join(own)} itself, for each method; use train.py")
    best = read_best(BEST).get(data, {})
    rows = {name: [word for option, value in row.items() for word in (f"--{option}", str(value))]
            for name, row in best.items()}
    sys.argv[0] = "train.py"  # argparse names it in its errors
    for name in MODEL_TYPES:
        args = parse_train(["--model-type", name, "--data", data, *rows.get(name, []), *options])
    both = [word for name in utils.flags(lambda flag: "run.sh" in flag.shared) if name in given
            for word in (f"--{name.replace('_', '-')}", str(getattr(args, name)))]
    sys.argv[0] = "pretrain.py"
    for name in PRETRAININGS.keys() & rows.keys():
        parse_pretrain(["--model-type", name, *rows[name], *both])
    return [f"output_dir={shlex.quote(str(args.output_dir))}", f"both=({shlex.join(both)})",
            *(f"row_{name}={shlex.quote(' '.join(row))}" for name, row in rows.items())]


def main():
    """Print the assignments for a command line: dataset, options of train.py. Ends with status 1 or
    2 and one line where they are wrong."""
    data, *options = sys.argv[1:]
    status = utils.run(lambda _: print("\n".join(assignments(data, options))))
    if status:
        raise SystemExit(status)
