"""Optimizers and the learning-rate schedule, counted in this run's own steps."""

import math

import torch

from conf import global_settings as settings


def learning_rate(step, total_steps, peak, warmup_steps=0, scheduler="cosine", milestones=()):
    """Learning rate of a step: linear warm-up to `peak`, then the schedule.

    The cosine is that of Loshchilov & Hutter 2017, Eq. 5.

    Args:
        step: 0 to total_steps - 1.
        scheduler: "cosine" (to zero at total_steps), "milestones" or "constant".
        milestones: fractions of the run after which the rate is multiplied by MILESTONE_GAMMA.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if scheduler == "cosine":
        progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
        return peak * 0.5 * (1 + math.cos(math.pi * progress))
    if scheduler == "milestones":
        return peak * settings.MILESTONE_GAMMA ** sum(step >= m * total_steps for m in milestones)
    return peak


def scaled_rate(rate, batch_size, scaling):
    """The rate for a batch, from one for BASE_BATCH images.

    Args: scaling: "linear" (Goyal et al. 2017, section 2.1), "sqrt" (Krizhevsky 2014, section 5) or
        "none", where the rate stays as it is.
    """
    factor = batch_size / settings.BASE_BATCH
    return rate * {"none": 1, "linear": factor, "sqrt": math.sqrt(factor)}[scaling]


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017): SGD with momentum, whose step is scaled
    by trust * |w| / |g + weight decay * w| in every group that has weight decay."""

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
                    norms = weight.norm(), update.norm()
                    scale = settings.LARS_TRUST * norms[0] / norms[1]
                    usable = (norms[0] > 0) & (norms[1] > 0)
                    update = update * torch.where(usable, scale, torch.ones_like(scale))
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                velocity = state["momentum_buffer"]
                velocity.mul_(group["momentum"]).add_(update)
                weight.sub_(group["lr"] * velocity)


OPTIMIZERS = {
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr, momentum=settings.MOMENTUM,
                                              nesterov=True, fused=True),
    "adam": lambda groups, lr: torch.optim.Adam(groups, lr, fused=True),
    "lars": LARS,
}


def build_optimizer(name, module, lr, weight_decay):
    """An optimizer over the trainable parameters, without weight decay on biases and batch-norm."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
              {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0}]
    return OPTIMIZERS[name](groups, lr)
