"""NT-Xent, the loss of SimCLR."""

import torch
from torch.nn import functional as F


def nt_xent(z, temperature):
    """NT-Xent contrastive loss (Chen et al. 2020, Eq. 1, averaged over all anchors).

    Args:
        z: (2N, D) float embeddings of any length; rows i and N + i are two views of image i.
        temperature: positive divisor of the cosine similarities; no unit.
    Returns:
        (loss, correct): scalar in nats, log(2N - 1) when all rows are equal; and the number of
        anchors whose nearest other row is their other view.
    Raises: ValueError if z has an odd number of rows or temperature <= 0.
    """
    if len(z) % 2 or temperature <= 0:
        raise ValueError(f"NT-Xent needs an even number of rows and a temperature > 0, "
                         f"got {len(z)} rows and {temperature}")
    half = len(z) // 2
    z = F.normalize(z, dim=1)
    similarity = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    positive = torch.arange(len(z), device=z.device).roll(half)
    correct = (similarity.argmax(1) == positive).sum()
    return F.cross_entropy(similarity, positive), correct
