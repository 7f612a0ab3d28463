"""SimCLR: its loss against its definition."""

import math

import pytest
import torch

from self_supervised_pretrained.simclr import nt_xent


def brute_force(z, temperature):
    """Chen et al. 2020, Eq. 1, term by term."""
    def sim(a, b):
        return float(a @ b / (a.norm() * b.norm()))
    n, total = len(z) // 2, 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        below = sum(math.exp(sim(z[i], z[k]) / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(sim(z[i], z[j]) / temperature) / below)
    return total / (2 * n)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_equals_triple_loop(n, temperature):
    z = torch.randn(2 * n, 5, generator=torch.Generator().manual_seed(n))
    assert float(nt_xent(z, temperature)[0]) == pytest.approx(brute_force(z.double(), temperature), abs=1e-5)


@pytest.mark.parametrize("n", [2, 5])
def test_closed_form_for_equal_rows(n):
    assert float(nt_xent(torch.ones(2 * n, 3), 0.5)[0]) == pytest.approx(math.log(2 * n - 1), abs=1e-6)


def test_counts_hits():
    z = torch.eye(4).repeat(2, 1)
    assert int(nt_xent(z, 0.5)[1]) == 8
    assert int(nt_xent(torch.cat([z[:4], -z[:4]]), 0.5)[1]) < 8


@pytest.mark.parametrize("rows, temperature", [(3, 0.5), (4, 0.0), (4, -1.0)])
def test_refuses(rows, temperature):
    with pytest.raises(ValueError, match="even number of rows"):
        nt_xent(torch.ones(rows, 2), temperature)
