"""VICReg (Bardes et al. 2022): views of an image shall agree, while each dimension varies over the
images and no two dimensions say the same."""

import torch
from torch import nn
from torch.nn import functional as F

from parallel.gradients import Objective
from self_supervised_pretrained.simclr import cosine_similarity, other_views
from supervised.resnet import resnet

VIEW, VIEW_FLAGS = "simclr_views", ("crop_scale", "color_strength")
ACCURACY = "contrast_accuracy"
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0  # weights of the terms (section 4.2)
WIDTH = 4  # of the expander's hidden layers, in its inputs (section 4.2: 8192 behind 2048)
EPSILON = 1e-4  # in the standard deviation (section 4.1)


def network(args, stem, classes):
    return VICReg(args.arch, args.out_dim, stem)


def objective(args):
    return Objective(lambda z, labels: vicreg(z), pairs=True)


class VICReg(nn.Module):
    """A ResNet whose `fc` is the expander: three linear layers, batch norm and ReLU behind the
    first two, to out_dim."""

    def __init__(self, arch, out_dim, stem):
        super().__init__()
        self.backbone = resnet(arch, out_dim, stem)
        inputs = self.backbone.fc.in_features
        hidden, layers = WIDTH * inputs, []
        for width in (inputs, hidden):
            layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
        self.backbone.fc = nn.Sequential(*layers, nn.Linear(hidden, out_dim))

    def forward(self, images):
        """images: (B, 3, H, W) -> embeddings (B, out_dim)."""
        return self.backbone(images)


def vicreg(z):
    """The loss of VICReg (Eq. 6), scaled as in the authors' code: distances are means over the
    dimensions, and the variance term is the mean of both views.

    Args: z: (2N, D) float embeddings, N > 1; rows i and N + i are two views of image i.
    Returns: (loss, correct): scalar without unit; and the number of rows whose nearest other row,
        by cosine similarity, is their other view.
    Raises: ValueError for an odd number of rows, or fewer than four.
    """
    if len(z) % 2 or len(z) < 4:
        raise ValueError(f"VICReg needs two views of two images at least, got {len(z)} rows")
    views = z.chunk(2)
    loss = INVARIANCE * F.mse_loss(*views)
    for view in views:
        centred = view - view.mean(0)
        covariance = centred.T @ centred / (len(view) - 1)
        deviation = (covariance.diagonal() + EPSILON).sqrt()
        loss = loss + VARIANCE / 2 * F.relu(1 - deviation).mean()
        others = covariance.square().sum() - covariance.diagonal().square().sum()
        loss = loss + COVARIANCE * others / view.shape[1]
    with torch.no_grad():
        correct = (cosine_similarity(z).argmax(1) == other_views(z)).sum()
    return loss, correct
