"""What a run shows in TensorBoard."""

import warnings

import numpy as np
import torch
import torchvision
import yaml

SHEET = 64  # images at most


class TensorBoardLog:
    """Curves, settings, images and features of one run below runs/."""

    def __init__(self, folder, first_step=0):
        from torch.utils.tensorboard import SummaryWriter
        # hides what an earlier run, or the part after the checkpoint, left in the folder
        purge = first_step + 1 if first_step else 0
        self.writer = SummaryWriter(str(folder), purge_step=purge)

    def row(self, row):
        """A CSV row as curves."""
        for name, value in row.items():
            if name != "epoch" and value != "":
                self.writer.add_scalar(name, value, row["epoch"])
        self.writer.flush()

    def images(self, tag, images, mean, std, epoch=0):
        """A sheet of up to SHEET normalised (N, 3, H, W) images."""
        sheet = torchvision.utils.make_grid(_pictures(images[:SHEET], mean, std), nrow=8)
        self.writer.add_image(tag, sheet, epoch)

    def named_images(self, tag, images, mean, std, names, epoch):
        """A sheet of up to SHEET normalised (N, 3, H, W) images with a text above each."""
        from matplotlib.figure import Figure
        pictures = _pictures(images[:SHEET], mean, std).permute(0, 2, 3, 1).numpy()
        rows = -(-len(pictures) // 8)
        figure = Figure(figsize=(12, 1.95 * rows), layout="constrained")
        for axes in figure.subplots(rows, 8, squeeze=False).flat:
            axes.axis("off")
        for axes, picture, name in zip(figure.axes, pictures, names):
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(name, fontsize=9, pad=2)
        self.writer.add_figure(tag, figure, epoch)

    def confusion(self, matrix, epoch):
        """A confusion matrix (int (C, C), rows are true classes) as an image, each row to sum 1."""
        shares = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
        scale = max(1, 512 // len(matrix))
        enlarged = np.kron(shares, np.ones((scale, scale)))
        self.writer.add_image("confusion_matrix", enlarged[None], epoch)

    def features(self, features, names, images, mean, std, epoch):
        """Features (N, D) for the projector, with a name and a thumbnail each."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a sheet of thumbnails may be too large
            self.writer.add_embedding(features.float().cpu(), names, _pictures(images, mean, std),
                                      epoch, "test_features")

    def finish(self, config, final):
        """Settings and final figures: as text, and for the hparams tab."""
        text = yaml.safe_dump(config, sort_keys=False)
        self.writer.add_text("settings", "".join(f"    {line}\n" for line in text.splitlines()))
        settings = {k: v if isinstance(v, (bool, int, float, str)) else str(v)
                    for k, v in config.items()}
        figures = {f"final/{k}": v for k, v in final.items() if v != ""}
        self.writer.add_hparams(settings, figures, run_name=".")
        self.writer.close()


def _pictures(images, mean, std):
    """Normalised (N, 3, H, W) images back in [0, 1], on the CPU."""
    mean, std = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (mean, std))
    return (images.float().cpu() * std + mean).clamp_(0, 1)
