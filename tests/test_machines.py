"""What a machine may lack: git, semaphores, a core count, a writable data folder, and what a path may begin with."""

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import predict
import report
import train
import utils
from data import packing
from data.datasets import load_split
from records import provenance
from records.runs import Identity
from tests.common import BASH, ROOT
from tests.csv_runs import NAME, epoch, write_run
from utils import run as run_program

pytestmark = pytest.mark.usefixtures("narrow")
TINY = ["--model-type", "Supervised", "--epochs", "1", "--batch-size", "20"]


def commit_of(folder, monkeypatch, tmp_path, **variables):
    """The commit that a run of code in a folder would write down."""
    monkeypatch.setattr(provenance, "ROOT", folder)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "config.yml"
    provenance.write_config([path], "", Identity({}, {}), {}, Namespace(), torch.device("cpu"), "off")
    return yaml.safe_load(path.read_text(encoding="utf-8"))["commit"]


def test_the_commit_is_that_of_the_code_alone(tmp_path, monkeypatch):
    assert provenance.ROOT == ROOT, "git does not look above it"
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "suite"
    inner.mkdir(parents=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "--quiet"], [*author, "commit", "--quiet", "--allow-empty", "--message", "one"]):
        subprocess.run(["git", *command], cwd=outer, check=True)
    found = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=outer, text=True).strip()
    assert commit_of(outer, monkeypatch, tmp_path) == found
    assert commit_of(outer, monkeypatch, tmp_path, GIT_TEST_ASSUME_DIFFERENT_OWNER="1") == found, "of another user"
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    assert commit_of(inner, monkeypatch, tmp_path) is None, "unpacked inside somebody's repository"
    assert commit_of(tmp_path, monkeypatch, tmp_path, GIT_DIR=str(outer / ".git")) is None, "as in a hook"
    assert commit_of(outer, monkeypatch, tmp_path, PATH="/nowhere") is None, "no git"


def test_cores_where_the_system_does_not_say_which(monkeypatch):
    assert packing.cores() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert packing.cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert packing.cores() == 1


@pytest.mark.parametrize("error",
                         [OSError(38, "Function not implemented"), ImportError("no sem_open"), NotImplementedError()])
def test_images_are_decoded_where_there_are_no_semaphores(image_folder, monkeypatch, capsys, error):
    """As without /dev/shm."""
    def lacks(*_):
        raise error

    wanted = load_split("cifar100", "train", image_folder / "data", store_dir=image_folder / "a")
    monkeypatch.setattr(packing, "ProcessPoolExecutor", lacks)
    found = load_split("cifar100", "train", image_folder / "data", store_dir=image_folder / "b")
    assert np.array_equal(found.images, wanted.images) and np.array_equal(found.checksums, wanted.checksums)
    assert "decoding in this one" in capsys.readouterr().out and not packing._worker


def test_a_picture_with_a_line_break_in_its_name_is_one_line(image_folder, capsys):
    (image_folder / "data/cifar100/train/class0/a\nb.png").write_bytes(b"")
    for _ in range(2):  # the second time from what is written down
        load_split("cifar100", "train", image_folder / "data", max_bad_images=1)
    store, = image_folder.glob("data/store/cifar100-train*")
    assert len((store / "bad.txt").read_text(encoding="utf-8").splitlines()) == 1
    assert "a\\nb.png" in capsys.readouterr().out


def test_store_dir_keeps_the_data_folder_as_it_is(image_folder, tmp_path):
    """Two data folders do not meet in one."""
    before, stores = sorted(image_folder.glob("data/**")), tmp_path / "stores"
    arguments = [*TINY, "--data-dir", str(image_folder / "data"), "--store-dir", str(stores),
                 "--output-dir", str(tmp_path)]
    assert run_program(train.main, arguments) == 0
    assert sorted(image_folder.glob("data/**")) == before
    assert len(list(stores.glob("*/cifar100-*/images.npy"))) == 2
    (image_folder / "data").rename(image_folder / "other")
    load_split("cifar100", "train", image_folder / "other", store_dir=stores)
    assert len(list(stores.glob("*/cifar100-train-*/images.npy"))) == 2


@pytest.mark.parametrize("blocked, flag", [("data/store", "--store-dir"), ("out", "--output-dir")])
def test_what_cannot_be_written_names_its_flag(image_folder, capsys, blocked, flag):
    (image_folder / blocked).write_text("a file where a folder should be")
    arguments = [*TINY, "--data-dir", str(image_folder / "data"), "--output-dir", str(image_folder / "out")]
    assert run_program(train.main, arguments) == 1
    line, = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and f"{flag} FOLDER" in line


def test_every_path_may_begin_with_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    assert utils.flags(lambda flag: flag.options.get("type") is Path) == []
    paths = utils.flags(lambda flag: flag.options.get("type") in (utils.path, utils.utf8_path))
    assert {"data_dir", "store_dir", "output_dir", "csv_dir", "checkpoint", "pretrained_model_path"} <= set(paths)
    for name in paths:
        parser = utils.build_parser("", utils.ARGUMENTS[name].programs[0], {})
        assert vars(parser.parse_args([f"--{name}=~/x"]))[name] == Path("/somebody/x")
    assert report.build_parser().parse_args(["--res=~/x", "--out", "~"]).res == Path("/somebody/x")
    assert utils.path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x") and utils.path("a/~") == Path("a/~")


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("output, status", [(">/dev/full", 1), (">&-", 0), ("| true", 0)])
def test_standard_output_that_takes_nothing(tmp_path, reports, output, status):
    """A full disk, a closed one, a reader who has read enough: one line at most, of report.py as of all others."""
    write_run(tmp_path / "res", NAME, [epoch(0.5, 0.5)])
    given = [report.__file__, "--res", str(tmp_path / "res")]
    if not reports:
        given = ["-c", "import utils; raise SystemExit(utils.run(lambda argv: print('done')))"]
    done = subprocess.run(
        [BASH, "-c", f'"$@" {output}; exit ${{PIPESTATUS[0]}}', BASH, sys.executable, *given], text=True, check=False,
        capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": ""})
    wanted = "error: cannot write to standard output (No space left on device)\n" if status else ""
    assert (done.returncode, done.stderr) == (status, wanted)
    assert (tmp_path / "res/report/results.md").is_file() == reports


def test_a_table_of_predictions_needs_somewhere_to_go():
    with pytest.raises(ValueError, match="no standard output to write to; name a file with --out"), \
            predict._table(None, None):
        pass


def test_an_interrupted_report_says_so(tmp_path):
    """Ctrl-C while its figures are drawn."""
    write_run(tmp_path / "res", NAME, [epoch(0.5, 0.5)])
    stop = "import os, signal, runpy, sys, reporting.figures as f; " \
           "f.write_all = lambda *a: os.kill(os.getpid(), signal.SIGINT); " \
           f"sys.argv = ['report.py', '--res', {str(tmp_path / 'res')!r}]; " \
           f"runpy.run_path({report.__file__!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", stop], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


def test_a_message_keeps_the_blanks_of_a_path(capsys):
    def fail(_):
        raise ValueError("it fails:\n  go on with: train.py --data-dir 'my  pictures'\n")

    assert run_program(fail, []) == 1
    assert capsys.readouterr().err == "error: it fails: go on with: train.py --data-dir 'my  pictures'\n"


def test_an_empty_count_of_processes_is_one(monkeypatch):
    """As some launchers of jobs export it."""
    monkeypatch.setenv("WORLD_SIZE", "")
    assert run_program(lambda _: None, []) == 0
