"""Our ResNets against torchvision's: the same weights from a seed, the same outputs and gradients."""

import pytest
import torch
import torchvision

from supervised.resnet import ARCHS, resnet


@pytest.mark.parametrize("arch", ARCHS)
def test_equals_torchvision_bit_for_bit(arch):
    torch.manual_seed(3)
    theirs, next_of_theirs = getattr(torchvision.models, arch)(num_classes=7), torch.rand(3)
    torch.manual_seed(3)
    ours, next_of_ours = resnet(arch, 7, "7x7"), torch.rand(3)
    assert torch.equal(next_of_ours, next_of_theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values()))
    images = torch.rand(4, 3, 128, 128)  # no map is so small that SmallMapConv2d computes it in its own way
    outputs = [network.train()(images) for network in (ours, theirs)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours.parameters(), theirs.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers()))


def test_the_stem_for_small_images_keeps_their_size():
    network = resnet("resnet18", 7, "3x3")
    assert network.conv1(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 32, 32)
    assert network.layer1(network.maxpool(torch.zeros(1, 64, 32, 32))).shape == (1, 64, 32, 32)
    assert network.features(torch.zeros(2, 3, 32, 32)).shape == (2, 512)
