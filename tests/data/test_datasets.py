"""Which images a split holds, in which order, with which labels."""

import io
import shutil
import tarfile
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import pretrain
from data import datasets
from data.datasets import hold_out, load_split  # hold_out as programs outside import it
from data.sampling import stratified
from supervised.resnet import resnet
from training.command_line import parse_pretrain
from training.identity import pretraining_start
from training.images import open_pretraining


def test_sample_ratios_are_nested_and_stratified():
    labels = np.repeat(np.arange(5), [10, 20, 30, 40, 1])
    small, large = stratified(labels, 0.1, 3), stratified(labels, 0.5, 3)
    assert set(small) < set(large)
    assert np.bincount(labels[large]).tolist() == [5, 10, 15, 20, 1]
    assert np.array_equal(small, stratified(labels, 0.1, 3))
    assert not np.array_equal(large, stratified(labels, 0.5, 4))
    train, validation = hold_out(labels[:100], 0.1, 0)
    assert len(validation) == 10 and not set(train) & set(validation) and len(train) == 90


def test_digits_are_disjoint_and_few():
    parts = {split: load_split("digits", split, "nowhere") for split in ("pretrain", "train", "test")}
    assert parts["pretrain"].classes == ("0", "1", "2", "3", "4") and parts["test"].classes[0] == "5"
    assert np.bincount(parts["train"].labels[parts["train"].rows]).tolist() == [40] * 5
    assert sum(len(part.rows) for part in parts.values()) == 1797
    assert not set(parts["train"].rows) & set(parts["test"].rows)


def test_a_ratio_reads_its_own_images_and_a_larger_one_adds(image_folder):
    """Labels still belong to the images: each class has a colour of its own."""
    few = load_split("imagenet", "train", image_folder / "data", 32, ratio=0.5)
    many = load_split("imagenet", "train", image_folder / "data", 32)
    assert len(few.rows) == 12 and len(many.rows) == 24 and set(few.rows) < set(many.rows)
    for split in (few, many):
        brightest = split.images[split.rows].mean((1, 2)).argmax(1)
        labels = split.labels[split.rows]
        assert np.array_equal(brightest[labels < 3], labels[labels < 3])


def test_classes_of_the_test_split_are_those_of_training(image_folder):
    root = image_folder / "data"
    for file in (root / "cifar100/test/class1").iterdir():
        file.unlink()
    (root / "cifar100/test/class1").rmdir()
    test = load_split("cifar100", "test", root)
    assert test.classes == ("class0", "class1", "class2", "class3")
    assert sorted(set(test.labels)) == [0, 2, 3]
    (root / "cifar100/train/class4").mkdir()  # the labels of test may move with the classes of train
    (root / "cifar100/train/class4/0.png").write_bytes((root / "cifar100/train/class0/0.png").read_bytes())
    assert len(load_split("cifar100", "test", root).classes) == 5


def ship(folder, tar):
    """Write class folders as the tar of tars that ImageNet ships."""
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, "w") as outer:
        for path in sorted(folder.iterdir()):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as class_tar:
                for file in sorted(path.iterdir()):
                    class_tar.add(file, file.name)
            member = tarfile.TarInfo(f"{path.name}.tar")
            member.size = len(inner.getvalue())
            outer.addfile(member, io.BytesIO(inner.getvalue()))


def test_imagenet_from_the_official_tar(image_folder):
    unpacked = load_split("imagenet", "train", image_folder / "data", 32)
    ship(image_folder / "data/imagenet/train", image_folder / "tar/imagenet" / datasets.IMAGENET_TAR)
    read = load_split("imagenet", "train", image_folder / "tar", 32)
    assert read.classes == unpacked.classes and np.array_equal(read.labels, unpacked.labels)
    assert np.array_equal(read.images, unpacked.images)


@pytest.mark.parametrize("place", ["imagenet", "."])
def test_the_official_tar_and_a_test_folder(image_folder, monkeypatch, place):
    """Labels of test are those of the tar, whose listing serves every size and split."""
    data = image_folder / "tar"
    tar = data / place / datasets.IMAGENET_TAR
    ship(image_folder / "data/imagenet/train", tar)
    for label in (1, 3):
        shutil.copytree(image_folder / f"data/cifar100/test/class{label}", data / f"imagenet/test/class{label}")
    train = load_split("imagenet", "train", data, 32)
    monkeypatch.setattr("data.imagenet_tar._tar_members", lambda *_: pytest.fail("listed again"))
    test = load_split("imagenet", "test", data, 32)
    assert test.classes == train.classes and test.labels.tolist() == [1, 1, 1, 3, 3, 3]
    assert len(load_split("imagenet", "train", data, 16).rows) == 24
    monkeypatch.undo()
    (image_folder / "data/imagenet/train/class1").rename(image_folder / "data/imagenet/train/zebra")
    ship(image_folder / "data/imagenet/train", tar)
    with pytest.raises(ValueError, match="'class1' is not among the 4 classes"):
        load_split("imagenet", "test", data, 32)


def test_a_second_start_decodes_nothing(image_folder, monkeypatch):
    first = load_split("imagenet", "train", image_folder / "data", 32, ratio=0.5)
    monkeypatch.setattr("data.store.pack", lambda *_: pytest.fail("decoded again"))
    again = load_split("imagenet", "train", image_folder / "data", 32, ratio=0.5)
    assert np.array_equal(first.rows, again.rows)


def cifar100_archive(folder):
    """The official layout, with fine and coarse labels that differ."""
    import pickle
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train", 6), ("test", 4)):
        content = {"data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
                   "fine_labels": [99, 3, 0, 57, 8, 1][:count], "coarse_labels": [1] * count}
        (folder / name).write_bytes(pickle.dumps(content))
    names = [f"fine{k:02}" for k in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names, "coarse_label_names": []}))


def test_cifar100_has_its_fine_labels(tmp_path, monkeypatch):
    import torchvision
    cifar100_archive(tmp_path / "cifar-100-python")
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    split = load_split("cifar100", "train", tmp_path)
    assert split.labels.tolist() == [99, 3, 0, 57, 8, 1] and split.classes[57] == "fine57"
    assert split.images.shape == (6, 32, 32, 3)


def stl10_archive(tmp_path, monkeypatch):
    import torchvision
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train", 10), ("test", 2), ("unlabeled", 5)):
        rng.integers(0, 256, count * 3 * 96 * 96, dtype=np.uint8).tofile(folder / f"{name}_X.bin")
        if name != "unlabeled":
            (np.arange(count) % 5 + 1).astype(np.uint8).tofile(folder / f"{name}_y.bin")
    (folder / "class_names.txt").write_text("\n".join("abcdefghij"))
    monkeypatch.setattr(torchvision.datasets.STL10, "_check_integrity", lambda self: True)
    return folder


def test_stl10_pre_trains_on_its_unlabelled_part(tmp_path, monkeypatch):
    folder = stl10_archive(tmp_path, monkeypatch)
    parts = {split: load_split("stl10", split, tmp_path) for split in ("pretrain", "train", "test")}
    assert len(parts["pretrain"].rows) == 5 and not parts["pretrain"].labelled
    assert parts["train"].labels.tolist() == 2 * [0, 1, 2, 3, 4] and parts["test"].classes[1] == "b"
    raw = np.fromfile(folder / "train_X.bin", np.uint8).reshape(10, 3, 96, 96)
    assert np.array_equal(parts["train"].images, raw.transpose(0, 3, 2, 1))


def test_stl10_has_a_knn_accuracy_from_its_labelled_part(tmp_path, monkeypatch):
    stl10_archive(tmp_path, monkeypatch)
    args = parse_pretrain(["--data", "stl10", "--data-dir", str(tmp_path), "--batch-size", "4",
                           "--sample-ratio", "1"])
    split = open_pretraining(args)
    assert not split.labelled and len(split.rows) == 5
    probe = pretrain.make_probe(args, split, pretraining_start(args).seen(args), torch.device("cpu"))
    assert 0 <= probe(resnet("resnet18", 3, "7x7"))["knn_accuracy"] <= 1


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10"])
def test_a_missing_archive_that_cannot_be_downloaded(tmp_path, monkeypatch, name):
    def offline(*_, **__):
        raise RuntimeError("no network")

    for module in ("cifar", "stl10"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", offline)
    with warnings.catch_warnings(), pytest.raises(FileNotFoundError, match="could it be downloaded"):
        load_split(name, "train", tmp_path)


def test_images_of_another_size_are_resized_and_centred(tmp_path):
    folder = tmp_path / "train" / "a"
    folder.mkdir(parents=True)
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(folder / "wide.png")
    assert load_split("folder", "pretrain", tmp_path, 10).images[0].min() > 200
