"""conf/best.yaml: dataset -> model type -> options, which run.sh passes on."""

from pathlib import Path

import yaml

from records.files import whole

BEST = Path(__file__).parents[1] / "conf" / "best.yaml"
HEADER = """\
# Settings per method that run.sh passes on, by dataset of the labelled task; `report.py --best`
# writes optimizer, learning rate, batch size and, of networks without weights, the stem. Those of the
# digits make a demo of a few minutes: 5 labels a class and thirty steps, long enough for pre-trained
# weights, not for untrained ones."""


def write_best(path, settings):
    """Bring settings into such a file; a method's other options there stay.

    Args: settings: (dataset, label ratio, model type, dict of options) each; one with another label
        ratio than the method has there is left out.
    Raises: ValueError for a file of another form, OSError.
    """
    known = read_best(path) if path.exists() else {}
    for data, labels, model_type, options in settings:
        if known.get(data, {}).get(model_type, {}).get("label-ratio", 1) == labels:
            known.setdefault(data, {}).setdefault(model_type, {}).update(options)
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
