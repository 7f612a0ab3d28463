"""The usual data path, for comparison: decoded images in memory, PIL and torchvision for each of them, in the
workers of a DataLoader; as torchvision's CIFAR and STL-10 datasets and the well-known PyTorch SimCLR code do it."""

import measure
import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

BATCH_SIZE = 128


def some_images(count, side):
    """Smooth random images, uint8 (count, side, side, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side), Image.BICUBIC))
                     for image in coarse])


class PerImage(Dataset):
    """(transformed PIL image, label) of uint8 (N, H, H, 3) images, again and again up to a length."""

    def __init__(self, images, transform, length=10 ** 9, labels=None):
        self.images, self.transform, self.length = images, transform, length
        self.labels = np.zeros(len(images), dtype=np.int64) if labels is None else labels

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        row = index % len(self.images)
        return self.transform(Image.fromarray(self.images[row])), int(self.labels[row])


class TwoViews:
    """Applies a random transform twice."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, image):
        return [self.transform(image) for _ in range(2)]


def simclr(size, blur):
    """SimCLR's operators on a PIL image. Args: blur: a transform, or None."""
    steps = [T.RandomResizedCrop(size), T.RandomHorizontalFlip(),
             T.RandomApply([T.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8), T.RandomGrayscale(0.2)]
    return T.Compose([*steps, *([blur] if blur else []), T.ToTensor()])


def gaussian_blur(size):
    """Blur with an odd kernel of about a tenth of the image."""
    return T.GaussianBlur(int(0.1 * size) // 2 * 2 + 1)


def crop_flip(size, mean, std):
    """The usual augmentation of CIFAR: pad by 4 px at 32, crop, flip, normalise."""
    return T.Compose([T.RandomCrop(size, padding=size // 8), T.RandomHorizontalFlip(), T.ToTensor(),
                      T.Normalize(mean, std)])


def loader_rate(dataset, views, seconds, workers):
    """Views per second of a DataLoader, once its workers run and what they made meanwhile is used up."""
    loader = iter(DataLoader(dataset, BATCH_SIZE, num_workers=workers))
    for _ in range(2 * workers + 1):
        next(loader)

    def step():
        next(loader)
        return views * BATCH_SIZE
    return measure.rate(step, seconds)
