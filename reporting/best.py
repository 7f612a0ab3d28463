"""conf/best.yaml: dataset -> model type -> options, which run.sh passes on."""

import argparse
import contextlib
import os
import shlex
from pathlib import Path

import yaml

import utils
from records.files import whole

BEST = Path(__file__).parents[1] / "conf" / "best.yaml"
OTHERS = "model-type", "data", "seed", "amp", "micro-batch-size"  # of the run or its machine
HEADER = """\
# Settings per method that run.sh passes on, by dataset of the labelled task; `report.py --best`
# writes those that the command of each method's best run said. Those of the digits make a demo of a
# few minutes: 5 labels a class and thirty steps, long enough for pre-trained weights, not for
# untrained ones."""


def write_best(path, settings):
    """Bring settings into such a file.

    Args: settings: (dataset, label ratio, model type, dict of options, whether these are all of
        them) each: else a method's other options there stay. One with another label ratio than the
        method has there is left out.
    Raises: ValueError for a file of another form, OSError.
    """
    known = read_best(path) if path.exists() else {}
    for data, labels, model_type, options, whole_row in settings:
        before = known.get(data, {}).get(model_type, {})
        if before.get("label-ratio", 1) == labels:
            row = options if whole_row else {**before, **options}
            known.setdefault(data, {})[model_type] = row
    lines = [HEADER]
    for data, rows in known.items():
        lines.append(f"{data}:")
        for model_type, row in rows.items():
            flow = yaml.safe_dump(row, default_flow_style=True, sort_keys=False, width=10 ** 6)
            lines.append(f"  {model_type}: {flow.strip()}")
    with whole(path, encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def read_best(path):
    """Such a file's {dataset: {model type: {option: value}}}. Raises: ValueError, OSError."""
    try:
        known = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: no YAML ({error})") from error
    rows = list(known.values()) if isinstance(known, dict) else [None]
    if not all(isinstance(row, dict) and all(isinstance(options, dict) for options in row.values())
               for row in rows):
        raise ValueError(f"{path}: expected dataset: {{model type: {{option: value}}}}")
    return known


def told_options(command):
    """{option: number or text} of what a command line of train.py, as its YAML has it, says of the
    setting. None for one that train.py would not take."""
    told = {}
    try:
        words = shlex.split(str(command))
        words = words[[os.path.basename(word) for word in words].index("train.py") + 1:]
        for word, following in zip(words, [*words[1:], ""]):
            name, _, value = word.removeprefix("--").partition("=")
            if word.startswith("--"):
                told[name.replace("_", "-")] = _value(name.replace("-", "_"), value or following)
    except (ValueError, KeyError, argparse.ArgumentTypeError):
        return None
    return {name: value for name, value in told.items()
            if value is not None and name not in OTHERS}


def _value(name, word):
    """The value of a flag in such a file; None where it changes no number, or needs none. Raises:
    KeyError, ValueError, argparse.ArgumentTypeError for what train.py would not take."""
    flag = utils.ARGUMENTS[name]
    if "T" not in flag.programs:
        raise KeyError(name)
    if flag.result is False or "action" in flag.options:
        return None
    flag.options.get("type", str)(word)
    if word not in flag.options.get("choices", [word]):
        raise ValueError(word)
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    return word
