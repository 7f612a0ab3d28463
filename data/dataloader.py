"""Images or features, and labels -> batches on the device, in an order that depends on
(seed, epoch) alone. Of every batch a process gets its own images, and the labels of all."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch

from conf import global_settings as settings
from data.store import read_ahead
from data.streams import rng, stream
from parallel.distributed import all_say, exchange, rank, share_of, world

LEFT_FREE = 0.5  # of an accelerator's memory, for the network, beside the images that live there
COPIED = 4096  # images at once on their way there
TOGETHER = 16  # batches of features that are picked at once
AHEAD = 2  # batches that are read while the network works on an earlier one


def steps_of(images, batch_size):
    """Batches of an epoch; a single last image joins the batch before: batch norm needs two."""
    full, rest = divmod(images, batch_size)
    return full + (rest > (full > 0))


class _Ordered:
    """Rows of an array cut into batches, as many as steps_of says. An order, its steps and shares are
    positions among the rows, from 0.

    Args: labels: int64 (N,). batch_size: images of a batch, in all processes together.
        rows: the rows to use, None for all. piece_size: images, in all processes together, that go
        through the network at once; None for the whole batch. alone: this process takes all of
        every batch, whatever others do.
    """

    def __init__(self, labels, batch_size, device, rows=None, piece_size=None, alone=False):
        self.rows = np.arange(len(labels)) if rows is None else np.asarray(rows)
        self.labels = torch.as_tensor(labels)[torch.from_numpy(self.rows)]  # by position
        self.batch_size, self.device, self.piece_size = batch_size, torch.device(device), piece_size
        self.processes, self.number = (1, 0) if alone else (world(), rank())

    def __len__(self):
        return steps_of(len(self.rows), self.batch_size)

    def order(self, seed=None, epoch=0):
        """The order of an epoch: shuffled by (seed, epoch), as the rows lie without a seed."""
        if seed is None:
            return np.arange(len(self.rows))
        return rng("order", seed, epoch).permutation(len(self.rows))

    def steps(self, order, first_step=0):
        """The part of an order that each step takes, from first_step on."""
        return np.split(order, np.arange(1, len(self)) * self.batch_size)[first_step:]

    def share(self, step):
        """The distributed.Share that this process has of the batch of a step."""
        last = len(self) - 1
        return self._share(len(self.rows) - last * self.batch_size if step == last
                           else self.batch_size)

    def _share(self, count, number=None):
        """The Share of a process, by default of this one, in a batch of so many images."""
        number = self.number if number is None else number
        return _share_of(count, self.piece_size or count, self.processes, number)

    def _own(self, places):
        """This process's part of the positions of a batch."""
        return places if self.processes == 1 else places[self._share(len(places)).rows]

    def _sent(self, array):
        """An array on the device, without waiting: a GPU copies by itself what is pinned."""
        values = torch.from_numpy(array)
        if self.device.type == "cuda":
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)


class Batches(_Ordered):
    """Batches of images. Where all accelerators have the room for a part each, they live there,
    each process having every so many-th, and each batch is exchanged; else a thread reads ahead
    from the (memory-mapped) array.

    Args:
        images: uint8 (N, H, H, 3) array or memory map. more: as for _Ordered.
    """

    def __init__(self, images, *more, **options):
        super().__init__(*more, **options)
        self.images, self._resident = images, None
        if self.device.type == "cuda":
            kept = self.rows[self.number::self.processes]
            free, total = torch.cuda.mem_get_info(self.device)
            fits = len(kept) * np.prod(images.shape[1:]) <= free - LEFT_FREE * total
            if fits if self.processes == 1 else all_say(fits, self.device):
                self._resident = self._to_device(kept)
                self.labels = self.labels.to(self.device)

    def _to_device(self, rows):
        """Copy the images of some rows part by part, so that the host never holds them all."""
        resident = torch.empty(len(rows), *self.images.shape[1:], dtype=torch.uint8,
                               device=self.device)
        for start in range(0, len(rows), COPIED):
            part = torch.from_numpy(self.images[rows[start:start + COPIED]])
            resident[start:start + COPIED].copy_(part)
        return resident

    def epoch(self, seed=None, epoch=0, first_step=0):
        """Yield (this process's images uint8 (b, H, H, 3), all labels int64 (B,)) on the device."""
        steps = self.steps(self.order(seed, epoch), first_step)
        if self._resident is not None:
            given, order, trades = zip(*map(self._trade, steps)) if steps else ((), (), ())
            for mine, own, trade, places in zip(self._on_device(given), self._on_device(order),
                                                trades, self._on_device(steps)):
                images = self._resident[mine]
                if self.processes > 1:
                    images = exchange(images, *trade)[own]
                yield images, self.labels[places]
            return
        with ThreadPoolExecutor(1) as reader:
            pending = [reader.submit(self._read, places) for places in steps[:AHEAD]]
            for step in range(len(steps)):
                images, labels = pending.pop(0).result()
                if step + AHEAD < len(steps):
                    pending.append(reader.submit(self._read, steps[step + AHEAD]))
                yield (images.to(self.device, non_blocking=True),
                       labels.to(self.device, non_blocking=True))

    def _trade(self, places):
        """What this process does for a batch: (rows of its part to give away, process by process;
        where the images of its share lie among those it gets, process by process; (how many it
        gives to each, how many it gets from each))."""
        shares = [places[self._share(len(places), number).rows] for number in range(self.processes)]
        given = [part[part % self.processes == self.number] // self.processes for part in shares]
        owners = shares[self.number] % self.processes
        got = np.bincount(owners, minlength=self.processes).tolist()
        order = np.argsort(np.argsort(owners, kind="stable"))
        return np.concatenate(given), order, ([len(part) for part in given], got)

    def _on_device(self, steps):
        """Positions by step, copied to the device at once: copying each would wait for it."""
        together = self._sent(np.concatenate([np.arange(0), *steps]))
        return together.split([len(places) for places in steps])

    def _read(self, places):
        labels, own = self.labels[torch.from_numpy(places)], self.rows[self._own(places)]
        read_ahead(self.images, own)
        images = torch.from_numpy(self.images[own])
        if self.device.type == "cuda":
            images, labels = images.pin_memory(), labels.pin_memory()
        return images, labels


class FeatureBatches(_Ordered):
    """Batches of features that a frozen backbone gave once.

    Args: features: float32 (V, N, D) of V views; each epoch takes one view of each image at random.
        more: as for _Ordered.
    """

    def __init__(self, features, *more, **options):
        super().__init__(*more, **options)
        self.features = torch.as_tensor(features).to(self.device)
        self.labels = self.labels.to(self.device)

    def epoch(self, seed=None, epoch=0, first_step=0):
        """Yield (this process's features float32 (b, D), all labels int64 (B,)); without a seed
        those of view 0."""
        order, views = self.order(seed, epoch), None
        if seed is not None and len(self.features) > 1:
            random = rng("views", seed, epoch)
            views = random.integers(len(self.features), size=self.features.shape[1])
            views = self._sent(views)
        steps = self.steps(order, first_step)
        for k in range(0, len(steps), TOGETHER):
            some = steps[k:k + TOGETHER]
            own = [self._own(places) for places in some]
            rows = self._sent(self.rows[np.concatenate(own)])
            labelled = self._sent(np.concatenate(some))
            features = self.features[0][rows] if views is None else self.features[views[rows], rows]
            yield from zip(features.split([len(part) for part in own]),
                           self.labels[labelled].split([len(part) for part in some]))


def evaluation_batch(device, size, alone=False):
    """How many images a batch has that is only evaluated.

    Args: size: px a side that the network sees; 1 for features. alone: as for Batches.
    """
    if torch.device(device).type == "cpu":
        return settings.EVAL_BATCH_SIZE
    processes = 1 if alone else world()
    return max(settings.EVAL_BATCH_SIZE, processes * settings.EVAL_PIXELS // size ** 2)


def generator(*numbers):
    """A random generator of augmentation that depends on the numbers alone, e.g. (seed, epoch,
    step).

    It lives on the CPU, so that a GPU sees the same augmentation.
    """
    seed = int(stream("augmentation", *numbers).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(seed)


_share_of = lru_cache(maxsize=64)(share_of)
