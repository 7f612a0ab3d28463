"""The ways to pre-train, by the model type that pretrain.py takes."""

from importlib import import_module
from typing import NamedTuple


class Pretraining(NamedTuple):
    """module: the file of the method, loaded on use, since a command line needs no PyTorch. It has
        VIEW: the function of data.augment that makes its views of a batch; VIEW_FLAGS: the flags
            that it takes;
        ACCURACY: the column of its accuracy, or None; its objective counts 0 as correct, then;
        network(args, stem, classes) -> the module to train, a ResNet or one with a `backbone`;
        objective(args) -> parallel.gradients.Objective.
    label: its name in tables. flags: those that only some methods read, and this one does: they are
        what tells its runs apart. labels: whether it reads them.
    """

    module: str
    label: str
    flags: tuple = ()
    labels: bool = False

    def load(self):
        """The module of the method. Raises: ValueError where runs of other views would be the same."""
        module = import_module(self.module)
        some = {flag for row in PRETRAININGS.values() for flag in row.flags}
        lacking = some.intersection(module.VIEW_FLAGS).difference(self.flags)
        if lacking:
            raise ValueError(f"{self.module}: its views take {', '.join(sorted(lacking))}, which its row in "
                             "registry.py does not name among its flags")
        return module


PRETRAININGS = {
    "SelfSupervisedPretraining": Pretraining(
        "self_supervised_pretrained.simclr", "Self-supervised (SimCLR)",
        flags=("out_dim", "temperature", "color_strength")),
    "VICReg": Pretraining(
        "self_supervised_pretrained.vicreg", "Self-supervised (VICReg)",
        flags=("out_dim", "color_strength")),
    "SupervisedPretraining": Pretraining(
        "supervised_pretrained.pretraining", "Supervised", labels=True),
}
