"""A grid on a full disk: its cell fails with the reason, and goes on when there is room again."""

import os
import sys

from tests.common import ROOT
from tests.grid_search.test_grid_search import Digits, failures


def test_a_full_disk_is_named(tmp_path):
    """No file may grow beyond 5 MB in a cell, where a checkpoint needs more; Python ignores the signal."""
    grid, limited = Digits(tmp_path / "grid", ROOT), tmp_path / "bin"
    lists, short = {"OPTIMIZERS": "sgd", "LRS": "0.01"}, ["--epochs", "1", "--image-size", "8"]
    limited.mkdir()
    (limited / "python").write_text(f"#!/usr/bin/env bash\nulimit -f 5000\nexec {sys.executable} \"$@\"\n")
    (limited / "python").chmod(0o755)
    status, out, err = grid.finish(*short, **lists, PATH=f"{limited}:{os.environ['PATH']}")
    found = failures(out)
    assert status == 1 and len(found) == 1, out + err
    assert all("best.pth (File too large)" in reason and "log.txt" in reason for reason in found.values()), found
    assert not list(tmp_path.glob("grid/checkpoint/*/*/*.partial")), "a half-written checkpoint is left"
    status, out, err = grid.finish(*short, **lists)
    assert status == 0 and "finished: 1 of 1 runs" in out, out + err
