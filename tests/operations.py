"""Counts what PyTorch is asked to do: on a GPU each operation costs a launch, and asking for a value a wait."""

import collections

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ASKING = {torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.is_nonzero, torch.ops.aten.equal,
          torch.ops.aten._unique2, torch.ops.aten.unique_dim, torch.ops.aten.masked_select, torch.ops.aten.bincount}


IDLE = {torch.ops.aten._unsafe_view, torch.ops.aten.empty, torch.ops.aten.new_empty, torch.ops.aten.empty_like}


class Operations(TorchDispatchMode):
    """Within it, how often each operation was called that does something: views and empty memory do not count."""

    def __init__(self, device=None):
        """Args: device: its type, to count only what is done there, and apart from it copies to there."""
        super().__init__()
        self.calls, self.copies, self.device = collections.Counter(), 0, device

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given, found = (([value for value in tree_leaves(each) if isinstance(value, torch.Tensor)])
                        for each in ((args, kwargs), result))
        there = [value.device.type == self.device for value in found or given]
        if not function.is_view and function.overloadpacket not in IDLE and (any(there) or not self.device):
            self.calls[function.overloadpacket] += 1
            self.copies += self.device is not None and any(
                value.device.type != self.device and value.ndim for value in given)
        return result

    @property
    def total(self):
        return sum(self.calls.values())

    @property
    def asked(self):
        """How many of them ask for a value, for which a GPU's host waits."""
        return sum(self.calls[function] for function in ASKING)
