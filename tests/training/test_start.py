"""How soon a program is at work."""

import subprocess
import sys

import pytest

from tests.common import ROOT

CODE = """
import sys, torch
from training.optimizers import build_optimizer
module = torch.nn.Linear(3, 2)
optimizer = build_optimizer(sys.argv[1], module, 0.1, 0.01)
module(torch.rand(4, 3)).sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
print(sorted({"torch._dynamo", "torchvision"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", ["sgd", "adam", "lars"])
def test_an_optimizer_steps_without_pytorch_s_compiler(name):
    done = subprocess.run([sys.executable, "-c", CODE, name], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


FOUND = """
import sys, torch
from records.weights import find_backbone
from supervised.resnet import resnet
torch.save(resnet("resnet18", 10, "3x3").state_dict(), sys.argv[1])
assert find_backbone(torch.load(sys.argv[1]), sys.argv[1]).tensors
print(sorted({"torch._dynamo", "torchvision"} & set(sys.modules)))
"""


def test_weights_are_recognised_without_pytorch_s_compiler(tmp_path):
    done = subprocess.run([sys.executable, "-c", FOUND, tmp_path / "weights.pth"], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    assert done.stdout == "[]\n"
