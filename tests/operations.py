"""Counts what PyTorch is asked to do: on a GPU each operation costs a launch, and asking for a value a wait."""

import collections

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ASKING = {torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.is_nonzero, torch.ops.aten.equal,
          torch.ops.aten._unique2, torch.ops.aten.unique_dim, torch.ops.aten.masked_select, torch.ops.aten.bincount}


class Operations(TorchDispatchMode):
    """Within it, how often each operation was called that is more than another view of the same memory."""

    def __init__(self):
        super().__init__()
        self.calls = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not function.is_view:
            self.calls[function.overloadpacket] += 1
        return function(*args, **(kwargs or {}))

    @property
    def total(self):
        return sum(self.calls.values())

    @property
    def asked(self):
        """How many of them ask for a value, for which a GPU's host waits."""
        return sum(self.calls[function] for function in ASKING)
