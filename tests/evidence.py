"""The results that are part of the repository, for the tests of what is said of them."""

import subprocess

from tests.common import ROOT

STUDY = ROOT / "res" / "study"


def tracked():
    """The files of res/ that are under version control; all where there is none. What a user has trained beside them
    is not in the README."""
    try:
        done = subprocess.run(["git", "ls-files", "-z", "res", "README.md"], cwd=ROOT, capture_output=True, text=True)
        names = done.stdout.split("\0")
    except OSError:
        names = []
    if "README.md" not in names:
        return [path for path in ROOT.glob("res/**/*") if path.is_file()]
    return [ROOT / name for name in names if name.startswith("res/")]


TRACKED = tracked()
EVIDENCE = [path for path in TRACKED if path.suffix == ".csv" and path.parent.name == "res"
            and path.is_relative_to(STUDY)]
