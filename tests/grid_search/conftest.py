"""A short grid in a folder of its own."""

import subprocess

import pytest

from tests.common import BASH, environment, rows_of


class Digits:
    """A grid of four short cells in a folder of its own. Args: code: where its programs are."""

    def __init__(self, folder, code):
        self.folder, self.code = folder, code
        self.environment = environment(DATA="digits", LRS="0.01 0.001", BATCH_SIZES="16",
                                       OMP_NUM_THREADS="1")  # results depend on it

    def start(self, *more, script="supervised", **variables):
        return subprocess.Popen(
            [BASH, str(self.code / "grid_search" / f"{script}_grid_search.sh"), "--output-dir", str(self.folder),
             "--epochs", "2", "--label-ratio", "0.3", *more], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**self.environment, **variables})

    def finish(self, *more, script="supervised", **variables):
        """Start it and wait. Returns: (status, stdout, stderr)."""
        process = self.start(*more, script=script, **variables)
        out, err = process.communicate()
        return process.returncode, out, err

    def table(self):
        """Run name -> rows, without what depends on the clock."""
        return {path.stem: rows_of(path, timed=False) for path in sorted(self.folder.glob("res/*.csv"))}


@pytest.fixture
def grid(tmp_path, stubbed):
    return Digits(tmp_path / "grid", stubbed)
