"""The loop over epochs that pre-training and training share, and what it leaves on disk."""

import contextlib
import copy
import math
import signal
import time
from typing import Callable, NamedTuple, Optional

import torch
from tqdm import tqdm

import utils
from conf import global_settings as settings
from functions import Diverged, Progress, check_finite, check_scores, train_one_epoch
from parallel import distributed
from records import checkpoint, provenance
from records.runs import CsvLog, plain_config
from records.tensorboard_log import TensorBoardLog
from records.weights import without_head
from training.optimizers import build_optimizer, learning_rate, scaled_rate

SAVE_SECONDS = 5  # between checkpoints of shorter epochs
WARMUP_EPOCHS = 10  # at most (Chen et al. 2020), for runs so short that a tenth is less
PRINT_SECONDS = 1  # between printed lines of shorter epochs


class Job(NamedTuple):
    """What a program asks of the loop.

    network: saved whole. trained: the part of it that is trained on batches. objective, view: as in
    functions.train_one_epoch. columns: of the CSV. names: columns of the epoch's loss and of its
    accuracy or None. evaluate: epoch -> dict of further columns. chosen_by: column whose highest
    value makes best.pth, "" for none. facts: what else a checkpoint says; "data": a digest of each
    part's images. amp: as in functions.autocast.
    """

    network: torch.nn.Module
    trained: torch.nn.Module
    batches: object
    objective: Callable
    view: Optional[Callable]
    columns: tuple
    names: tuple
    evaluate: Callable
    chosen_by: str
    facts: dict
    amp: str


class Run:
    """One run: its files, and where it stands.

    Args: job: Job. args: settings. place: training.places.Place.
    Raises: ValueError where the checkpoint to resume began with other images or weights, or its CSV
        is gone.
    """

    def __init__(self, job, args, place):
        self.job, self.args, self.place = job, args, place
        self._first = distributed.rank() == 0
        self.device, self.steps = job.batches.device, len(job.batches)
        self.peak = scaled_rate(args.lr, args.batch_size, args.lr_scaling)
        self.optimizer = build_optimizer(args.optimizer, job.trained, self.peak, args.weight_decay)
        self.trained = distributed.parallel(job.trained, self.device)
        if args.compile:
            self.trained = torch.compile(self.trained)
        self.scaler = torch.amp.GradScaler(self.device.type) if job.amp == "fp16" else None
        self.epoch, self.progress, self.best, self.row = 0, None, -math.inf, {}
        if place.state:
            self._go_on(place.state)
        elif self._first:  # what an earlier run left would pass for this one's
            (place.folder / checkpoint.BEST).unlink(missing_ok=True)
        if self._first and not place.restarted:
            provenance.write_config(place.configs, args, self.device)
        self.log = self.board = distributed.Nothing()
        if self._first:
            self.log = CsvLog(place.csv, job.columns, self.row)
            self.board = TensorBoardLog(place.board, self.epoch)
        self._saved = self._printed = time.monotonic()
        self._signal = self._unsaved_best = None
        self._agree = distributed.Agreement()
        if args.lr_scaling != "none":
            print(f"learning rate {args.lr:g} for {settings.BASE_BATCH} images, {self.peak:g} for "
                  f"{args.batch_size} ({args.lr_scaling} scaling)")

    def train(self):
        """Train the epochs that are missing. Returns: the last row of the CSV.

        Raises: Diverged, after marking it in the CSV; utils.Interrupted.
        """
        with self._signals():
            for epoch in range(self.epoch + 1, self.args.epochs + 1):
                self._train_epoch(epoch)
        print(f"checkpoint: {self.place.last}")
        return self.row

    def finish(self, final=()):
        """Close TensorBoard's file, with the settings. Args: final: {name of a figure: number}."""
        self.board.finish(plain_config(self.args), utils.flags(lambda flag: flag.result),
                          dict(final))

    def rate(self, epoch):
        """Learning rate by step of an epoch."""
        args, done = self.args, (epoch - 1) * self.steps
        warmup_epochs = args.warmup_epochs
        if warmup_epochs is None:
            warmup_epochs = min(WARMUP_EPOCHS, args.epochs / 10)
        total, warmup = args.epochs * self.steps, round(warmup_epochs * self.steps)
        return lambda step: learning_rate(done + step, total, self.peak, warmup, args.scheduler,
                                          args.milestones)

    def _train_epoch(self, epoch):
        job, rate, started = self.job, self.rate(epoch), time.perf_counter()
        skipped = self.progress.step if self.progress else 0
        row = {"epoch": epoch, "learning_rate": rate(self.steps - 1)}
        with tqdm(total=self.steps, initial=skipped, desc=f"epoch {epoch}", leave=False,
                  disable=None if self._first else True) as bar:
            def after_step(progress):
                bar.update()
                self._obey(progress, epoch)

            try:
                result = train_one_epoch(
                    self.trained, job.batches, job.objective, self.optimizer, rate, view=job.view,
                    seed=self.args.seed, epoch=epoch, amp=job.amp, scaler=self.scaler,
                    progress=self.progress, after_step=after_step)
                seconds = time.perf_counter() - started
                scores = job.evaluate(epoch)
                if epoch == self.args.epochs:  # before, the statistics of batch norm may recover
                    check_scores(scores, self.steps, epoch, rate)
            except Diverged:
                self.log.write({**row, job.names[0]: math.nan})
                self._save_best()
                raise
        for name, value in zip(job.names, (result["loss"], result["accuracy"])):
            if name:
                row[name] = value
        row.update(scores)
        share = 1 - skipped / self.steps
        row["images_per_second"] = round(len(job.batches.rows) * share / seconds, 1)
        row["seconds"] = round(time.perf_counter() - started, 3)
        self._finish_epoch(epoch, row)

    def _finish_epoch(self, epoch, row):
        self.epoch, self.progress, self.row = epoch, None, row
        if self.job.chosen_by and row.get(self.job.chosen_by, -math.inf) > self.best:
            self.best = row[self.job.chosen_by]
            self._unsaved_best = copy.deepcopy(self._state()) if self._first else None
        last, now, asked = epoch == self.args.epochs, time.monotonic(), self._asked()
        if last or asked or now - self._saved > SAVE_SECONDS:
            self._save()
        self.log.write(row)
        self.board.row(row)
        if last or now - self._printed > PRINT_SECONDS:
            self._printed = now
            print(f"epoch {epoch}/{self.args.epochs}: {_line(row)}", flush=True)
        if asked and not last:
            self._stop(asked)

    def _obey(self, progress, epoch):
        """Write a checkpoint inside an epoch where one is due or a signal asks for it."""
        if progress.step == self.steps:  # the epoch's own checkpoint comes next
            return
        due = time.monotonic() - self._saved > 60 * self.args.checkpoint_minutes
        asked = self._asked()
        if asked or due:
            check_finite(self.trained, progress, epoch, self.rate(epoch))
            self.progress = progress
            self._save()
            if asked:
                self._stop(asked)

    def _asked(self):
        """The signal that reached this process or, a step ago, another one; None for none."""
        number, self._signal = self._signal, None
        return self._agree(number)

    def _stop(self, number):
        self._agree.wait()  # for the checkpoint, which the first process writes
        if number == getattr(signal, "SIGUSR1", None):
            return
        raise utils.Interrupted(
            f"stopped by {signal.Signals(number).name} after a checkpoint in epoch "
            f"{self.epoch + 1}; go on with: {provenance.command()} --resume", number)

    @contextlib.contextmanager
    def _signals(self):
        """Let the first SIGINT or SIGTERM wait for a checkpoint; a second one ends at once."""
        def note(number, _):
            self._signal = number
            if number != getattr(signal, "SIGUSR1", None):
                signal.signal(number, signal.SIG_DFL)

        names = [n for n in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, n)]
        try:
            before = {name: signal.signal(getattr(signal, name), note) for name in names}
        except ValueError:  # not in the main thread
            before = {}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)

    def _state(self):
        return {**self.job.facts, "model": self.job.network.state_dict(), "epoch": self.epoch,
                "optimizer": self.optimizer.state_dict(), "best": self.best, "row": self.row,
                "scaler": self.scaler.state_dict() if self.scaler else {},
                "progress": self.progress.plain() if self.progress else {},
                "config": plain_config(self.args)}

    def _save(self):
        """Write last.pth, and before it the best.pth that it knows of."""
        self._save_best()
        if self._first:
            checkpoint.save(self.place.last, self._state())
        self._saved = time.monotonic()

    def _save_best(self):
        if self._unsaved_best:
            checkpoint.save(self.place.folder / checkpoint.BEST, self._unsaved_best)
            self._unsaved_best = None

    def _go_on(self, state):
        self._check_images(state.get("data"))
        if self.job.trained is not self.job.network:
            self._check_frozen(state["model"])
        self.job.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.best, self.row = state["epoch"], state["best"], state["row"]
        self.progress = Progress(**state["progress"]) if state["progress"] else None
        planned = state["config"]["epochs"]
        if planned != self.args.epochs and self.args.scheduler != "constant":
            print(f"the first {self.epoch} epochs followed the {self.args.scheduler} schedule of "
                  f"{planned} epochs; the rest follows that of {self.args.epochs}")

    def _check_images(self, before):
        """Raises: ValueError where images or labels are not those that the run began with."""
        now = self.job.facts["data"]
        if before is None:
            print(f"{self.place.last}: does not say which images it was trained on; whether they "
                  "are these could not be compared", flush=True)
        elif before != now:
            parts = [part for part in now if before.get(part) != now[part]]
            raise ValueError(f"{self.place.folder}: images or labels have changed since the run "
                             f"began (of {', '.join(parts)}); put them back as they were, or begin "
                             "anew without --resume")

    def _check_frozen(self, before):
        """Raises: ValueError where the frozen part is not the one that the run began with."""
        now = without_head(self.job.network.state_dict())
        if not all(torch.equal(tensor.cpu(), before[name]) for name, tensor in now.items()):
            raise ValueError(f"{self.place.folder}: began with other weights than these; name its "
                             "checkpoint (see config.yml) with --pretrained-model-path")


def _line(row):
    """A row of the CSV for the terminal."""
    shown = [(name, value) for name, value in row.items() if name != "epoch" and value != ""]
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in shown)
