"""The benchmark of whole programs: what each is given, what is counted, and that no failed run becomes a figure."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torchvision

from data import augment
from tests.common import ROOT
from training.command_line import parse_pretrain, parse_train

sys.path.append(str(ROOT / "tests" / "benchmarks"))
import bench_equality  # noqa: E402
import bench_grid  # noqa: E402
import bench_loop  # noqa: E402
import bench_peers  # noqa: E402
import peer_images  # noqa: E402
import peer_launch  # noqa: E402
import peers  # noqa: E402

PEER = """#!/bin/sh
for word in "$@"; do case $word in out=*) out=${word#out=} ;; esac; done
mkdir -p "$out/checkpoints" && echo "$@" >> "$LOG" && : > "$out/checkpoints/last.ckpt"
"""


def job(folder, task="simclr", stem="7x7", batch=128, epochs=3):
    (folder / "out").mkdir(exist_ok=True)
    return peers.Job(task, 32, stem, batch, epochs, 2, folder, folder / "out")


def made_by(words):
    """A Peer that is these words of Python."""
    return peers.Peer(lambda folder, job: [sys.executable, "-c", words], "*.pth", (), "float32")


def test_our_side_is_a_command_line_that_our_programs_take(tmp_path):
    words = peers.ours(16).command(ROOT, job(tmp_path, stem="3x3"))
    args = parse_pretrain(list(map(str, words[2:])))
    assert (args.epochs, args.batch_size, args.image_size, args.start_size) == (3, 128, 32, 16)
    assert (args.stem, args.sample_ratio, args.knn_every, args.workers) == ("3x3", 1, 0, 2)
    assert args.temperature == peers.TEMPERATURE and Path(args.store_dir).parent == tmp_path / "out"
    words = peers.ours().command(ROOT, job(tmp_path, "supervised"))
    args = parse_train(list(map(str, words[2:])))
    assert (args.model_type, args.data, args.val_ratio, args.stem) == ("Supervised", "cifar100", 0, "7x7")


@pytest.mark.parametrize("name", peers.PEERS)
def test_each_peer_is_given_the_same_job(tmp_path, name):
    task, stem = peers.PEERS[name].runs[0]
    words = peers.PEERS[name].command(tmp_path, job(tmp_path, task, stem, 2713, 1979))
    said = " ".join(map(str, words)) + "".join(path.read_text() for path in tmp_path.glob("out/*.yaml"))
    for expected in ("1979", "2713", "resnet18"):
        assert expected in said


@pytest.mark.parametrize("words", [
    "raise SystemExit('no network')",
    "print('all is well')",
    "open('last.pth', 'w'); raise SystemExit('killed')",
], ids=["it fails", "it leaves no weights", "it fails after its weights"])
def test_a_run_that_did_not_end_well_is_no_figure(tmp_path, words):
    with pytest.raises(RuntimeError, match="ended with"):
        peers.whole(made_by(words), tmp_path, job(tmp_path), 1)


def test_a_whole_run_is_timed_offline_in_its_folder(tmp_path):
    words = "import os; open('last.pth', 'w').write(os.environ['HF_HUB_OFFLINE'] + os.environ['OMP_NUM_THREADS'])"
    assert peers.whole(made_by(words), tmp_path, job(tmp_path), 2) > 0
    assert (tmp_path / "out" / "last.pth").read_text() == "12"


def test_both_sides_run_in_turns_at_both_lengths(tmp_path, make_images, monkeypatch, capsys):
    make_images(tmp_path)
    program, log = tmp_path / "bin" / "lightly-train", tmp_path / "log"
    program.parent.mkdir()
    program.write_text(PEER)
    program.chmod(0o755)
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setattr(peers, "ours", lambda start_size=None: peers.PEERS["lightly-train"])
    monkeypatch.setattr(bench_peers.measure, "ROOT", tmp_path)
    monkeypatch.setattr(bench_peers.measure, "start", lambda arguments: None)
    monkeypatch.setattr(bench_peers.measure, "seconds", lambda run: (run(), len(log.read_text().splitlines()))[1])
    bench_peers.main(["--peer", f"lightly-train={tmp_path}", "--size", "32", "--images", "20", "--rounds", "2",
                      "--data-dir", str(tmp_path / "data"), "--start-size", "16"])
    runs = [dict(word.split("=", 1) for word in line.split()[1:]) for line in log.read_text().splitlines()]
    assert [run["epochs"] for run in runs] == ["1", "3"] * 6  # ours, growing, the peer; two rounds
    printed = capsys.readouterr().out
    # The clock is the number of runs until then: the longer takes 1 more, 2 epochs of 20 images.
    assert "steady rate: ours 40 images/s, lightly-train 40 images/s, ratio 1 (1 to 1, n=2)" in printed
    assert "whole run: ours from 16 px 7 s, lightly-train 9 s, ratio 1.29 (1.2 to 1.5, n=2)" in printed


@pytest.mark.parametrize("wrong, said", [
    (["--peer", "lightning=."], "NAME one of"),
    (["--peer", "timm=nowhere"], "with a folder"),
    (["--peer", "lightly-train=.", "--stem", "3x3"], "lightly-train: runs simclr 7x7"),
    (["--csv", "a.csv"], "pytorch-cifar100"),
    (["--epochs", "3", "3"], "fewer, then more"),
])
def test_what_cannot_be_compared_is_refused_before_it_takes_time(wrong, said, capsys):
    with pytest.raises(SystemExit) as ended:
        bench_peers.main(wrong)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_the_steady_rate_is_without_what_both_lengths_have():
    assert bench_peers.steady(100, (1, 3), (12.0, 14.0)) == 100
    with pytest.raises(ValueError, match="more --images"):
        bench_peers.steady(100, (1, 3), (12.0, 12.0))


def test_time_to_an_accuracy_counts_all_epochs_until_then(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("epoch,val_accuracy,seconds\n1,0.5,10\n2,,20\n3,0.7,30\n4,0.8,40\n")
    assert bench_peers.time_to(0.70, path) == (60, 3)
    with pytest.raises(ValueError, match="no epoch"):
        bench_peers.time_to(0.81, path)


def test_the_pickles_hold_the_pictures_of_the_folders(tmp_path, make_images, monkeypatch):
    make_images(tmp_path)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *args: True)
    peer_images.with_labels(tmp_path / "a", tmp_path / "data" / "cifar100", 12, 32)
    for train, part, count in ((True, "train", 12), (False, "test", 2)):
        found = torchvision.datasets.CIFAR100(tmp_path / "a" / "pickled", train, download=True)
        files = torchvision.datasets.ImageFolder(tmp_path / "a" / "cifar100" / part)
        assert len(found) == len(files) == count
        assert sorted((image.tobytes(), files.classes[label]) for image, label in files) == sorted(
            (image.tobytes(), found.classes[label]) for image, label in found)
    peer_images.without_labels(tmp_path / "b", tmp_path / "data" / "imagenet" / "train", 12, 32)
    found = torchvision.datasets.CIFAR10(tmp_path / "b" / "pickled", download=True)
    files = torchvision.datasets.ImageFolder(tmp_path / "b" / "imagenet" / "train")
    assert sorted(image.tobytes() for image, _ in files) == sorted(image.tobytes() for image, _ in found)
    assert len(files) == 12
    with pytest.raises(ValueError, match="24 images, 25 are needed"):
        peer_images.spread(tmp_path / "data" / "imagenet" / "train", 25)


def test_a_program_is_launched_with_its_own_modules_and_the_length_asked_for(tmp_path, monkeypatch):
    (tmp_path / "conf.py").write_text("class settings: EPOCH, SAVE_EPOCH = 200, 10\n")
    (tmp_path / "utils.py").write_text(
        "def get_training_dataloader(size, num_workers): return size, num_workers\n"
        "def get_test_dataloader(size, num_workers): return size, num_workers\n")
    (tmp_path / "train.py").write_text(
        "import sys; from conf import settings; from utils import get_test_dataloader as get\n"
        "if __name__ == '__main__': print(settings.EPOCH, settings.SAVE_EPOCH, get(5, num_workers=4), sys.argv[1:])\n")
    words = [sys.executable, peer_launch.__file__, '{"epochs": 3, "workers": 2}', str(tmp_path / "train.py"), "-b", "8"]
    done = bench_peers.measure.run(words[1:])
    assert done.strip() == "3 3 (5, 2) ['-b', '8']"


def test_the_grid_of_many_cells_begins_with_the_plain_one():
    assert float(bench_grid.DECAYS[0]) == parse_train(["--model-type", "Supervised"]).weight_decay
    assert bench_grid.vary(6) == "--weight-decay 5e-4" and bench_grid.vary(24).count(",") == 3


@pytest.mark.parametrize("pairs", [True, False])
def test_both_sides_of_the_loop_train(narrow, monkeypatch, pairs):
    monkeypatch.setattr(bench_loop.per_image, "BATCH_SIZE", 4)
    monkeypatch.setattr(bench_loop, "SOURCES", 8)
    loop = bench_loop.Loop(pairs, 32, "3x3", 2)
    assert loop.whole() > 0 and loop.alone() > 0


def test_the_per_image_side_takes_what_a_pretraining_gives_and_makes_such_views(narrow, image_folder):
    """A pre-training runs with it to the end, with kNN accuracy as its figure."""
    seen = []

    def views(*given, **more):
        seen.append((bench_equality.per_image_views(*given, **more), augment.crop_flip(given[0], given[1], given[2],
                     mean=more["mean"], std=more["std"])))
        return seen[-1][0]

    accuracy = bench_equality.knn_after(views, 0, SimpleNamespace(
        sample_ratio=1, epochs=1, batch_size=8, data_dir=image_folder / "data"))
    assert 0 <= accuracy <= 1
    for pairs, one in seen:
        assert pairs.shape == (2 * len(one), *one.shape[1:]) and pairs.dtype == one.dtype
