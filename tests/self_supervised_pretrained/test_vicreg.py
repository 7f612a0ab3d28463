"""VICReg's loss against its definition, term by term."""

import math

import pytest
import torch

from self_supervised_pretrained.vicreg import VICReg, vicreg


def brute_force(z):
    """Bardes et al. 2022, Eq. 1 to 6, the distance divided by the dimensions and the variance by the views."""
    n, d = len(z) // 2, len(z[0])
    views = z[:n], z[n:]
    loss = 25 * sum((views[0][i][j] - views[1][i][j]) ** 2 for i in range(n) for j in range(d)) / n / d
    for view in views:
        mean = [sum(row[j] for row in view) / n for j in range(d)]

        def covariance(j, k):
            return sum((row[j] - mean[j]) * (row[k] - mean[k]) for row in view) / (n - 1)

        loss += 25 / 2 * sum(max(0, 1 - math.sqrt(covariance(j, j) + 1e-4)) for j in range(d)) / d
        loss += sum(covariance(j, k) ** 2 for j in range(d) for k in range(d) if j != k) / d
    return loss


@pytest.mark.parametrize("n, scale", [(2, 0.1), (3, 1), (7, 3)])
def test_equals_its_definition(n, scale):
    z = scale * torch.randn(2 * n, 5, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    assert float(vicreg(z)[0]) == pytest.approx(brute_force(z.tolist()), rel=1e-9)


def test_closed_forms():
    """Equal rows have no variance; two decorrelated dimensions of deviation above one and equal views no loss."""
    assert float(vicreg(torch.ones(8, 3))[0]) == pytest.approx(25 * (1 - 0.01), rel=1e-5)
    square = torch.tensor([[2.0, 2.0], [2, -2], [-2, 2], [-2, -2]])
    loss, correct = vicreg(square.repeat(2, 1))
    assert float(loss) == 0 and int(correct) == 8


@pytest.mark.parametrize("rows", [2, 5])
def test_refuses_too_few_images(rows):
    with pytest.raises(ValueError, match="two views of two images"):
        vicreg(torch.ones(rows, 2))


def test_the_expander_has_batch_norm_and_ends_at_out_dim():
    network = VICReg("resnet18", 9, "3x3")
    assert network(torch.rand(4, 3, 16, 16)).shape == (4, 9)
    assert sum(isinstance(part, torch.nn.BatchNorm1d) for part in network.backbone.fc) == 2
