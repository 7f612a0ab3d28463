import pytest
import torch

from training.optimizers import LARS, build_optimizer, learning_rate


@pytest.mark.parametrize("ratio", [0.1, 0.3, 1.0])
def test_schedule_is_counted_in_steps_of_the_run(ratio):
    steps = round(1000 * ratio) * 20
    warmup = round(1000 * ratio) * 2
    rates = [learning_rate(step, steps, 0.4, warmup) for step in range(steps)]
    assert rates[0] == pytest.approx(0.4 / warmup)
    assert max(rates) == 0.4 and rates.index(max(rates)) in (warmup - 1, warmup)
    assert 0 < rates[-1] < 1e-5 * 0.4 * (1000 / steps) ** 2 * 100
    assert rates[steps // 2 + warmup // 2] == pytest.approx(0.2, rel=1e-3)


def test_milestones_and_constant():
    rates = [learning_rate(s, 100, 1.0, 0, "milestones", [0.3, 0.6]) for s in (0, 29, 30, 59, 60, 99)]
    assert rates == pytest.approx([1, 1, 0.2, 0.2, 0.04, 0.04])
    assert learning_rate(99, 100, 1.0, 10, "constant") == 1.0


def test_no_weight_decay_on_biases_and_batch_norm():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    decayed, others = build_optimizer("sgd", module, 0.1, 0.5).param_groups
    assert [p.ndim for p in decayed["params"]] == [4] and decayed["weight_decay"] == 0.5
    assert all(p.ndim == 1 for p in others["params"]) and others["weight_decay"] == 0


def test_lars_step_by_hand():
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    weight.grad = torch.tensor([[0.6, 0.8]])
    LARS([{"params": [weight], "weight_decay": 0.1}], lr=2.0).step()
    update = torch.tensor([[0.6 + 0.3, 0.8 + 0.4]])
    expected = torch.tensor([[3.0, 4.0]]) - 2.0 * update * (0.001 * 5.0 / update.norm())
    assert torch.allclose(weight, expected)
