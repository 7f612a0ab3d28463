"""Processes that work as one: torchrun starts them, and each takes its part of every batch.

What follows the network (loss, accuracy, choice of epochs) every process computes for the whole
batch, from the outputs of all. So it reads as in one process, gives the same numbers everywhere,
and the gradient that reaches a process's own outputs is the whole one.
"""

import inspect
import os
import sys
import time
import uuid
from datetime import timedelta
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from parallel.batch_norm import SyncBatchNorm

JOIN_SECONDS = 300
SILENT_SECONDS = 3  # until another process than the first tells of an error


def join(device):
    """Join the processes that torchrun started, over nccl on CUDA and gloo elsewhere; all but the
    first fall silent. Nothing where there is one process, or at the second call."""
    if int(os.environ.get("WORLD_SIZE") or 1) == 1 or dist.is_initialized():
        return
    waiting = timedelta(seconds=JOIN_SECONDS)  # for a torchrun that may have been killed
    store, number, processes = next(dist.rendezvous("env://", timeout=waiting))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=number,
                            store=_unused(store, number, processes), world_size=processes)
    if number:
        sys.stdout = open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")


def _unused(store, number, processes):
    """A part of torchrun's store that is new: the store outlives a restart, and the addresses that
    lost processes left there would be taken for those of this start.

    The first process makes up its name and waits until each other one has answered below it, then
    repeats the answers, by which the others tell that it is not a name of before.
    """
    answer, ending = uuid.uuid4().hex, time.monotonic() + JOIN_SECONDS
    if number == 0:
        store.set("name", answer)
    while time.monotonic() < ending:
        name = store.get("name").decode()
        if number == 0:
            keys = [f"{name}/{k}" for k in range(1, processes)]
            if store.check(keys):
                store.set(f"{name}/all", b" ".join(map(store.get, keys)))
                return dist.PrefixStore(name, store)
        else:
            store.set(f"{name}/{number}", answer)
            if store.check([f"{name}/all"]) and answer.encode() in store.get(f"{name}/all"):
                return dist.PrefixStore(name, store)
        time.sleep(0.02)
    raise ValueError(f"the {processes} processes did not all start within {JOIN_SECONDS} s")


def leave():
    """Part from the other processes at the end of all work. A process that ends without it is now
    and then aborted by gloo's threads."""
    if dist.is_initialized():
        dist.destroy_process_group()


def lost(error):
    """Whether an exception says that another process is gone."""
    return world() > 1 and isinstance(error, RuntimeError) and (
        isinstance(error, dist.DistError) or "gloo" in str(error))


def told(message, error):
    """What this process says of an error, after a while where others may say the same.

    Most errors meet every process. The first one says so at once, and torchrun ends the others
    before they repeat it.
    """
    if lost(error):
        return (f"lost one of the {world()} processes of this run (its own line or torchrun's says "
                "why); the same command with --resume goes on from the last checkpoint")
    if not rank():
        return message
    time.sleep(SILENT_SECONDS)
    return f"process {rank()}: {message}"


def rank():
    """The number of this process, from 0; the one with 0 writes all files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world():
    """How many processes work together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def meet():
    """Wait until all processes are here."""
    if world() > 1:
        dist.barrier()


def all_say(yes, device):
    """Whether all processes say yes. They wait for each other."""
    answer = torch.tensor(int(yes)).to(device)
    dist.all_reduce(answer, dist.ReduceOp.MIN)
    return bool(answer)


def exchange(values, given, got):
    """Give values (n, ...), in the order of the processes they are for, so many to each.

    Args: given: list of ints, by process; got: how many each process has for this one.
    Returns: (sum of got, ...), in the order of the processes they are from.
    """
    received = values.new_empty(sum(got), *values.shape[1:])
    dist.all_to_all_single(received, values, got, given)
    return received


def restarted():
    """Whether torchrun started the processes again after one had failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


class Nothing:
    """Stands for a log in the processes that write none: takes every call."""

    def __getattr__(self, name):
        return lambda *args, **options: None


class Piece(NamedTuple):
    """Images that go through the network at once. own: slice of this process's images of the batch;
    in_batch: slice of the batch; counts: images of each process."""

    own: slice
    in_batch: slice
    counts: tuple

    def gather(self, outputs):
        """The outputs of all processes, in the order of the batch; backward() leads into the own.

        Args: outputs: (V, B, D) for this process's B images of the piece.
        Returns: (V, images of the piece, D).
        """
        return outputs if len(self.counts) == 1 else _Gather.apply(outputs, self.counts)


class Share(NamedTuple):
    """The part of a batch that this process works on. rows: int64 positions in the batch; count:
    images of the whole batch; pieces: tuple of Piece."""

    rows: np.ndarray
    count: int
    pieces: tuple


def share_of(count, piece_size, processes, number):
    """Cut a batch into pieces of equal size, and each of them into a part for every process.

    Args: count: images of the batch. piece_size: images of a piece at most.
        processes, number: how many share the batch, and which of them asks.
    Returns: Share.
    """
    pieces, rows, taken = [], [], 0
    total = -(-count // piece_size)
    for start, stop in pairwise(k * count // total for k in range(total + 1)):
        edges = [start + k * (stop - start) // processes for k in range(processes + 1)]
        own = np.arange(edges[number], edges[number + 1])
        counts = tuple(b - a for a, b in pairwise(edges))
        pieces.append(Piece(slice(taken, taken + len(own)), slice(start, stop), counts))
        rows.append(own)
        taken += len(own)
    return Share(np.concatenate(rows), count, tuple(pieces))


class _Gather(torch.autograd.Function):
    """Outputs of all processes; the gradient is that of the own ones, times the number of processes
    since DistributedDataParallel divides by it."""

    @staticmethod
    def forward(ctx, own, counts):
        start, stop = list(pairwise(accumulate(counts, initial=0)))[rank()]
        ctx.own = slice(start, stop)
        padded = own.new_zeros(own.shape[0], max(counts), own.shape[2])
        padded[:, :stop - start] = own
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:, :count] for part, count in zip(parts, counts)], 1)

    @staticmethod
    def backward(ctx, grad):
        return grad[:, ctx.own] * world(), None


def parallel(module, device):
    """The module as DistributedDataParallel with synchronised batch norm; itself in one process.

    The module's own tensors stay the ones that are trained and saved.
    """
    if world() == 1:
        return module
    cuda = device.type == "cuda"
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.__class__ = SyncBatchNorm
    where = [device.index] if cuda else None
    # buffers need no copying: synchronised batch norm gives all processes the same
    wrap = nn.parallel.DistributedDataParallel
    name = "forward_sync_buffers"  # since PyTorch 2.15
    if name not in inspect.signature(wrap).parameters:
        name = "broadcast_buffers"
    return wrap(module, where, **{name: False})


class Agreement:
    """Lets all processes learn, at the same step, of a value that reached one of them.

    It travels beside the work, over gloo, and is known one call later. Args: values: all that there
    are; where several come at once, the last of these counts.
    """

    def __init__(self, values):
        self.values = [None, *values]
        self.group = dist.new_group(backend="gloo") if world() > 1 else None
        self.pending = None

    def __call__(self, value):
        """Args: value: one of them, or None. Returns: that of the call before, or None; in one process
        the value itself. All processes must call equally often."""
        if self.group is None:
            return value
        found = None
        if self.pending:
            self.pending.wait()
            found = self.values[int(self.place)]
        self.place = torch.tensor(self.values.index(value))
        self.pending = dist.all_reduce(self.place, dist.ReduceOp.MAX, self.group, async_op=True)
        return found

    def wait(self):
        """Wait until all processes are here."""
        if self.group is not None:
            dist.barrier(self.group)
