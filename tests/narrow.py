"""Run a program with networks of an eighth of the channels, for tests of processes.

    python tests/narrow.py pretrain.py [options]
"""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from supervised import resnet
    resnet.WIDTH = 8
    sys.argv = sys.argv[1:]
    runpy.run_path(str(ROOT / sys.argv[0]), run_name="__main__")
