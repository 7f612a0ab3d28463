"""Names of runs are equal if and only if their results must be: every flag of the table, tried out."""

import itertools

import pytest

import pretrain
import train
import utils
from records import checkpoint
from tests.common import equal, rows_of, run
from training.command_line import effective, parse_pretrain, parse_train, usual_settings

pytestmark = pytest.mark.usefixtures("narrow")
SHORT = "--data digits --batch-size 16 --lr 0.01 --amp off --epochs 2"
BASES = {  # of each program: what decides which flags play a part
    "scratch": (train, f"--model-type Supervised {SHORT} --val-ratio 0.2 --label-ratio 0.5"),
    "milestones": (train, f"--model-type Supervised {SHORT} --scheduler milestones --label-ratio 0.5"),
    "linear": (train, f"--model-type SelfSupervisedPretrained {SHORT}"),
    "lbfgs": (train, f"--model-type SelfSupervisedPretrained --optimizer lbfgs {SHORT}"),
    "simclr": (pretrain, f"{SHORT} --sample-ratio 0.1"),
    "goes on": (pretrain, f"{SHORT} --sample-ratio 0.1 --seed 2"),
    "labels": (pretrain, f"--model_type SupervisedPretraining {SHORT} --sample-ratio 0.1 --knn-every 0"),
}
# Another value of each flag; where a value means the same as the default of some base, both belong here.
OTHERS = {
    "model_type": ("SelfSupervisedPretrainedFinetune", "VICReg"), "data": ("folder",), "lr": ("0.02",),
    "optimizer": ("adam", "lbfgs"), "criterion": ("MultiMarginLoss",), "batch_size": ("8",), "epochs": ("3",),
    "warmup_epochs": ("0.2", "1"), "scheduler": ("constant",), "milestones": ("0.5",), "weight_decay": ("0.1",),
    "lr_scaling": ("linear",), "label_smoothing": ("0.2",), "arch": ("resnet34",), "stem": ("7x7", "3x3"),
    "image_size": ("8", "16"), "store_size": ("8", "16"), "start_size": ("8", "16", "32"),
    "mean": ("0.307,0.307,0.307", "0,0,0"),
    "std": ("0.352,0.352,0.352", "1,1,1"), "sample_ratio": ("0.2",), "out_dim": ("64",), "temperature": ("0.1",),
    "crop_scale": ("0.5",), "color_strength": ("0.5",), "knn_every": ("1", "2", "9"), "knn_data": ("digits",),
    "label_ratio": ("0.8",),
    "val_ratio": ("0.5",), "val_seed": ("1",), "feature_views": ("1",), "eval_every": ("1", "2", "9"),
    "seed": ("1",), "amp": ("bf16",),
    "class_weights": ("balanced",), "feature_scaling": ("none",), "compile": (), "micro_batch_size": ("4", "16", "64"),
}
CASES = [(base, name, value) for base, (program, _) in BASES.items() for name, values in OTHERS.items()
         for value in values if ("P" if program is pretrain else "T") in utils.ARGUMENTS[name].programs]


def test_every_flag_that_counts_is_tried():
    counting = utils.flags(lambda flag: flag.result and set("PT") & set(flag.programs))
    assert sorted(OTHERS) == sorted(counting)


def outcome(root, output, program, words, source=None):
    """(name, everything that came out of it but times) of a run; None for a command line that is refused."""
    asked = "--model-type S" in words and "Pretrained" in words or "--seed 2" in words
    more = ["--pretrained-model-path", source] if source and asked else []
    try:
        if run(program, root, *words.split(), *more, output=output):
            return None
    except SystemExit:
        return None
    kind = "pretrain_" if program is pretrain else ""
    log, = (root / output / "res").glob(f"{kind}*.csv")
    last, = (root / output / "checkpoint").glob("*/*/last.pth")
    state = checkpoint.read(last)
    return last.parent.name, (rows_of(log, timed=False), dict(state["model"]), state["row"]["epoch"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Outcomes of the bases, and weights for the methods that need some."""
    root, patch = tmp_path_factory.mktemp("identity"), pytest.MonkeyPatch()
    patch.setattr("supervised.resnet.WIDTH", 8)
    assert run(pretrain, root, *BASES["simclr"][1].split(), output="source") == 0
    source, = root.glob("source/checkpoint/*/*/last.pth")
    found = {name: outcome(root, name, *base, source) for name, base in BASES.items()}
    yield root, source, found
    patch.undo()


def same(one, other):
    return one[0] == other[0] and equal(one[1], other[1])


@pytest.mark.parametrize("base, name, value", CASES, ids=lambda value: str(value).replace("/", " "))
def test_names_are_equal_if_and_only_if_results_are(made, tmp_path, base, name, value):
    root, source, found = made
    program, words = BASES[base]
    other = outcome(tmp_path, "other", program, f"{words} --{name} {value}", source)
    if other is None:
        return  # refused: no such run
    plain = found[base]
    assert (plain[0] == other[0]) == same(plain[1][:2], other[1][:2]), (plain[0], other[0])


def test_a_pair_of_flags_that_cancel_each_other_is_one_run():
    for parse, one, other in (
            (parse_train, "--batch-size 512 --lr 0.1 --lr-scaling linear", "--batch-size 512 --lr 0.2"),
            (parse_train, "--batch-size 256 --lr-scaling sqrt", "--batch-size 256"),
            (parse_train, "--epochs 20 --warmup-epochs 2", "--epochs 20"),
            (parse_pretrain, "--image-size 64 --store-size 64", "--image-size 64"),
            (parse_pretrain, "--knn-every 0 --knn-data cifar10", "--knn-every 0"),
            (parse_pretrain, "--data cifar10 --val-ratio 0 --val-seed 3", "--data cifar10 --val-ratio 0")):
        base = ["--model-type", "Supervised"] if parse is parse_train else []
        seen = {"image_size": 64, "stem": "7x7", "mean": None, "std": None}
        found = [effective(parse([*base, *words.split()]), seen) for words in (one, other)]
        assert found[0] == found[1], one


def test_what_is_usual_goes_without_saying():
    """A command line without flags spells nothing out."""
    for parse, words, seen in itertools.product(
            (parse_train, parse_pretrain), ([], ["--epochs", "20"]), ({"image_size": 32, "stem": "3x3"},)):
        args = parse(["--model-type", "Supervised" if parse is parse_train else "VICReg", "--data", "cifar10", *words])
        found, usual = effective(args, seen), usual_settings(args, seen)
        assert {name for name in found if found[name] != usual[name]} == ({"epochs"} if words else set())
