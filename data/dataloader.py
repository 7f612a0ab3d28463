"""Images or features, and labels -> batches on the device, in an order that depends on
(seed, epoch) alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from data.store import read_ahead

RESIDENT_SHARE = 0.5  # of an accelerator's free memory that the images may take
COPIED = 4096  # images at once on their way there
TOGETHER = 16  # batches of features that are picked at once
AHEAD = 2  # batches that are read while the network works on an earlier one


class _Ordered:
    """Rows cut into batches; a single last row joins the batch before: batch-norm needs two."""

    def __init__(self, labels, batch_size, device, rows):
        self.labels, self.batch_size = torch.as_tensor(labels), batch_size
        self.device = torch.device(device)
        self.rows = np.arange(len(labels)) if rows is None else np.asarray(rows)

    def __len__(self):
        whole, rest = divmod(len(self.rows), self.batch_size)
        return whole + (rest > (whole > 0))

    def order(self, seed=None, epoch=0):
        """Row numbers in the order of an epoch: shuffled by (seed, epoch), as they lie without."""
        if seed is None:
            return self.rows
        return self.rows[np.random.default_rng((seed, epoch)).permutation(len(self.rows))]

    def steps(self, order, first_step=0):
        """The part of an order that each step takes, from first_step on."""
        return np.split(order, np.arange(1, len(self)) * self.batch_size)[first_step:]


class Batches(_Ordered):
    """Batches of images. Where they fit an accelerator's memory they live there; else a thread
    reads ahead from the (memory-mapped) array.

    Args:
        images: uint8 (N, H, H, 3) array or memory map. labels: int64 (N,). batch_size: images.
        rows: the rows to use, None for all.
    """

    def __init__(self, images, labels, batch_size, device, rows=None):
        super().__init__(labels, batch_size, device, rows)
        self.images, self._resident = images, None
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
            if len(self.rows) * np.prod(images.shape[1:]) <= RESIDENT_SHARE * free:
                self._resident = self._to_device()
                self.labels = self.labels[self.rows].to(self.device)
                self.rows = np.arange(len(self.rows))

    def _to_device(self):
        """Copy the images part by part, so that the host never holds them all."""
        resident = torch.empty(len(self.rows), *self.images.shape[1:], dtype=torch.uint8,
                               device=self.device)
        for start in range(0, len(self.rows), COPIED):
            part = torch.from_numpy(self.images[self.rows[start:start + COPIED]])
            resident[start:start + COPIED].copy_(part)
        return resident

    def epoch(self, seed=None, epoch=0, first_step=0):
        """Yield (images uint8 (B, H, H, 3), labels int64 (B,)) on the device."""
        steps = self.steps(self.order(seed, epoch), first_step)
        if self._resident is not None:
            for rows in steps:
                rows = torch.from_numpy(rows).to(self.device, non_blocking=True)
                yield self._resident[rows], self.labels[rows]
            return
        with ThreadPoolExecutor(1) as reader:
            pending = [reader.submit(self._read, rows) for rows in steps[:AHEAD]]
            for step in range(len(steps)):
                images, labels = pending.pop(0).result()
                if step + AHEAD < len(steps):
                    pending.append(reader.submit(self._read, steps[step + AHEAD]))
                yield (images.to(self.device, non_blocking=True),
                       labels.to(self.device, non_blocking=True))

    def _read(self, rows):
        read_ahead(self.images, rows)
        images, labels = torch.from_numpy(self.images[rows]), self.labels[torch.from_numpy(rows)]
        if self.device.type == "cuda":
            images, labels = images.pin_memory(), labels.pin_memory()
        return images, labels


class FeatureBatches(_Ordered):
    """Batches of features that a frozen backbone gave once.

    Args: features: float32 (V, N, D) of V views; each epoch takes one view of each image at random.
        labels, batch_size, device, rows: as for Batches.
    """

    def __init__(self, features, labels, batch_size, device, rows=None):
        super().__init__(labels, batch_size, device, rows)
        self.features = torch.as_tensor(features).to(self.device)
        self.labels = self.labels.to(self.device)

    def epoch(self, seed=None, epoch=0, first_step=0):
        """Yield (features float32 (B, D), labels int64 (B,)); without a seed those of view 0."""
        order, views = self.order(seed, epoch), None
        if seed is not None and len(self.features) > 1:
            random = np.random.default_rng((seed, epoch, 1))
            views = random.integers(len(self.features), size=len(self.labels))
            views = torch.from_numpy(views).to(self.device)
        steps = self.steps(order, first_step)
        for k in range(0, len(steps), TOGETHER):
            sizes = [len(rows) for rows in steps[k:k + TOGETHER]]
            rows = torch.from_numpy(np.concatenate(steps[k:k + TOGETHER])).to(self.device)
            features = self.features[0][rows] if views is None else self.features[views[rows], rows]
            yield from zip(features.split(sizes), self.labels[rows].split(sizes))


def generator(device, *numbers):
    """A random generator on the device whose stream depends on the numbers alone,
    e.g. (seed, epoch, step)."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator(device=device).manual_seed(seed)
