"""What a run was made from, as its YAML says it, or, of older and foreign ones, its name."""

import hashlib
import math
import re
from typing import NamedTuple

import yaml

from conf import global_settings as settings
from records.names import printable, short

NUMBER = r"\d+(?:\.\d*)?(?:e[-+]?\d+)?"
RUN_NAME = re.compile(
    r"(?P<pretrain>pretrain_)?(?P<model_type>[^_-]+)_"
    rf"(?P<run>(?P<data>.+?)-(?P<optimizer>[^-]+)-lr(?P<lr>{NUMBER})-bs(?P<batch_size>\d+)"
    rf"(?:(?:-from(?P<source>[^-]+))?-ratio(?P<ratio>{NUMBER}))?"
    rf"(?:-labels(?P<labels>{NUMBER}))?(?:-seed(?P<seed>\d+))?(?:-(?P<rest>.+))?)")
NAMED = re.compile(r".+-[0-9a-f]{8}")  # ends with a digest of all that a run was made from
CONFIG_BYTES = 2 ** 20  # a larger file is no configuration
VALUE_SIGNS = 40  # of a setting in a table; of a longer one the ends and a digest
LIST_LENGTH = 16  # of a list that is a setting
DEEPEST = 8  # pre-trainings behind a run
DIGEST_SIGNS = 8  # of a digest, at least, where one stands for it

FIELDS = "data", "label_ratio", "model_type", "optimizer", "lr", "batch_size", "sample_ratio"
FIELDS_BEHIND = "data", "sample_ratio"  # of the pre-training
# what an older YAML has beside the flags that can change a number
NO_SETTINGS = ("data_dir", "store_dir", "output_dir", "device", "workers", "max_bad_images",
               "max_duplicates", "checkpoint_minutes", "resume", "overwrite", "debug", "csv_dir",
               "versions", "commit", "machine", "threads", "processes", "command")
BEHIND = "pre-training "  # before a setting of the run behind the weights


class Setting(NamedTuple):
    """All that a run was made from but the seeds: runs that agree in it are one row.

    `lr`, `batch_size`: None of lbfgs, which has neither. `ratio`, `source`: sample ratio and dataset
    of its pre-training, None without one of ours; of a pre-training, `ratio` is its own. `more`: all
    else as sorted pairs of texts, e.g. ("stem", "3x3"), ("pre-training epochs", "20"), ("images",
    digest), ("weights", "imagenet"). Its "record" says where all this is from: "full" (a YAML with
    `settings`), "flags" (an older one) or "name".
    """
    pretraining: bool
    data: str
    labels: float
    model_type: str
    optimizer: str
    lr: float | None
    batch_size: int | None
    ratio: float | None
    source: str | None = None
    more: tuple = ()

    def told(self, name):
        """A text of `more`, or None."""
        return dict(self.more).get(name)

    @property
    def solved(self):
        """Whether its trainings on the same weights are one network, whatever their seeds: a convex
        problem of all labels and features without chance."""
        return (self.optimizer == "lbfgs" and self.labels == 1 and self.told("weights") is not None
                and self.told("feature_views") in (None, "0"))


def parse_name(stem):
    """Split a CSV's name without `.csv` into (Setting, seed, run name). Raises: ValueError."""
    match = RUN_NAME.fullmatch(stem)
    if not match:
        raise ValueError("the name is not [pretrain_]<model type>_<data>-<optimizer>-lr<lr>"
                         "-bs<batch size>[[-from<dataset>]-ratio<ratio>][-labels<ratio>]"
                         "[-seed<seed>][-...]")
    ratio = None if match["ratio"] is None else float(match["ratio"])
    source = match["source"] or settings.PRETRAINING_DATA
    source = None if ratio is None or match["pretrain"] else source
    more = (("name", text(match["rest"])),) if match["rest"] else ()
    setting = Setting(match["pretrain"] is not None, match["data"], float(match["labels"] or 1),
                      match["model_type"], match["optimizer"], float(match["lr"]),
                      int(match["batch_size"]), ratio, source, more)
    return setting, int(match["seed"] or 0), match["run"]


def read_config(path):
    """A run's YAML file; {} where it is absent, half-written or something else."""
    try:
        if not path.is_file() or path.stat().st_size > CONFIG_BYTES:
            return {}
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception:  # PyYAML raises half a dozen others than its own, e.g. for `!!int ''`
        return {}
    return config if isinstance(config, dict) else {}


def parts_of(config):
    """A run's YAML file as it was for each part of the run, from the first start on: who went on
    with it may have had another machine or commit."""
    parts = [config]
    for change in resumed(config):
        parts.append({**parts[-1], **change})
    return parts


def resumed(config):
    """What changed at each start that went on with a run, as dicts."""
    found = config.get("resumed")
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def setting_in(config, name):
    """The value of a setting in a run's YAML of either form, or None."""
    return next((part[name] for part in (table(config, "settings"), table(config, "flags"), config)
                 if name in part), None)


def planned_epochs(config):
    """The `epochs` of a run's YAML, or None where it has no such number."""
    epochs = setting_in(config, "epochs")
    return epochs if is_count(epochs) else None


def table(mapping, name):
    """A part of a YAML that is a mapping itself; {} where there is none."""
    part = mapping.get(name)
    return part if isinstance(part, dict) else {}


def text(value):
    """A setting as text of one line: equal settings give equal texts, whatever they are."""
    if isinstance(value, (list, tuple)) and len(value) <= LIST_LENGTH:
        found = ",".join("?" if isinstance(part, (list, tuple, dict, set)) else text(part)
                         for part in value)
    elif isinstance(value, (list, tuple, dict, set)):  # may hold itself, or a billion of others
        found = "?"
    elif value is None or isinstance(value, bool):
        found = {None: "none", True: "yes", False: "no"}[value]
    elif isinstance(value, int):
        found = str(value) if abs(value) < 2 ** 64 else hex(value)
    else:
        found = printable(value)
        if isinstance(value, float):
            found = f"{value:.15g}" if float(f"{value:.15g}") == value else repr(value)
    if len(found) > VALUE_SIGNS:
        mark = hashlib.sha256(found.encode()).hexdigest()[:8]
        found = f"{short(found, VALUE_SIGNS - 9)} {mark}"
    return found


def is_name(value):
    return isinstance(value, str) and bool(value.strip())


def is_count(value):
    return type(value) is int and 0 < value < 2 ** 63


def is_share(value):
    return type(value) in (int, float) and 0 < value <= 1


def is_rate(value):
    return type(value) is int and 0 < value < 2 ** 63 or (
        type(value) is float and value > 0 and math.isfinite(value))


GOOD = {"model_type": is_name, "data": is_name, "optimizer": is_name, "lr": is_rate,
        "batch_size": is_count, "label_ratio": is_share, "sample_ratio": is_share}


MAYBE = "label_ratio", "sample_ratio", "lr", "batch_size"  # not every run has them


def full_setting(config, pretraining):
    """The Setting of a run whose YAML has `settings`.

    Args: pretraining: whether it is pretrain.py's, where the settings do not tell.
    Raises: ValueError where one of FIELDS is missing or of no use.
    """
    said = table(config, "settings")
    for name, good in GOOD.items():
        if not good(said.get(name)) and (name in said or name not in MAYBE):
            raise ValueError(f"its YAML file has no usable {name}")
    if ("lr" in said) != ("batch_size" in said):
        raise ValueError(f"its YAML file has no usable {'lr' if 'batch_size' in said else 'batch_size'}")
    if ("sample_ratio" in said) != ("label_ratio" in said):
        pretraining = "sample_ratio" in said
    behind, ratio, source = weights_told(config)
    if pretraining:
        ratio, source = said.get("sample_ratio"), None
    more = {"record": "full", **others(said), **precision(config), **digests(config), **behind}
    return Setting(pretraining, text(said["data"]), float(said.get("label_ratio", 1)),
                   text(said["model_type"]), text(said["optimizer"]),
                   said.get("lr") and float(said["lr"]), said.get("batch_size"), ratio and float(ratio), source,
                   tuple(sorted(more.items())))


def others(said, prefix="", known=FIELDS):
    """{name: text} of settings that are neither seeds nor fields of a Setting."""
    return {prefix + text(name): text(value) for name, value in said.items()
            if name not in (*known, "seed")}


def precision(config):
    """{"amp": what `auto` came to, on each of the machines that a run had}, {} where it was not left
    to these, or is not written down."""
    if table(config, "settings").get("amp") != "auto":
        return {}
    found = dict.fromkeys(text(part["precision"]) for part in parts_of(config) if "precision" in part)
    return {"amp": ", then ".join(found)} if found else {}


def digests(run, prefix=""):
    """{name: digest} of the images of a run before any split, of what is held out of them to choose
    and to test on, and of what a pre-training on all of them sees: on a share it is another with each
    seed, and so is what a training on some of the labels sees."""
    data, whole = table(run, "data"), table(run, "settings").get("sample_ratio") == 1
    parts = [("images", "images"), ("validation images", "val"), ("test images", "test"),
             *[("seen images", "pretrain")] * whole]
    return {prefix + name: text(data[part]) for name, part in parts if data.get(part) is not None}


def weights_told(run):
    """What the weights of a run are from, as far back as it is known.

    Returns: {name: text}, and the sample ratio and dataset of the pre-training, or None and None.
    """
    found, prefix, ratio, source = {}, "", None, None
    for _ in range(DEEPEST):
        weights = table(run, "weights")
        if not weights:
            break
        run = table(weights, "run")
        said = table(run, "settings") if weights.get("from") == "run" else {}
        found[f"{prefix}weights"] = text(weights.get("from"))
        if not said:
            if weights.get("from") != "imagenet":
                found[f"{prefix}weights digest"] = text(weights.get("digest"))
            break
        prefix, known = prefix + BEHIND, ()
        if ratio is None and is_share(said.get("sample_ratio")):
            ratio, source, known = said["sample_ratio"], text(said.get("data")), FIELDS_BEHIND
        found.update({**others(said, prefix, known), **digests(run, prefix)})
    return found, ratio, source


def pretraining_of(config):
    """What tells the pre-trainings of one Setting apart: the seeds of the runs behind a run's
    weights, the nearest first, and these weights' digest, as texts; None without such a run."""
    found, run = [], config
    for _ in range(DEEPEST):
        run = table(table(run, "weights"), "run")
        if not run:
            break
        found.append(text(table(run, "settings").get("seed")))
    return (*found, text(table(config, "weights").get("digest"))) if found else None


def drawn_images(config):
    """(Seed, digest of its images) of the pre-training that a run is or starts from, as texts; None
    where its YAML file does not tell them."""
    run = config if "pretrain" in table(config, "data") else table(table(config, "weights"), "run")
    digest = table(run, "data").get("pretrain")
    return digest and (text(table(run, "settings").get("seed")), text(digest))


def identify(stem, config):
    """(Setting, seed as text or None, pre-training as of `pretraining_of`, run name or None,
    complaint or None) of a run.

    Args: stem: its CSV's name without the ending, which counts where the YAML does not tell.
        config: of its YAML file.
    Raises: ValueError where neither tells what the run was made from.
    """
    complaint = None
    if "settings" in config:
        try:
            setting = full_setting(config, stem.startswith("pretrain_"))
            seed = config["settings"].get("seed")
            return setting, seed if seed is None else text(seed), pretraining_of(config), None, None
        except ValueError as error:
            complaint = str(error)
    try:
        setting, seed, run = parse_name(stem)
    except ValueError as error:
        raise ValueError(f"{complaint}, and {error}" if complaint else str(error)) from None
    flags = {} if complaint else {name: value for name, value in config.items()
                                  if name not in NO_SETTINGS and not isinstance(value, dict)}
    more = {**dict(setting.more), **others(flags), "record": "flags" if flags else "name"}
    complaint = complaint and f"{complaint}; known by its name alone"
    if not config and NAMED.fullmatch(stem):
        complaint = "no YAML file beside it: known by its name alone, and each of its seeds is taken for a setting"
    return setting._replace(more=tuple(sorted(more.items()))), text(seed), None, run, complaint
