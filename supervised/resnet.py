"""torchvision's ResNets with a choice of stem; the classifier is always `fc`."""

import torch
import torchvision
from torch import nn

STEMS = ("7x7", "3x3")


def resnet(arch, classes, stem):
    """Build an untrained ResNet (He et al. 2016).

    Args:
        arch: "resnet18", "resnet34" or "resnet50". classes: outputs of `fc`.
        stem: "7x7" as for ImageNet (stride 2 and max-pool), or "3x3" without max-pool for 32 px images
            (He et al. 2016, section 4.2).
    """
    model = getattr(torchvision.models, arch)(num_classes=classes)
    if stem == "3x3":
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    return model


def features(model, images):
    """What enters `fc`: (B, 512) for ResNet-18 and 34, (B, 2048) for ResNet-50."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    x = model.layer4(model.layer3(model.layer2(model.layer1(x))))
    return torch.flatten(model.avgpool(x), 1)
