"""What a run shows in TensorBoard."""

import numpy as np


class TensorBoardLog:
    """Curves, settings and images of one run below runs/."""

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
        """A sheet of up to 64 normalised (N, 3, H, W) images."""
        import torch
        import torchvision
        mean, std = (np.reshape(v, (3, 1, 1)).astype("float32") for v in (mean, std))
        pictures = (images[:64].float().cpu().numpy() * std + mean).clip(0, 1)
        sheet = torchvision.utils.make_grid(torch.from_numpy(pictures), nrow=8)
        self.writer.add_image(tag, sheet, epoch)

    def confusion(self, labels, predicted, classes, epoch):
        """The confusion matrix as an image: rows are true classes, columns predicted ones."""
        matrix = np.zeros((classes, classes), dtype="float32")
        np.add.at(matrix, (labels.cpu().numpy(), predicted.cpu().numpy()), 1)
        matrix /= np.maximum(1, matrix.sum(1, keepdims=True))
        scale = max(1, 512 // classes)
        enlarged = np.kron(matrix, np.ones((scale, scale)))
        self.writer.add_image("confusion_matrix", enlarged[None], epoch)

    def finish(self, config, final):
        """Settings and final figures for the hparams tab."""
        settings = {k: v if isinstance(v, (bool, int, float, str)) else str(v)
                    for k, v in config.items()}
        figures = {f"final/{k}": v for k, v in final.items() if v != ""}
        self.writer.add_hparams(settings, figures, run_name=".")
        self.writer.close()
