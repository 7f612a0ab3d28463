"""SimCLR (Chen et al. 2020): two views of an image shall be nearer to each other than to others."""

import torch
from torch import nn
from torch.nn import functional as F

from parallel.gradients import Objective
from supervised.resnet import resnet

VIEW, VIEW_FLAGS = "simclr_views", ("crop_scale", "color_strength")
ACCURACY = "contrast_accuracy"


def network(args, stem, classes):
    return SimCLR(args.arch, args.out_dim, stem)


def objective(args):
    return Objective(lambda z, labels: nt_xent(z, args.temperature), pairs=True)


class SimCLR(nn.Module):
    """A ResNet whose `fc` is the projection head (section 2.1), Linear-ReLU-Linear to out_dim; keys
    are those of the well-known code."""

    def __init__(self, arch, out_dim, stem):
        super().__init__()
        self.backbone = resnet(arch, out_dim, stem)
        width = self.backbone.fc.in_features
        self.backbone.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), self.backbone.fc)

    def forward(self, images):
        """images: (B, 3, H, W) -> projections (B, out_dim)."""
        return self.backbone(images)


def nt_xent(z, temperature):
    """NT-Xent contrastive loss (Eq. 1, averaged over all anchors).

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
    similarity = cosine_similarity(z) / temperature
    positive = other_views(z)
    correct = (similarity.argmax(1) == positive).sum()
    return F.cross_entropy(similarity, positive), correct


def cosine_similarity(z):
    """(2N, D) -> (2N, 2N), the similarity of a row with itself being -inf."""
    z = F.normalize(z, dim=1)
    return (z @ z.T).fill_diagonal_(float("-inf"))


def other_views(z):
    """The row of each row's other view: int64 (2N,)."""
    return torch.arange(len(z), device=z.device).roll(len(z) // 2)
