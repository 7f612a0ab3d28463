"""A linear classifier on standardised features, saved as one on the features as they are."""

import copy

import numpy as np
import torch
from torch import nn

TOGETHER = 2 ** 11  # rows that are read at once: they stay in the cache


class ScaledLinear(nn.Module):
    """The classifier `fc` of features less their mean, over their standard deviation.

    Args: fc: the nn.Linear to begin with, which stays as it is. mean, std: (D,) arrays.
    """

    def __init__(self, fc, mean, std):
        super().__init__()
        self.fc = copy.deepcopy(fc)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.as_tensor(values).to(fc.weight))

    def scaled(self, features):
        """float (..., D) -> what `fc` gets, of the same shape."""
        return (features - self.mean) / self.std

    def forward(self, features):
        """features: float (B, D) -> logits (B, C)."""
        return self.fc(self.scaled(features))

    @torch.no_grad()
    def fold_into(self, fc):
        """Have another nn.Linear give the same logits for features as they are."""
        weight = self.fc.weight.double() / self.std.double()
        fc.bias.copy_(self.fc.bias.double() - weight @ self.mean.double())
        fc.weight.copy_(weight)


def statistics(features, rows):
    """Mean and standard deviation of each dimension, as scikit-learn's StandardScaler takes them: of
    one that differs by no more than float32 rounds, the deviation is 1.

    Args: features: float32 (V, N, D) of V views. rows: those that count, of every view.
    Returns: (mean, std), float64 (D,).
    """
    parts = np.array_split(rows, -(-len(rows) // TOGETHER))

    def mean_of(values):
        total = sum(values(view[part].astype(np.float64)).sum(0)
                    for view in features for part in parts)
        return total / (len(features) * len(rows))

    mean = mean_of(lambda found: found)
    variance = mean_of(lambda found: (found - mean) ** 2)
    constant = variance <= (np.finfo(np.float32).eps * mean) ** 2
    return mean, np.where(constant, 1, np.sqrt(variance))
