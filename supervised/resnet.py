"""ResNets with a choice of stem; keys are torchvision's, and the classifier is always `fc`.

torchvision's own would do, but importing it takes longer than the rest of a start.
"""

import torch
from torch import nn
from torch.nn import functional as F

from supervised.convolution import SmallMapConv2d

WIDTH = 64  # channels of the first layer


def resnet(arch, classes, stem):
    """Build an untrained ResNet (He et al. 2016).

    Args:
        arch: a key of ARCHS. classes: outputs of `fc`.
        stem: "7x7" as for ImageNet (stride 2 and max-pool), or "3x3" without max-pool for 32 px
            images (He et al. 2016, section 4.2).
    """
    model = ResNet(*ARCHS[arch], classes)
    if stem == "3x3":
        model.conv1 = nn.Conv2d(3, WIDTH, kernel_size=3, padding=1, bias=False)
        _initialise(model.conv1)
        model.maxpool = nn.Identity()
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.__class__ = SmallMapConv2d
    return model


class ResNet(nn.Module):
    """The network of He et al. 2016, table 1: weights equal torchvision's for the same seed.

    Args: block: BasicBlock or Bottleneck. depths: blocks in each of the four layers. classes:
        outputs of `fc`, which works in float32 also under autocast.
    """

    def __init__(self, block, depths, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels = WIDTH
        for number, depth in enumerate(depths, start=1):
            width, blocks = WIDTH * 2 ** (number - 1), []
            for k in range(depth):
                blocks.append(block(channels, width, stride=1 + (number > 1 and k == 0)))
                channels = width * block.expansion
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _initialise(module)

    def features(self, images):
        """What enters `fc`: float32 (B, 512) for ResNet-18 and 34, (B, 2048) for ResNet-50."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return x if x.dtype == torch.float64 else x.float()

    def forward(self, images):
        """images: (B, 3, H, W) -> float32 (B, classes)."""
        features = self.features(images)
        with torch.autocast(images.device.type, enabled=False):
            return self.fc(features)


def _initialise(convolution):
    """He et al. 2015, Eq. 14; of a network without memory nothing, for which PyTorch would import its
    compiler."""
    if convolution.weight.is_meta:
        return
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def _shortcut(channels, width, stride):
    """1x1 convolution and batch norm where the shape changes, else None."""
    if stride == 1 and channels == width:
        return None
    return nn.Sequential(nn.Conv2d(channels, width, kernel_size=1, stride=stride, bias=False),
                         nn.BatchNorm2d(width))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (He et al. 2016, figure 5, left)."""

    expansion = 1

    def __init__(self, channels, width, stride):
        super().__init__()
        shortcut = _shortcut(channels, width, stride)
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut

    def forward(self, x):
        """x: (B, C, H, W) -> (B, width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions (He et al. 2016, figure 5, right), the stride in the second,
    as torchvision has it."""

    expansion = 4

    def __init__(self, channels, width, stride):
        super().__init__()
        shortcut = _shortcut(channels, width * self.expansion, stride)
        self.conv1 = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = shortcut

    def forward(self, x):
        """x: (B, C, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out, inplace=True)


ARCHS = {  # block, blocks in each layer (He et al. 2016, table 1)
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}
