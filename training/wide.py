"""Linear classifiers that see the same batches of features, trained as one wide layer."""

import contextlib
import time

import torch

from functions import Diverged, Progress
from training.signals import Signals, stop_for


class WideLinear:
    """The layers of some ScaledLinear with the same mean and deviation, as one.

    Their parameters, and the gradients of these, become parts of one tensor, so that the optimizer
    of each goes on as if it were alone.
    """

    def __init__(self, classifiers):
        layers = [classifier.fc for classifier in classifiers]
        self.count, self._scaled = len(layers), classifiers[0].scaled
        self._weight, self._weight_grad = _joined([layer.weight for layer in layers])
        self._bias, self._bias_grad = _joined([layer.bias for layer in layers])

    def backward(self, features, labels, each):
        """Have the gradients of each layer be those of its mean loss.

        Args: features: float (B, D). labels: int64 (B,). each: as in gradients.Objective.
        Returns: mean loss and number correct of each layer, tensors of shape (K,).
        """
        with torch.no_grad():
            inputs = self._scaled(features)
            logits = torch.addmm(self._bias, inputs, self._weight.T)
        logits = logits.view(len(labels) * self.count, -1).requires_grad_()
        losses, correct = each(logits, labels.repeat_interleave(self.count))
        losses = losses.view(-1, self.count).mean(0)
        gradient, = torch.autograd.grad(losses.sum(), logits)
        gradient = gradient.view(len(labels), -1)
        torch.mm(gradient.T, inputs, out=self._weight_grad)
        torch.sum(gradient, 0, out=self._bias_grad)
        return losses.detach(), correct.view(-1, self.count).sum(0)


def _joined(parameters):
    """Some parameters of one shape as parts of one tensor, their gradients as parts of another.
    Returns: both."""
    values = torch.cat([parameter.detach() for parameter in parameters])
    gradients = torch.zeros_like(values)
    for parameter, *parts in zip(parameters, values.chunk(len(parameters)),
                                 gradients.chunk(len(parameters))):
        parameter.data, parameter.grad = parts
    return values, gradients


def train_side_by_side(runs):
    """Train the epochs that are missing as `Run.train` does in each, equal to rounding.

    Args: runs: training.loop.Run of ScaledLinear on the same features, in batches of the same
        images, that stand at the same step of the same epoch.
    Returns: the runs that are finished. One that diverges says so, in its CSV, too, and leaves.
    Raises: utils.Interrupted, after a checkpoint of each.
    """
    with Signals() as signals:
        for epoch in range(runs[0].epoch + 1, runs[0].args.epochs + 1):
            done = _epoch(runs, epoch, signals)
            runs = [run for run, progress in zip(runs, done) if _ended(run, epoch, progress)]
            if not runs:
                break
    return runs


def _epoch(runs, epoch, signals):
    """Do the steps of an epoch, or the rest of one. Returns: the functions.Progress of each run."""
    args, batches = runs[0].args, runs[0].job.batches
    wide, rates = WideLinear([run.job.trained for run in runs]), [run.rate(epoch) for run in runs]
    before = [run.progress or Progress() for run in runs]
    step, seen, started = before[0].step, before[0].seen, time.perf_counter()
    losses, correct = (torch.tensor([getattr(progress, name) for progress in before],
                                    dtype=torch.float64, device=batches.device)
                       for name in ("loss", "correct"))

    def progress():
        share = (time.perf_counter() - started) / len(runs)
        return [Progress(step, *sums, seen, earlier.seconds + share)
                for *sums, earlier in zip(losses.tolist(), correct.tolist(), before)]

    for features, labels in batches.epoch(args.seed, epoch, step):
        for run, rate in zip(runs, rates):
            for group in run.optimizer.param_groups:
                group["lr"] = rate(step)
        loss, hits = wide.backward(features, labels, runs[0].job.objective.each)
        for run in runs:
            run.optimizer.step()
        losses += loss.double() * len(labels)
        correct += hits
        step, seen = step + 1, seen + len(labels)
        asked = signals.take() if step < len(batches) else None  # else it waits for the next step
        if asked or step < len(batches) and runs[0].due():
            for run, now in zip(runs, progress()):
                with contextlib.suppress(Diverged):  # the end of the epoch tells of it
                    run.save_within(epoch, now)
            if asked:
                stop_for(asked, epoch)
    return progress()


def _ended(run, epoch, progress):
    """End an epoch of a run. Returns: whether it goes on."""
    try:
        run.end_epoch(epoch, progress)
    except Diverged as error:
        run.say(f"error: {error}", flush=True)
        return False
    return True
