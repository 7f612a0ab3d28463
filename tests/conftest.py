"""Small real images for the tests: folders of coloured squares, made on the fly."""

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from supervised import resnet
from tests.common import ROOT, SOAK, copy_code, stub_made_from


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: takes long; SOAK=1 runs it, too")
    settings.register_profile("short", deadline=None, max_examples=50,
                              suppress_health_check=[HealthCheck.function_scoped_fixture])
    settings.register_profile("soak", settings.get_profile("short"), max_examples=2000)
    settings.load_profile("soak" if SOAK else "short")


def pytest_collection_modifyitems(config, items):
    """Leave the soak out where it is not asked for."""
    if SOAK:
        return
    kept = [item for item in items if not item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("soak")])
    items[:] = kept


@pytest.fixture(scope="session")
def stubbed(tmp_path_factory):
    """A copy of the code whose programs leave the files of runs without training or reading anything; see stub.py."""
    folder = copy_code(tmp_path_factory.mktemp("stubbed"))
    for name in ("train.py", "pretrain.py"):
        shutil.copy(ROOT / "tests" / "stub.py", folder / name)
    stub_made_from(folder)
    return folder


@pytest.fixture
def narrow(monkeypatch):
    """Networks of an eighth of the channels, where what is done with them is the point."""
    monkeypatch.setattr(resnet, "WIDTH", 8)


@pytest.fixture(scope="session")
def make_images():
    """A function that fills a folder's data/ with imagenet/train and cifar100/{train,test}: four classes told apart by
    colour."""
    def make(root):
        rng = np.random.default_rng(0)
        for split, size, count in (("imagenet/train", 40, 6), ("cifar100/train", 32, 10), ("cifar100/test", 32, 3)):
            for label, colour in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200), (180, 180, 20)]):
                folder = root / "data" / split / f"class{label}"
                folder.mkdir(parents=True)
                for number in range(count):
                    pixels = np.clip(rng.normal(colour, 25, (size, size, 3)), 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / f"{number}.png")
        return root
    return make


@pytest.fixture
def image_folder(tmp_path, make_images):
    """A folder with such images."""
    return make_images(tmp_path)
