"""Every command in the README parses."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

import utils

ROOT = Path(__file__).parent.parent
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
            for line in block.splitlines() if line]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_parses(command):
    words = [word for word in shlex.split(command) if not re.match("[A-Z_]+=", word)]
    if words[0] == "export":
        return
    first, second, *arguments = words
    if "sbatch" in words:
        script, grid, *arguments = words[words.index("grid_search/slurm_array.sh"):]
        assert (ROOT / script).is_file() and (ROOT / grid).is_file()
        importlib.import_module("train").parse(["--model-type", "Supervised", *(word.strip(")") for word in arguments)])
    elif first == "python" and second != "report.py":
        importlib.import_module(second.removesuffix(".py")).parse(arguments)
    elif first in ("bash", "python"):
        assert (ROOT / second).is_file()
    else:
        assert first == "tensorboard"


def test_every_flag_is_explained():
    text = (ROOT / "README.md").read_text()
    assert [name for name in utils.ARGUMENTS if f"`--{name.replace('_', '-')}`" not in text] == []
