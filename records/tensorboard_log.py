"""What a run shows in TensorBoard."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import torch
import yaml
from torch.nn import functional as F

from records.names import printable, short

SHEET = 64  # images at most
SHEET_PIXELS = 64  # a side of an image on a sheet, at least about so many
NAME_SIGNS = 24  # of a class in a figure
NAMED_CLASSES = 200  # of a confusion matrix: more names than that are too small to read
ACROSS, GAP = 8, 2  # of a sheet; px between its images


class TensorBoardLog:
    """Curves, settings, images and features of one run below runs/."""

    def __init__(self, folder, first_step=0):
        from torch.utils.tensorboard import SummaryWriter

        # hides what an earlier run, or the part after the checkpoint, left in the folder
        purge = first_step + 1 if first_step else 0
        self.writer = SummaryWriter(str(folder), purge_step=purge)
        self.epoch = first_step

    def row(self, row):
        """A CSV row as curves."""
        for name, value in row.items():
            if name != "epoch" and value != "":
                self.writer.add_scalar(name, value, row["epoch"])
        self.epoch = row["epoch"]
        self.writer.flush()

    def images(self, tag, images, mean, std, epoch=0):
        """A sheet of up to SHEET normalised (N, 3, H, W) images."""
        pictures = _pictures(images[:SHEET], mean, std)
        scale = max(1, SHEET_PIXELS // pictures.shape[-1])
        pictures = pictures.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        self.writer.add_image(tag, _sheet(pictures), epoch)

    def named_images(self, tag, images, mean, std, names, epoch):
        """A sheet of up to SHEET normalised (N, 3, H, W) images.

        Args: names: (predicted class, true class) of each, for the text above it.
        """
        from matplotlib.figure import Figure
        pictures = _pictures(images[:SHEET], mean, std).permute(0, 2, 3, 1).numpy()
        rows = -(-len(pictures) // ACROSS)
        figure = Figure(figsize=(12, 12 / ACROSS * 1.3 * rows))
        axes = figure.add_axes((0, 0, 1, 1))  # one for all: 64 of them take seconds
        for k, (picture, (taken, true)) in enumerate(zip(pictures, names)):
            left, top = k % ACROSS, k // ACROSS * 1.3
            axes.imshow(picture, interpolation="nearest", aspect="auto",
                        extent=(left + 0.04, left + 0.96, top + 1.26, top + 0.34))
            text = f"{short(taken, NAME_SIGNS)},\nis {short(true, NAME_SIGNS)}"
            axes.text(left + 0.5, top + 0.31, text, fontsize=9, ha="center", va="bottom",
                      parse_math=False)
        axes.set(xlim=(0, ACROSS), ylim=(1.3 * rows, 0))
        axes.axis("off")
        self._figure(tag, figure, epoch)

    def confusion(self, matrix, names, epoch):
        """A confusion matrix (int (C, C), rows are true classes) as a figure, each row to sum 1."""
        from matplotlib.colors import PowerNorm
        from matplotlib.figure import Figure
        classes = len(matrix)
        side = np.clip(classes / 7, 5, 16)
        figure = Figure(figsize=(side, 0.85 * side), layout="constrained")
        axes = figure.subplots()
        shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
        picture = axes.imshow(shares, cmap="Greys", norm=PowerNorm(0.5, 0, 1),  # rare ones, too
                              interpolation="nearest")
        if classes <= NAMED_CLASSES:
            size = np.clip(700 / classes, 4, 9)
            look = {"labels": [short(name, NAME_SIGNS) for name in names], "fontsize": size,
                    "parse_math": False}
            axes.set_xticks(range(classes), rotation="vertical", **look)
            axes.set_yticks(range(classes), **look)
        axes.set(xlabel="predicted class", ylabel="true class")
        figure.colorbar(picture, label="share of the true class's images", shrink=0.5)
        self._figure("confusion_matrix", figure, epoch)

    def _figure(self, tag, figure, epoch):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a class's name has signs that no font has
            self.writer.add_figure(tag, figure, epoch)

    def features(self, features, names, images, mean, std, epoch):
        """Features (N, D) for the projector, with a name and a thumbnail each, in place of earlier ones."""
        folder = Path(self.writer.get_logdir())
        (folder / "projector_config.pbtxt").unlink(missing_ok=True)
        for earlier in folder.glob("*/test_features"):  # the writer would print that they are there
            shutil.rmtree(earlier)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a sheet of thumbnails may be too large
            self.writer.add_embedding(features.float().cpu(), list(map(printable, names)),
                                      _pictures(images, mean, std), epoch, "test_features")

    def finish(self, config, compared, final):
        """Settings, as text and for the hparams tab, which shows final figures before curves.

        Args: compared: names of the settings for that tab. final: name -> number, "" for none.
        """
        from torch.utils.tensorboard.summary import hparams
        text = yaml.safe_dump(config, sort_keys=False)
        self.writer.add_text("settings", "".join(f"    {line}\n" for line in text.splitlines()))
        figures = {f"final/{k}": v for k, v in final.items() if v != ""}
        for name, value in figures.items():
            self.writer.add_scalar(name, value, self.epoch)
        # Not its first summary, a list of columns: TensorBoard would take that of any one run for
        # all, while without one it looks through all runs and shows first what differs.
        for summary in hparams(_settings(config, compared), figures)[1:]:
            self.writer.file_writer.add_summary(summary)
        self.writer.close()


def _settings(config, compared):
    """What the hparams tab shows of a configuration."""
    settings = {k: v if isinstance(v, (bool, int, float)) else printable(v)
                for k, v in config.items() if k in compared}
    path = config.get("pretrained_model_path")
    if path:
        settings["pretrained_model_path"] = printable("/".join(Path(path).parts[-3:]))
    return settings


def _sheet(pictures):
    """(N, 3, H, W) images side by side, black between them: (3, height, width)."""
    columns = min(ACROSS, len(pictures))
    empty = pictures.new_zeros(-len(pictures) % columns, *pictures.shape[1:])
    cells = F.pad(torch.cat([pictures, empty]), (GAP, 0, GAP, 0))
    rows = cells.unflatten(0, (-1, columns)).permute(2, 0, 3, 1, 4)
    return F.pad(rows.flatten(3, 4).flatten(1, 2), (0, GAP, 0, GAP))


def _pictures(images, mean, std):
    """Normalised (N, 3, H, W) images back in [0, 1], on the CPU."""
    mean, std = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (mean, std))
    return (images.float().cpu() * std + mean).clamp_(0, 1)
