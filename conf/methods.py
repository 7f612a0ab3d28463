"""The five methods, a row each. Nothing else of the code tells one from another."""

from typing import NamedTuple


class ModelType(NamedTuple):
    """frozen: only fc is trained and batch-norm stays as loaded. pretraining: the kind that makes
    its weights, a key of PRETRAININGS, or "" for none. imagenet: ImageNet weights by default."""

    frozen: bool
    pretraining: str = ""
    imagenet: bool = False


MODEL_TYPES = {
    "SelfSupervisedPretrained": ModelType(True, "SelfSupervisedPretraining"),
    "SelfSupervisedPretrainedFinetune": ModelType(False, "SelfSupervisedPretraining"),
    "SupervisedPretrained": ModelType(True, "SupervisedPretraining", imagenet=True),
    "SupervisedPretrainedFinetune": ModelType(False, "SupervisedPretraining", imagenet=True),
    "Supervised": ModelType(False),
}
