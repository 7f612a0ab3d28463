"""What several tests of data/ start from."""

import pytest

from tests.data.made import Opener, fill, picture, write


@pytest.fixture
def opener(tmp_path):
    fill(tmp_path / "train")
    return Opener(tmp_path)


@pytest.fixture
def classes_folder(tmp_path):
    for label, name in enumerate(("ape", "bee", "cat")):
        for k in range(3):
            suffix = (".png", ".JPG", ".webp")[k]
            write(tmp_path / "train" / name / f"{k}{suffix}", picture(seed=10 * label + k))
    return tmp_path / "train"
