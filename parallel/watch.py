"""What is asked of a device that works on its own: nothing that would wait for it."""

import math

import torch

WATCHED_EVERY = 50  # steps; the queue of a GPU has no room for half as many


def answers(device):
    """Whether a device can be asked for a value without waiting until all that it was told is
    done."""
    return device.type == "cpu"


class Watch:
    """Notices within an epoch that the loss is not finite, without waiting for the device: a copy
    of its sum is on its way from one look to the next.

    So it is noticed late, but in all processes at the same step.
    """

    def __init__(self):
        self._sent = None

    def look(self, progress):
        """The number of steps after which the loss was no longer finite; None for none that is
        known. Args: progress: functions.Progress, after each step."""
        if progress.step % WATCHED_EVERY:
            return None
        if self._sent:
            step, total, arrived = self._sent
            if arrived:
                arrived.synchronize()  # it arrived long ago
            if not math.isfinite(total):
                return step
        total, arrived = progress.loss.to("cpu", non_blocking=True), None
        if progress.loss.is_cuda:
            arrived = torch.cuda.Event()
            arrived.record()
        self._sent = progress.step, total, arrived
        return None
