"""Multinomial logistic regression on features, solved to its end by L-BFGS for one L2 penalty after
another."""

import numpy as np
import torch

from functions import Diverged
from training.optimizers import lbfgs

HIGHEST, LOWEST = 1.0, 1e-5  # penalties: from where hardly more than class means is left
MOST_STEPS = 1000  # of L-BFGS for a penalty; it takes some dozens
HISTORY = 40  # pairs of steps and gradients that L-BFGS keeps
# It ends where no gradient is as large, or where no step or change of the loss is. On 12,000 images of
# CIFAR-100 that was 1e-4 nats above the minimum for penalties from 3e-4 on, 1e-3 for the lowest.
GRADIENT, CHANGE = 3e-4, 1e-10
TOGETHER = 2 ** 11  # rows that are multiplied at once


def penalties(count):
    """So many penalties, evenly spaced in their logarithm, from the highest to the lowest."""
    return [float(f"{penalty:.6g}") for penalty in np.geomspace(HIGHEST, LOWEST, count)]


class PenaltyPath:
    """The minima, penalty by penalty, of mean loss + penalty / 2 * |W|^2, the bias b being free:
    what scikit-learn's LogisticRegression finds with C = 1 / (penalty * N) on N rows.

    Each begins where the one before ended. The variables of L-BFGS are W in the directions of the
    features' principal components, and in each of them in units of 1 / sqrt(curvature + penalty):
    their scale then tells about how much a step changes the loss, the curvature being that of equal
    probabilities, and dozens of steps are enough where thousands would be. Products of matrices and
    the loss of an image are of the classifier's dtype, the rest is float64.

    Args: classifier: linear.ScaledLinear, whose `fc` is solved for in place. batches:
        data.dataloader.FeatureBatches; of several views the loss is the mean over all. objective:
        parallel.gradients.Objective, convex. count: of penalties.
    """

    def __init__(self, classifier, batches, objective, count):
        self.classifier, self.measure = classifier, objective.measure
        self.penalties = penalties(count)
        rows = torch.from_numpy(batches.rows).to(batches.device)
        inputs = classifier.scaled(batches.features[:, rows]).flatten(0, 1).double()
        self.labels = batches.labels.repeat(len(batches.features))
        curvature, self.axes = torch.linalg.eigh(inputs.T @ inputs / len(inputs))
        self.inputs = (inputs @ self.axes).to(classifier.fc.weight)
        share = 1 / classifier.fc.out_features
        self.slope = share * (1 - share)  # a logit's curvature where all classes are as probable
        self.curvature = self.slope * curvature.clamp(min=0)

    def __call__(self, epoch):
        """Solve for the penalty of an epoch, from 1.

        Returns: dict of loss (mean, without the penalty), accuracy (fraction) and penalty.
        Raises: functions.Diverged where the loss is not finite.
        """
        fc, penalty = self.classifier.fc, self.penalties[epoch - 1]
        units = (self.curvature + penalty).rsqrt()[:, None]
        inner = (self.axes.T @ fc.weight.detach().double().T / units).requires_grad_()
        offset = (fc.bias.detach().double() * self.slope ** 0.5).requires_grad_()
        found = {}

        def closure():
            weight, bias = (units * inner).detach(), (offset / self.slope ** 0.5).detach()
            loss, correct, *gradients = self._gradients(weight, bias)
            found.update(loss=loss, accuracy=float(correct) / len(self.labels), penalty=penalty)
            inner.grad = units * (gradients[0] + penalty * weight)
            offset.grad = gradients[1] / self.slope ** 0.5
            return loss + penalty / 2 * weight.square().sum()

        solver = lbfgs([inner, offset], max_iter=MOST_STEPS, tolerance_grad=GRADIENT,
                       tolerance_change=CHANGE, history_size=HISTORY, line_search_fn="strong_wolfe")
        solver.step(closure)
        closure()  # of the point that it chose, which need not be the last one that it tried
        if not np.isfinite(float(found["loss"])):
            raise Diverged(f"the loss is not finite at a penalty of {penalty:g}: some features of "
                           "the backbone are not; try --amp off")
        with torch.no_grad():
            fc.weight.copy_((self.axes @ (units * inner)).T)
            fc.bias.copy_(offset / self.slope ** 0.5)
        return {name: float(value) for name, value in found.items()}

    def _gradients(self, weight, bias):
        """Mean loss, number correct, and the loss's gradients for `weight` (D, C) and bias (C,)."""
        loss = correct = 0
        gradient, of_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        for inputs, labels in zip(self.inputs.split(TOGETHER), self.labels.split(TOGETHER)):
            logits = torch.addmm(bias.to(inputs), inputs, weight.to(inputs)).requires_grad_()
            part, hits = self.measure(logits, labels)
            part = part.double() * (len(labels) / len(self.labels))
            slope, = torch.autograd.grad(part, logits)
            gradient += inputs.T @ slope
            of_bias += slope.sum(0, dtype=torch.float64)
            loss, correct = loss + part.detach(), correct + hits
        return loss, correct, gradient, of_bias
