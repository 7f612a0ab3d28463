"""Optimizers and the learning-rate schedule, counted in this run's own steps."""

import math

import torch

from conf import global_settings as settings


def learning_rate(step, total_steps, peak, warmup_steps=0, scheduler="cosine", milestones=()):
    """Learning rate of a step: linear warm-up to `peak`, then the schedule.

    The cosine is that of Loshchilov & Hutter 2017, Eq. 5.

    Args:
        step: 0 to total_steps - 1.
        scheduler: "cosine" or "linear" (both to zero at total_steps), "milestones" or "constant".
        milestones: fractions of the run after which the rate is multiplied by MILESTONE_GAMMA.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    if scheduler == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
    if scheduler == "linear":
        return peak * (1 - progress)
    if scheduler == "milestones":
        return peak * settings.MILESTONE_GAMMA ** sum(step >= m * total_steps for m in milestones)
    return peak


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017): SGD with momentum, where the update u of
    a weight w of more than one dimension is scaled by trust * |w| / |u|, with or without weight
    decay; biases and batch norm are left as they are.

    u = g + weight decay * w. The norm is that of this sum, as in lars_optimizer.py of SimCLR's own
    code (google-research/simclr), while You et al., Eq. 6, divide by |g| + weight decay * |w|. The
    learning rate is applied after the momentum, and what is scaled goes by its dimensions, as in
    moco/optimizer.py of facebookresearch/moco-v3.
    """

    def __init__(self, params, lr, momentum=settings.MOMENTUM, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                update = weight.grad
                if group["weight_decay"]:
                    update = update + group["weight_decay"] * weight
                if weight.ndim > 1:
                    update = update * _trust_ratio(weight, update)
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                velocity = state["momentum_buffer"]
                velocity.mul_(group["momentum"]).add_(update)
                weight.sub_(group["lr"] * velocity)


def _trust_ratio(weight, update):
    """The factor of an update, 1 where either norm is 0."""
    norms = weight.norm(), update.norm()
    scale = settings.LARS_TRUST * norms[0] / norms[1]
    return torch.where((norms[0] > 0) & (norms[1] > 0), scale, torch.ones_like(scale))


def _sgd(groups, lr):
    """Fused SGD whose momentum begins at zero under a GradScaler.

    PyTorch 2.15 makes the buffers with empty_like at the first step and leaves it to the kernel to
    fill them. The kernel does nothing where the scaler found a gradient that is not finite, and the
    second step takes what lay in memory for momentum.
    """
    optimizer = _lean(torch.optim.SGD)(groups, lr, momentum=settings.MOMENTUM, nesterov=True,
                                       fused=True)
    optimizer.register_step_pre_hook(_begin_momentum)
    return optimizer


def _begin_momentum(optimizer, *_):
    """Fill in the momentum that is missing. Without a scaler nothing: every step counts there."""
    if getattr(optimizer, "found_inf", None) is None:
        return
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is not None and optimizer.state[weight].get("momentum_buffer") is None:
                optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight.grad)


# PyTorch's optimizers import its compiler, which takes a second of every start, to tell it to keep
# out of their steps and bookkeeping. Where the two functions below find nothing to take away any
# more, it is imported again, and nothing else changes.


def _lean(kind):
    """An optimizer class whose step says nothing to the compiler."""
    step = getattr(kind.step, "__wrapped__", kind.step)
    return type(kind.__name__, (kind,), {"step": torch.no_grad()(step)})


def _keep_bookkeeping_lean():
    """The same of what all optimizers share: torch/_compile.py calls what it finds here."""
    for function in vars(torch.optim.Optimizer).values():
        inner = getattr(function, "__wrapped__", None)
        if inner is not None:
            setattr(inner, "__dynamo_disable", inner)


OPTIMIZERS = {
    "sgd": _sgd,
    "adam": lambda groups, lr: _lean(torch.optim.Adam)(groups, lr, fused=True),
    "lars": LARS,
}


def lbfgs(variables, **options):
    """torch.optim.LBFGS, for a problem that is solved as a whole."""
    _keep_bookkeeping_lean()
    return _lean(torch.optim.LBFGS)(variables, **options)


def build_optimizer(name, module, lr, weight_decay):
    """An optimizer over the trainable parameters, without weight decay on biases and batch-norm."""
    _keep_bookkeeping_lean()
    trainable = [p for p in module.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
              {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0}]
    return OPTIMIZERS[name](groups, lr)
