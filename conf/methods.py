"""The five methods and a control, a row each. Nothing else of the code tells one from another."""

from typing import NamedTuple


class Look(NamedTuple):
    """How a method is named and drawn in reports; hatch, marker and line keep it apart in grey.
    `label`: in lines for the ticks of an axis. `imagenet`: its label where it starts from ImageNet
    weights."""

    label: str
    colour: str
    hatch: str
    marker: str
    line: object
    imagenet: str = ""


class ModelType(NamedTuple):
    """frozen: only fc is trained and batch-norm stays as loaded. look: its Look. pretraining: the
    kind that makes its weights, a key of PRETRAININGS, or "" for none. imagenet: ImageNet weights
    by default."""

    frozen: bool
    look: Look
    pretraining: str = ""
    imagenet: bool = False


# Colours: Okabe & Ito 2008, "Color Universal Design"; the lighter one of a pair is fine-tuned.
MODEL_TYPES = {
    "SelfSupervisedPretrained": ModelType(
        True, Look("Self-supervised\npre-training,\nlinear", "#0072B2", "//", "o", "-"),
        "SelfSupervisedPretraining"),
    "SelfSupervisedPretrainedFinetune": ModelType(
        False, Look("Self-supervised\npre-training,\nfine-tuned", "#56B4E9", "\\\\", "s", "--"),
        "SelfSupervisedPretraining"),
    "SupervisedPretrained": ModelType(
        True, Look("Supervised\npre-training,\nlinear", "#D55E00", "xx", "^", "-.",
                   "ImageNet\nweights,\nlinear"),
        "SupervisedPretraining", imagenet=True),
    "SupervisedPretrainedFinetune": ModelType(
        False, Look("Supervised\npre-training,\nfine-tuned", "#E69F00", "..", "D", ":",
                    "ImageNet\nweights,\nfine-tuned"),
        "SupervisedPretraining", imagenet=True),
    "Supervised": ModelType(
        False, Look("Supervised\nfrom scratch", "#009E73", "", "v", (0, (6, 1, 1, 1, 1, 1)))),
    # what a pre-training must beat to have taught a frozen backbone anything
    "Untrained": ModelType(
        True, Look("Untrained\nbackbone,\nlinear", "#CC79A7", "oo", "X", (0, (3, 2)))),
}
