import pytest
import torch

import utils
from tests.operations import Operations
from training.optimizers import LARS, OPTIMIZERS, build_optimizer, learning_rate


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


def test_linear_falls_by_the_same_at_every_step_to_zero():
    rates = [learning_rate(step, 100, 0.4, 10, "linear") for step in range(101)]
    assert rates[9] == rates[10] == pytest.approx(0.4) and rates[100] == 0
    assert [a - b for a, b in zip(rates[10:], rates[11:])] == [pytest.approx(0.4 / 90)] * 90


def test_every_scheduler_that_can_be_asked_for_is_one():
    for name in utils.ARGUMENTS["scheduler"].options["choices"]:
        assert learning_rate(0, 100, 1.0, 0, name) == 1
    with pytest.raises(ValueError, match="^no schedule 'wsd'$"):
        learning_rate(50, 100, 1.0, 0, "wsd")


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


def lars_step(decay, shape=(1, 2)):
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]).view(shape))
    weight.grad = torch.tensor([0.6, 0.8]).view(shape)
    LARS([{"params": [weight], "weight_decay": decay}], lr=2.0).step()
    return weight.detach().flatten().tolist()


def test_lars_adapts_without_weight_decay():
    """|w| = 5, |g| = 1: 0.001 * 5 / 1 of the gradient, times the rate of 2."""
    assert lars_step(0.0) == pytest.approx([3 - 0.01 * 0.6, 4 - 0.01 * 0.8])


def test_lars_divides_by_the_norm_of_the_sum():
    """Gradient and weight at right angles: |g + 0.1 w| = sqrt(1 + 0.25), not 1 + 0.5 as in You et al., Eq. 6."""
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    weight.grad = torch.tensor([[-0.8, 0.6]])
    LARS([{"params": [weight], "weight_decay": 0.1}], lr=2.0).step()
    scale = 2 * 0.001 * 5 / 1.25 ** 0.5
    assert weight.detach().tolist()[0] == pytest.approx([3 - scale * (0.3 - 0.8), 4 - scale * (0.4 + 0.6)])


@pytest.mark.parametrize("decay, expected", [(0.0, [3 - 1.2, 4 - 1.6]), (0.1, [3 - 1.8, 4 - 2.4])])
def test_lars_leaves_biases_and_batch_norm_as_they_are(decay, expected):
    assert lars_step(decay, (2,)) == pytest.approx(expected)


@pytest.mark.parametrize("decay", [0.0, 1e-4])
def test_lars_of_a_network_adapts_its_weights_only(decay):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    before = [p.detach().clone() for p in module.parameters()]
    optimizer = build_optimizer("lars", module, 1.0, decay)
    for p in module.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    for p, old in zip(module.parameters(), before):
        moved = float((p.detach() - old).norm())
        wanted = 0.001 * float(old.norm()) if p.ndim > 1 else float(torch.ones_like(p).norm())
        assert moved == pytest.approx(wanted, rel=1e-4)


def lars_weight_by_weight(weights, gradients, velocities, lr, decay):
    """A step of LARS as its paper has it, one weight after the other, in place."""
    for weight, update, velocity in zip(weights, gradients, velocities):
        update = update + decay * weight if weight.ndim > 1 else update
        if weight.ndim > 1 and weight.norm() > 0 and update.norm() > 0:
            update = update * (0.001 * weight.norm() / update.norm())
        velocity.mul_(0.9).add_(update)
        weight.sub_(lr * velocity)


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_lars_of_all_weights_at_once_is_that_of_each(decay):
    """Over steps, with weights and gradients of zeros, of no gradient, and in channels-last."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(),
                                 torch.nn.Linear(4, 2), torch.nn.Linear(2, 2)).to(memory_format=torch.channels_last)
    torch.nn.init.zeros_(module[3].weight)
    optimizer, trained = build_optimizer("lars", module, 0.5, decay), list(module.parameters())[:-2]
    weights = [p.detach().clone() for p in trained]
    velocities = [torch.zeros_like(p) for p in trained]
    for step in range(4):
        for p in trained:
            p.grad = torch.randn_like(p) if step else torch.zeros_like(p)
        lars_weight_by_weight(weights, [p.grad for p in trained], velocities, 0.5, decay)
        optimizer.step()
    torch.testing.assert_close([p.detach() for p in trained], weights, rtol=1e-6, atol=1e-7)
    kept = [optimizer.state[p]["momentum_buffer"] for p in trained]
    torch.testing.assert_close(kept, velocities, rtol=1e-6, atol=1e-7)
    assert len(optimizer.state) == len(trained)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_asks_for_no_value(name):
    """Which on a GPU would wait for it: neither alone nor under a scaler, whether it counts or not; and the number of
    operations does not grow with the weights."""
    counts = {}
    for layers in (2, 8):
        module = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(layers)))
        optimizer, scaler = build_optimizer(name, module, 0.1, 1e-3), torch.amp.GradScaler("cpu", init_scale=2.0)
        scaler.scale(torch.ones(()))
        for value in (1.0, float("inf"), 1.0):
            for p in module.parameters():
                p.grad = torch.full_like(p, value)
            with Operations() as seen:
                scaler.step(optimizer)
                scaler.update()
        assert seen.asked == 0
        with Operations() as seen:
            optimizer.step()
        assert seen.asked == 0
        counts[layers] = seen.total
    assert counts[8] == counts[2] <= 20


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def scaled_steps(name, device, gradients, skip_first):
    """Weights after steps under a GradScaler, the first of which may overflow before them."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.BatchNorm1d(64)).to(device)
    optimizer, scaler = build_optimizer(name, module, 0.01, 5e-4), torch.amp.GradScaler(device, init_scale=8.0)
    junk = [torch.full((64, 64), 1e30, device=device) for _ in range(8)]
    del junk  # what the next empty tensor finds in memory
    for step in range(-skip_first, len(gradients)):
        for p in module.parameters():
            value = float("inf") if step < 0 else gradients[step] * scaler.get_scale()
            p.grad = torch.full_like(p, value)
        before = [p.detach().clone() for p in module.parameters()]
        scaler.scale(torch.ones((), device=device))  # makes the scale where it is lazy
        scaler.step(optimizer)
        scaler.update()
        if step < 0:
            assert all(torch.equal(a, b) for a, b in zip(before, module.parameters()))
    assert scaler.get_scale() == (4.0 if skip_first else 8.0)
    return [p.detach() for p in module.parameters()], optimizer.state_dict()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_first_step_that_the_scaler_skips_leaves_no_trace(name, device):
    gradients = [0.5, -0.25, 1.0, 0.125]
    wanted, state = scaled_steps(name, device, gradients, skip_first=False)
    found, after = scaled_steps(name, device, gradients, skip_first=True)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted))
    assert all(torch.equal(torch.as_tensor(state["state"][k][key]), torch.as_tensor(after["state"][k][key]))
               for k in state["state"] for key in state["state"][k])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_under_a_scaler_are_those_without(name):
    gradients = [0.5, -0.25, 1.0, 0.125]
    scaled, _ = scaled_steps(name, "cpu", gradients, skip_first=False)
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.BatchNorm1d(64))
    optimizer = build_optimizer(name, module, 0.01, 5e-4)
    for value in gradients:
        for p in module.parameters():
            p.grad = torch.full_like(p, value)
        optimizer.step()
    assert all(torch.allclose(a, b, rtol=1e-6) for a, b in zip(scaled, module.parameters()))


@pytest.mark.parametrize("buffer", [None, "absent"])
def test_a_momentum_that_a_checkpoint_lacks_begins_at_zero(buffer):
    """Only under a scaler, whose next step may be skipped."""
    weight = torch.nn.Parameter(torch.ones(4, 4))
    optimizer = OPTIMIZERS["sgd"]([{"params": [weight], "weight_decay": 0.0}], 0.1)
    state = optimizer.state_dict()
    state["state"] = {0: {"momentum_buffer": None}} if buffer is None else {}
    optimizer.load_state_dict(state)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(torch.ones(()))
    for value in (float("inf"), 1.0):
        weight.grad = torch.full_like(weight, value * scaler.get_scale())
        scaler.step(optimizer)
        scaler.update()
    assert torch.equal(optimizer.state[weight]["momentum_buffer"], torch.ones(4, 4))
    assert torch.allclose(weight, torch.full((4, 4), 1 - 0.1 * 1.9))
