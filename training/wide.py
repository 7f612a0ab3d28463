"""Linear classifiers that see the same batches of features, trained as one wide layer."""

import math
import time

import torch

from functions import Diverged, Progress
from training.loop import SAVE_SECONDS
from training.signals import stop_for

AGAIN = "the same grid goes on from there"


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


class Group:
    """Runs that are trained together, each as `Run.train` does, equal to rounding.

    Args: runs: training.loop.Run of ScaledLinear on the same features, in batches of the same
        images, that stand at the same step of the same epoch. signals: training.signals.Signals.
    """

    def __init__(self, runs, signals):
        self.runs, self._signals, self._saved = runs, signals, time.monotonic()
        for run in runs:
            run.save_seconds = math.inf  # but all at once, so that they stay at the same step

    def train(self):
        """Train the epochs that are missing.

        Returns: the runs that are finished. One that diverges or cannot be written says so and
            leaves. Raises: utils.Interrupted, after a checkpoint of each.
        """
        last = self.runs[0].args.epochs
        for epoch in range(self.runs[0].epoch + 1, last + 1):
            done = self._epoch(epoch)
            self.runs = [run for run, progress in done.items()
                         if self._able(run, run.end_epoch, epoch, progress)]
            asked = self._signals.take() if epoch < last else None  # else it waits for the caller
            if epoch < last and (asked or self._since() > SAVE_SECONDS * len(self.runs)):
                self.runs = [run for run in self.runs if self._able(run, run.save)]
                self._saved = time.monotonic()
                stop_for(asked, epoch + 1, AGAIN)
            if not self.runs:
                break
        return self.runs

    def _since(self):
        """Seconds since all were saved."""
        return time.monotonic() - self._saved

    @staticmethod
    def _able(run, action, *more):
        """Do something for a run. Returns: whether that went well; else its log says why not."""
        try:
            action(*more)
        except (Diverged, OSError) as error:
            run.say(f"error: {error}", flush=True)
            return False
        return True

    def _epoch(self, epoch):
        """Do the steps of an epoch, or the rest of one. Returns: {run: its functions.Progress} of
        those that could be written."""
        runs, args, batches = self.runs, self.runs[0].args, self.runs[0].job.batches
        each, rates = runs[0].job.objective.each, [run.rate(epoch) for run in runs]
        wide = WideLinear([run.job.trained for run in runs])
        before = [run.progress or Progress() for run in runs]
        step, seen, started = before[0].step, before[0].seen, time.perf_counter()
        losses, correct = (torch.tensor([getattr(progress, name) for progress in before],
                                        dtype=torch.float64, device=batches.device)
                           for name in ("loss", "correct"))

        def progress():
            share = (time.perf_counter() - started) / len(runs)
            return {run: Progress(step, *sums, seen, earlier.seconds + share) for run, *sums, earlier
                    in zip(runs, losses.tolist(), correct.tolist(), before)}

        failed = set()
        for features, labels in batches.epoch(args.seed, epoch, step):
            for run, rate in zip(runs, rates):
                for group in run.optimizer.param_groups:
                    group["lr"] = rate(step)
            loss, hits = wide.backward(features, labels, each)
            for run in runs:
                run.optimizer.step()
            losses += loss.double() * len(labels)
            correct += hits
            step, seen = step + 1, seen + len(labels)
            if step == len(batches):  # the epoch's own checkpoint comes next
                break
            asked = self._signals.take()
            if asked or self._since() > 60 * args.checkpoint_minutes:
                failed |= {run for run, now in progress().items()
                           if run not in failed and not self._able(run, _save_within, run, epoch, now)}
                self._saved = time.monotonic()
                stop_for(asked, epoch, AGAIN)
        return {run: now for run, now in progress().items() if run not in failed}


def _save_within(run, epoch, progress):
    """As Run.save_within. Raises: Diverged, after marking it in the CSV."""
    try:
        run.save_within(epoch, progress)
    except Diverged:
        run.mark_diverged(epoch)
        raise
