"""What sets the rows of a table apart: all that a run was made from but its seeds."""

import json
import re
from typing import NamedTuple

from conf import global_settings as settings

NUMBER = r"\d+(?:\.\d*)?(?:e[-+]?\d+)?"
RUN_NAME = re.compile(
    r"(?P<pretrain>pretrain_)?(?P<model_type>[^_-]+)_"
    rf"(?P<run>(?P<data>.+)-(?P<optimizer>[^-]+)-lr(?P<lr>{NUMBER})-bs(?P<batch_size>\d+)"
    rf"(?:(?:-from(?P<source>[^-]+))?-ratio(?P<ratio>{NUMBER}))?"
    rf"(?:-labels(?P<labels>{NUMBER}))?(?:-seed(?P<seed>\d+))?)")
# Flags of a YAML file of an earlier version that change no number
IDLE = {"data_dir", "store_dir", "output_dir", "device", "workers", "max_bad_images", "resume",
        "checkpoint_minutes", "debug", "seed", "versions", "commit", "machine", "threads",
        "processes", "command"}
NAMED = ("data", "label_ratio", "model_type", "optimizer", "lr", "batch_size", "sample_ratio")


class Setting(NamedTuple):
    """What a run varies apart from its seeds. ratio, source: sample ratio and dataset of the
    pre-training, its own or the one it starts from, else None. rest: all else, as ((name, value as
    JSON), ...); names of what stands behind its weights begin with "pre-training"."""
    pretraining: bool
    data: str
    labels: float
    model_type: str
    optimizer: str
    lr: float
    batch_size: int
    ratio: float | None
    source: str | None = None
    rest: tuple = ()

    def varied(self, name):
        """The value of one of `rest`, None where it has none."""
        return dict(self.rest).get(name)


def parse_name(stem):
    """Split a CSV's name of an earlier version, without `.csv`, into (Setting, seed, run name).

    Raises: ValueError.
    """
    match = RUN_NAME.fullmatch(stem)
    if not match:
        raise ValueError("no YAML file beside it says what it was made from, and the name is not "
                         "[pretrain_]<model type>_<data>-<optimizer>-lr<lr>-bs<batch size>[[-from"
                         "<dataset>]-ratio<ratio>][-labels<ratio>][-seed<seed>]")
    ratio = None if match["ratio"] is None else float(match["ratio"])
    source = match["source"] or settings.PRETRAINING_DATA
    source = None if ratio is None or match["pretrain"] else source
    setting = Setting(match["pretrain"] is not None, match["data"], float(match["labels"] or 1),
                      match["model_type"], match["optimizer"], float(match["lr"]),
                      int(match["batch_size"]), ratio, source)
    return setting, int(match["seed"] or 0), match["run"]


def setting_by_name(stem, config):
    """As `parse_name`, with what a YAML file of an earlier version says. Args: config: dict."""
    setting, seed, run = parse_name(stem)
    told = {name: value for name, value in config.items()
            if name not in IDLE and name not in setting._fields and name not in NAMED}
    path = told.pop("pretrained_model_path", None)
    if path:
        told["weights"] = "/".join(str(path).split("/")[-3:-1])
    return setting._replace(rest=_rest(told)), seed, run


def setting_of(identity):
    """(Setting, seed, seeds of the runs behind its weights) of a records.runs.Identity.

    Raises: ValueError where it lacks what every run has, or has it in another form.
    """
    known, seeds = identity.settings, []
    rest = {name: value for name, value in known.items() if name not in NAMED + ("seed",)}
    rest.update({f"{part} images": digest for part, digest in identity.data.items()
                 if part in ("images", "test")})
    origin, weights, behind = {}, identity.weights, ""
    while weights:
        behind += "pre-training "
        run = weights.get("run")
        if not isinstance(run, dict) or not isinstance(run.get("settings"), dict):
            digest = weights.get("digest")
            rest[f"{behind}weights"] = "imagenet" if weights.get("from") == "imagenet" else digest
            break
        origin = run["settings"]
        seeds.append(origin.get("seed", 0))
        rest.update({behind + name: value for name, value in origin.items()
                     if name not in ("seed", "sample_ratio")})
        weights = run.get("weights")
    own = "sample_ratio" in known
    try:
        ratio = (known if own else origin).get("sample_ratio")
        setting = Setting(own, str(known["data"]), float(known.get("label_ratio", 1)),
                          str(known["model_type"]), str(known["optimizer"]), float(known["lr"]),
                          int(known["batch_size"]), None if ratio is None else float(ratio),
                          None if own or ratio is None else str(origin.get("data")), _rest(rest))
        return setting, int(known.get("seed", 0)), tuple(seeds)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"its YAML file does not say what a run was made from ({error!r})") from (
            error)


def _rest(told):
    return tuple(sorted((str(name), json.dumps(value, sort_keys=True, default=str))
                        for name, value in told.items()))
