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
    Raises: ValueError for another scheduler.
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
    if scheduler == "constant":
        return peak
    raise ValueError(f"no schedule {scheduler!r}")


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017): SGD with momentum, where the update u of
    a weight w of more than one dimension is scaled by trust * |w| / |u|, with or without weight
    decay; biases and batch norm are left as they are.

    u = g + weight decay * w. The norm is that of this sum, as in lars_optimizer.py of SimCLR's own
    code (google-research/simclr), while You et al., Eq. 6, divide by |g| + weight decay * |w|. The
    learning rate is applied after the momentum, and what is scaled goes by its dimensions, as in
    moco/optimizer.py of facebookresearch/moco-v3.
    """

    _step_supports_amp_scaling = True  # tells a GradScaler to leave to `step` what it found

    def __init__(self, params, lr, momentum=settings.MOMENTUM, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        """One step, few operations for all weights together, without waiting for a GPU: whether a
        GradScaler lets the step count, the kernel reads on the device."""
        scale, found_inf = (getattr(self, name, None) for name in ("grad_scale", "found_inf"))
        for group in self.param_groups:
            for adapted in (True, False):
                weights = [weight for weight in group["params"]
                           if weight.grad is not None and (weight.ndim > 1) == adapted]
                if weights:
                    self._step(group, weights, adapted, scale, found_inf)

    def _step(self, group, weights, adapted, scale, found_inf):
        updates = [weight.grad for weight in weights]
        if scale is not None:
            updates = torch._foreach_div(updates, scale)
        if group["weight_decay"]:
            updates = torch._foreach_add(updates, weights, alpha=group["weight_decay"])
        if adapted:
            updates = torch._foreach_mul(updates, _trust_ratios(weights, updates))
        for weight in weights:
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        velocities = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._fused_sgd_(weights, updates, velocities, weight_decay=0.0, lr=group["lr"],
                          momentum=group["momentum"], dampening=0.0, nesterov=False,
                          maximize=False, is_first_step=False, found_inf=found_inf)


def _trust_ratios(weights, updates):
    """The factor of each update, 1 where either norm is 0: a list of scalars on the device."""
    of_weights, of_updates = (torch.stack(torch._foreach_norm(values))
                              for values in (weights, updates))
    ratios = settings.LARS_TRUST * of_weights / of_updates
    return list(torch.where((of_weights > 0) & (of_updates > 0), ratios, 1.0).unbind())


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
