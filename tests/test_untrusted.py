"""Nothing that a user can point to is executed: a pickle that would leave a mark leaves none."""

import hashlib

import numpy as np
import pytest
import torch

import pretrain
import report
import test as test_program
import train
from data import imagenet_tar
from data.sources import FolderSource, decode
from data.store_files import NAMES
from utils import run as run_program

pytestmark = pytest.mark.usefixtures("narrow")
TRAIN = ["--batch-size", "7", "--lr", "0.01", "--epochs", "1"]
LINEAR = ["--model-type", "SelfSupervisedPretrained", *TRAIN]
SCRATCH = ["--model-type", "Supervised", *TRAIN]


class Attack:
    """Unpickling it creates a file."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


@pytest.fixture
def attack(image_folder):
    yield Attack(image_folder / "executed")
    assert not (image_folder / "executed").exists()


def run(program, root, *arguments):
    return run_program(program.main, [*arguments, "--data-dir", str(root / "data"), "--output-dir", str(root)])


def one_line(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


@pytest.mark.parametrize("program, arguments", [
    (train, ["--model-type", "SupervisedPretrainedFinetune", *TRAIN, "--pretrained-model-path"]),
    (test_program, ["--model-type", "Supervised", "--checkpoint"])])
def test_a_checkpoint_that_is_named(image_folder, attack, capsys, program, arguments):
    path = image_folder / "attack.pth"
    torch.save({"model": {"conv1.weight": attack}}, path)
    assert run(program, image_folder, *arguments, str(path)) == 1
    assert str(path) in one_line(capsys)


def test_a_checkpoint_to_resume(image_folder, attack, capsys):
    assert run(train, image_folder, *SCRATCH) == 0
    path, = image_folder.glob("checkpoint/Supervised/*/last.pth")
    torch.save({"model": attack}, path)
    assert run(train, image_folder, *SCRATCH, "--resume") == 1
    assert str(path) in one_line(capsys)


def test_imagenet_weights_of_the_right_hash(image_folder, attack, capsys, monkeypatch):
    import pretrainedmodels
    folder = image_folder / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"conv1.weight": attack}, folder / "made.pth")
    digest = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()[:8]
    (folder / "made.pth").rename(folder / f"resnet18-{digest}.pth")
    monkeypatch.setenv("TORCH_HOME", str(image_folder))
    monkeypatch.setitem(pretrainedmodels.pretrained_settings["resnet18"]["imagenet"], "url",
                        f"https://example.invalid/resnet18-{digest}.pth")
    assert run(train, image_folder, "--model-type", "SupervisedPretrained", *TRAIN) == 1
    assert "resnet18-" in one_line(capsys)


def test_weights_that_name_a_folder_as_their_dataset(image_folder, capsys):
    assert run(pretrain, image_folder, "--sample-ratio", "1", "--batch-size", "9", "--image-size", "32",
               "--epochs", "1") == 0
    path, = image_folder.glob("checkpoint/SelfSupervisedPretraining/*/last.pth")
    state = torch.load(path, weights_only=True)
    capsys.readouterr()
    state["identity"]["settings"]["data"] = "x/../../../../outside"
    torch.save(state, path)
    assert run(train, image_folder, *LINEAR) == 1
    assert "no name of a dataset" in one_line(capsys)
    assert not list(image_folder.glob("**/*outside*"))


def test_features_are_made_anew(image_folder, attack):
    arguments = ["--sample-ratio", "1", "--batch-size", "9", "--image-size", "32", "--epochs", "1"]
    assert run(pretrain, image_folder, *arguments) == 0
    assert run(train, image_folder, *LINEAR) == 0
    for path in image_folder.glob("checkpoint/features/*.npy"):
        np.save(path, np.array([attack], dtype=object), allow_pickle=True)
    assert run(train, image_folder, *LINEAR) == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_files_of_a_store(image_folder, attack, capsys, name):
    assert run(train, image_folder, *SCRATCH) == 0
    capsys.readouterr()
    np.save(image_folder / "data/store/cifar100-train-32px" / name, np.array([attack], dtype=object),
            allow_pickle=True)
    assert run(train, image_folder, *SCRATCH) == 1
    assert "cifar100-train-32px" in one_line(capsys)


def test_the_listing_of_a_tar(tmp_path, monkeypatch):
    attack = Attack(tmp_path / "executed")
    tar = tmp_path / "ILSVRC2012_img_train.tar"
    tar.write_bytes(b"")
    source = imagenet_tar.TarSource(tar)
    source.cache_in(tmp_path)
    np.savez(tmp_path / "tar-index.npz", made_from=np.array([attack], dtype=object))
    with pytest.raises(ValueError, match="download it again|no class tars"):
        source.labels
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("ending", ["png", "eps"])
def test_postscript_among_the_images(tmp_path, monkeypatch, ending):
    """Ghostscript is not started, whatever the file is called."""
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("started"))
    (tmp_path / f"x.{ending}").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with pytest.raises((ValueError, OSError), match="not a readable image|no images"):
        decode(FolderSource.unlabelled(tmp_path), 0, 8)


def test_yaml_files(image_folder, attack, capsys):
    assert run(train, image_folder, *SCRATCH) == 0
    capsys.readouterr()
    config, = image_folder.glob("checkpoint/*/*/config.yml")
    text = f"epochs: !!python/object/apply:builtins.open ['{attack.mark}', 'w']\n"
    for path in (config, image_folder / "best.yaml"):
        path.write_text(text)
    arguments = ["--res", str(image_folder / "res")]
    assert report.main(arguments) == 0
    capsys.readouterr()
    assert report.main([*arguments, "--best", str(image_folder / "best.yaml")]) == 1
    assert "error: " in capsys.readouterr().err
