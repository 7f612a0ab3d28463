"""Images and labels -> batches on the device, in an order that depends on (seed, epoch) alone."""

import numpy as np
import torch

RESIDENT_SHARE = 0.5  # of an accelerator's free memory that the images may take


class Batches:
    """Batches of one split.

    Args:
        images: uint8 (N, H, H, 3) array or memory map. labels: int64 (N,).
        rows: the rows to use, None for all. batch_size: images. drop_last: skip a last partial batch.
    """

    def __init__(self, images, labels, batch_size, device, rows=None, drop_last=False):
        self.images, self.labels = images, torch.as_tensor(labels)
        self.rows = np.arange(len(labels)) if rows is None else np.asarray(rows)
        self.batch_size, self.device, self.drop_last = batch_size, torch.device(device), drop_last
        self._resident = self._to_device()

    def __len__(self):
        whole, rest = divmod(len(self.rows), self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def _to_device(self):
        if self.device.type != "cuda":
            return None
        size = int(np.prod(self.images.shape))
        if size > RESIDENT_SHARE * torch.cuda.mem_get_info(self.device)[0]:
            return None
        self.labels = self.labels.to(self.device)
        return torch.from_numpy(np.ascontiguousarray(self.images[np.arange(len(self.images))])).to(self.device)

    def order(self, seed=None, epoch=0):
        """Row numbers in the order of an epoch: shuffled by (seed, epoch), as they lie without a seed."""
        if seed is None:
            return self.rows
        return self.rows[np.random.default_rng((seed, epoch)).permutation(len(self.rows))]

    def epoch(self, seed=None, epoch=0):
        """Yield (images uint8 (B, H, H, 3), labels int64 (B,)) on the device."""
        order = self.order(seed, epoch)
        for step in range(len(self)):
            rows = order[step * self.batch_size:(step + 1) * self.batch_size]
            if self._resident is not None:
                on_device = torch.from_numpy(rows).to(self.device, non_blocking=True)
                yield self._resident[on_device], self.labels[on_device]
                continue
            images = torch.from_numpy(self.images[rows])
            labels = self.labels[torch.from_numpy(rows)]
            if self.device.type == "cuda":
                images = images.pin_memory()
            yield images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


def generator(device, *numbers):
    """A random generator on the device whose stream depends on the numbers alone, e.g. (seed, epoch)."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator(device=device).manual_seed(seed)
