"""ResNets with a choice of stem; keys are torchvision's, and the classifier is always `fc`."""

import torch
import torchvision.models.resnet as torchvision_resnet
from torch import nn
from torch.nn import functional as F

STEMS = ("7x7", "3x3")
ARCHS = {
    "resnet18": (torchvision_resnet.BasicBlock, [2, 2, 2, 2]),
    "resnet34": (torchvision_resnet.BasicBlock, [3, 4, 6, 3]),
    "resnet50": (torchvision_resnet.Bottleneck, [3, 4, 6, 3]),
}
SMALL_MAP = 3  # px a side up to which SmallMapConv2d multiplies matrices


def resnet(arch, classes, stem):
    """Build an untrained ResNet (He et al. 2016).

    Args:
        arch: a key of ARCHS. classes: outputs of `fc`.
        stem: "7x7" as for ImageNet (stride 2 and max-pool), or "3x3" without max-pool for 32 px
            images (He et al. 2016, section 4.2).
    """
    model = ResNet(*ARCHS[arch], num_classes=classes)
    if stem == "3x3":
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.__class__ = SmallMapConv2d
    return model


class ResNet(torchvision_resnet.ResNet):
    """torchvision's ResNet with its features at hand; `fc` works in float32 also under autocast."""

    def features(self, images):
        """What enters `fc`: float32 (B, 512) for ResNet-18 and 34, (B, 2048) for ResNet-50."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = torch.flatten(self.avgpool(x), 1)
        return x if x.dtype == torch.float64 else x.float()

    def forward(self, images):
        """images: (B, 3, H, W) -> float32 (B, classes)."""
        features = self.features(images)
        with torch.autocast(images.device.type, enabled=False):
            return self.fc(features)


class SmallMapConv2d(nn.Conv2d):
    """A 3x3 convolution that on a CPU computes tiny maps as one matrix product per pixel: there the
    overhead of a convolution is several times its work (ResNet-18 at 32 px ends in maps of 1x1)."""

    def forward(self, x):
        """x: (B, C, H, W) -> (B, C', H', W'), as nn.Conv2d but for rounding."""
        height, width = x.shape[2:]
        if max(height, width) > SMALL_MAP or x.device.type != "cpu":
            return super().forward(x)
        x, kernel = x.permute(0, 2, 3, 1), self.weight.permute(0, 2, 3, 1)
        rows = [torch.stack([_pixel(x, kernel, i, j) for j in range(0, width, self.stride[1])], 1)
                for i in range(0, height, self.stride[0])]
        return torch.stack(rows, 1).permute(0, 3, 1, 2)


def _pixel(x, kernel, i, j):
    """The convolution at one pixel: the part of the kernel inside the map, times the map."""
    inside = x[:, max(0, i - 1):i + 2, max(0, j - 1):j + 2]
    top, left = max(0, 1 - i), max(0, 1 - j)
    part = kernel[:, top:top + inside.shape[1], left:left + inside.shape[2]]
    return F.linear(inside.flatten(1), part.flatten(1))
