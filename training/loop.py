"""The loop over epochs that pre-training and training share, and what it leaves on disk."""

import copy
import math
import time
from typing import Callable, NamedTuple, Optional

import torch
from tqdm import tqdm

import utils
from conf import global_settings as settings
from functions import Diverged, Progress, check_finite, check_scores, means, train_one_epoch
from parallel import distributed
from records import checkpoint, provenance, results
from records.predictions import predictions_path, write_predictions
from records.runs import CsvLog, plain_config
from records.tensorboard_log import TensorBoardLog
from training.command_line import peak_rate, warmup_epochs
from training.optimizers import build_optimizer, learning_rate
from training.signals import NOTED, Signals, stop_for

SAVE_SECONDS = 5  # between checkpoints of shorter epochs
PRINT_SECONDS = 1  # between printed lines of shorter epochs


class Job(NamedTuple):
    """What a program asks of the loop.

    network: saved whole. trained: the part of it that is trained on batches. objective, view: as in
    functions.train_one_epoch. columns: of the CSV. names: columns of the epoch's loss and of its
    accuracy or None. evaluate: epoch -> (dict of further columns, predicted class of every test
    image or None). chosen_by: column whose highest value makes best.pth and predictions.npy, "" for
    none. facts: what else a checkpoint says. duplicates: as of provenance.write_config. amp: as in
    functions.autocast. sizes: px a side of the views, one after the other. settle: brings into
    `network` what `trained`, where that is no part of it, has learnt. solve: epoch -> dict of loss,
    accuracy and further columns, in place of steps with batches.
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
    duplicates: dict
    amp: str
    sizes: list
    settle: Callable = lambda: None
    solve: Optional[Callable] = None


class Run:
    """One run: its files, and where it stands.

    Args: job: Job. args: settings. place: training.places.Place. say: where lines of text go.
    Raises: ValueError where the CSV of a run to resume is gone.
    """

    def __init__(self, job, args, place, say=print):
        self.job, self.args, self.place, self.say = job, args, place, say
        self._first = distributed.rank() == 0
        self.device, self.steps = job.batches.device, len(job.batches)
        self.peak = peak_rate(args)
        self.optimizer = None
        if not job.solve:
            self.optimizer = build_optimizer(args.optimizer, job.trained, self.peak,
                                             args.weight_decay)
        self.trained = distributed.parallel(job.trained, self.device)
        if args.compile:
            self.trained = torch.compile(self.trained)
        self.scaler = torch.amp.GradScaler(self.device.type) if job.amp == "fp16" else None
        self.epoch, self.progress, self.best, self.row = 0, None, -math.inf, {}
        if place.state:
            self._go_on(place.state)
        elif self._first:  # what an earlier run left would pass for this one's
            predictions_path(place.csv).unlink(missing_ok=True)
            for name in (checkpoint.LAST, checkpoint.BEST):
                (place.folder / name).unlink(missing_ok=True)
        if self._first and not place.restarted:
            known = results.read_config(place.configs[0]) if place.state else None
            provenance.write_config(place.configs, place.name, place.identity, job.duplicates, args,
                                    self.device, utils.choose_amp(args.amp, self.device), known)
        self.log = self.board = distributed.Nothing()
        if self._first:
            self.log = CsvLog(place.csv, job.columns, self.row)
            self.board = TensorBoardLog(place.board, self.epoch)
        self._saved = self._printed = time.monotonic()
        self.save_seconds = SAVE_SECONDS
        self._unsaved_best = self._unsaved_predictions = None
        self._signals, self._agree = Signals(), distributed.Agreement(NOTED)
        if args.lr_scaling != "none" and self.optimizer:
            say(f"learning rate {args.lr:g} for {settings.BASE_BATCH} images, {self.peak:g} for "
                  f"{args.batch_size} ({args.lr_scaling} scaling)")

    def train(self):
        """Train the epochs that are missing. Returns: the last row of the CSV.

        Raises: Diverged, after marking it in the CSV; utils.Interrupted.
        """
        with self._signals:
            for epoch in range(self.epoch + 1, self.args.epochs + 1):
                self._train_epoch(epoch)
        self.say(f"checkpoint: {self.place.last}")
        return self.row

    def finish(self, final=()):
        """Close TensorBoard's file, with the settings. Args: final: {name of a figure: number}."""
        settings_shown = {**plain_config(self.args), **self.place.identity.plain()["settings"]}
        self.board.finish(settings_shown, list(self.place.identity.settings), dict(final))

    def note(self, **facts):
        """Add facts to the YAML files of the run."""
        if self._first:
            known = results.read_config(self.place.configs[0])
            provenance.write_facts(self.place.configs, {**known, **facts})

    def rate(self, epoch):
        """Learning rate by step of an epoch."""
        args, done = self.args, (epoch - 1) * self.steps
        total, warmup = args.epochs * self.steps, round(warmup_epochs(args) * self.steps)
        return lambda step: learning_rate(done + step, total, self.peak, warmup, args.scheduler,
                                          args.milestones)

    def size(self, epoch):
        """Px a side of the views by step of an epoch: of each size for an equal part of the run."""
        sizes, done, total = self.job.sizes, (epoch - 1) * self.steps, self.args.epochs * self.steps
        return lambda step: sizes[(done + step) * len(sizes) // total]

    def _train_epoch(self, epoch):
        job, done = self.job, self.progress.step if self.progress else 0
        with tqdm(total=self.steps, initial=done, desc=f"epoch {epoch}", leave=False,
                  disable=None if self._first else True) as bar:
            def after_step(progress):
                bar.update()
                self._obey(progress, epoch)

            def steps():
                if job.solve:
                    return job.solve(epoch)
                return train_one_epoch(
                    self.trained, job.batches, job.objective, self.optimizer, self.rate(epoch),
                    view=job.view, seed=self.args.seed, epoch=epoch, size=self.size(epoch),
                    amp=job.amp, scaler=self.scaler, progress=self.progress, after_step=after_step)
            row, predicted = self._scored(epoch, steps)
        self._finish_epoch(epoch, row, predicted)

    def end_epoch(self, epoch, progress):
        """What `train` does after the steps of an epoch, which somebody else has done.

        Raises: Diverged, after marking it in the CSV.
        """
        self.progress = progress
        self._finish_epoch(epoch, *self._scored(
            epoch, lambda: means(self.trained, progress, epoch, self.rate(epoch))))

    def _scored(self, epoch, steps):
        """The row of an epoch and the predicted classes, once its steps are done. Args: steps: () ->
        what train_one_epoch returns. Raises: Diverged, after marking it in the CSV."""
        job, row = self.job, self._row(epoch)
        self._started = time.perf_counter() - (self.progress or Progress()).seconds
        try:
            result = steps()
            seconds = time.perf_counter() - self._started
            scores, predicted = job.evaluate(epoch)
            if epoch == self.args.epochs:  # before, the statistics of batch norm may recover
                check_scores(scores, self.steps, epoch, self.rate(epoch))
        except Diverged:
            self.mark_diverged(epoch)
            raise
        for name, value in zip(job.names, (result.pop("loss"), result.pop("accuracy"))):
            if name:
                row[name] = value
        row.update({**result, **scores})
        if not job.solve:
            row["images_per_second"] = round(len(job.batches.rows) / seconds, 1)
        row["seconds"] = round(time.perf_counter() - self._started, 3)
        return row, predicted

    def _row(self, epoch):
        """What is known of an epoch's row before its steps: the last one's size and rate."""
        row = {"epoch": epoch}
        if len(self.job.sizes) > 1:
            row["image_size"] = self.size(epoch)(self.steps - 1)
        if not self.job.solve:
            row["learning_rate"] = self.rate(epoch)(self.steps - 1)
        return row

    def mark_diverged(self, epoch):
        """Say in the CSV that an epoch diverged, and keep the best one before."""
        self.log.write({**self._row(epoch), self.job.names[0]: math.nan})
        self._save_best()

    def _finish_epoch(self, epoch, row, predicted):
        self.epoch, self.progress, self.row = epoch, None, row
        score = row.get(self.job.chosen_by)
        able = not results.diverged(row)  # an evaluation may not be finite while training is
        if able and self._first and predicted is not None and (score is None or score >= self.best):
            self._unsaved_predictions = predicted
        if able and score is not None and score >= self.best:  # of equals the later: its rate is lower
            self.best = score
            self._unsaved_best = self._copy() if self._first else None
        last, now, asked = epoch == self.args.epochs, time.monotonic(), self._asked()
        if last or asked or now - self._saved > self.save_seconds:
            self.save()
        self.log.write(row)
        self.board.row(row)
        if last or now - self._printed > PRINT_SECONDS:
            self._printed = now
            self.say(f"epoch {epoch}/{self.args.epochs}: {_line(row)}", flush=True)
        if asked and not last:
            self._stop(asked)

    def _obey(self, progress, epoch):
        """Write a checkpoint inside an epoch where one is due or a signal asks for it."""
        if progress.step == self.steps:  # the epoch's own checkpoint comes next
            return
        due = time.monotonic() - self._saved > 60 * self.args.checkpoint_minutes
        asked = self._asked()
        if asked or due:
            progress.seconds = time.perf_counter() - self._started
            self.save_within(epoch, progress)
            if asked:
                self._stop(asked)

    def save_within(self, epoch, progress):
        """Write a checkpoint inside an epoch. Raises: Diverged, and leaves the one before."""
        check_finite(self.trained, progress, epoch, self.rate(epoch))
        self.progress = progress
        self.save()

    def _asked(self):
        """The signal that reached this process or, a step ago, another one; None for none."""
        return self._agree(self._signals.take())

    def _stop(self, number):
        self._agree.wait()  # for the checkpoint, which the first process writes
        stop_for(number, self.epoch + 1)

    def _copy(self):
        """The state as it is now, whatever is trained after it; a frozen backbone is not copied."""
        state, network = self._state(), self.job.network
        trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
        fixed = {id(value): value for name, value in state["model"].items()
                 if self.job.trained is not network and name not in trained}
        return copy.deepcopy(state, fixed)

    def _state(self):
        self.job.settle()
        apart = self.job.trained if self.job.trained is not self.job.network else None
        return {**self.job.facts, "identity": self.place.identity.plain(),
                "model": self.job.network.state_dict(), "epoch": self.epoch,
                # Of parts of a wide layer's tensors the whole of these would be written.
                "classifier": {name: value.clone() for name, value in apart.state_dict().items()}
                if apart else {},
                "optimizer": self.optimizer.state_dict() if self.optimizer else {},
                "best": self.best, "row": self.row,
                "scaler": self.scaler.state_dict() if self.scaler else {},
                "progress": self.progress.plain() if self.progress else {},
                "config": plain_config(self.args)}

    def save(self):
        """Write last.pth, and before it the best.pth that it knows of."""
        self._save_best()
        if self._first:
            checkpoint.save(self.place.last, self._state())
        self._saved = time.monotonic()

    def _save_best(self):
        if self._unsaved_predictions is not None:
            classes = len(self.job.facts["classes"])
            write_predictions(self.place.csv, self._unsaved_predictions, classes)
            self._unsaved_predictions = None
        if self._unsaved_best:
            checkpoint.save(self.place.folder / checkpoint.BEST, self._unsaved_best)
            self._unsaved_best = None

    def _go_on(self, state):
        self.job.network.load_state_dict(state["model"])
        if state.get("classifier"):  # an older checkpoint has none
            self.job.trained.load_state_dict(state["classifier"])
        if self.optimizer:
            self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.best, self.row = state["epoch"], state["best"], state["row"]
        self.progress = Progress(**state["progress"]) if state["progress"] else None


def _line(row):
    """A row of the CSV for the terminal."""
    shown = [(name, value) for name, value in row.items() if name != "epoch" and value != ""]
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in shown)
