"""The house: imports run downward only, lines and files are short, nothing private crosses a file, and importing does
nothing."""

import ast
import subprocess
import sys

import pytest

from tests.common import ROOT

FLOORS = [  # from the top; a program alone is a room
    {"grid_search"},
    {"pretrain", "train", "predict"},
    {"training", "test", "export"},
    {"functions", "report"},
    {"data", "reporting", "supervised_pretrained"},
    {"utils", "self_supervised_pretrained"},
    {"records"},
    {"parallel", "supervised", "conf"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = [path for path in sorted(ROOT.glob("**/*.py"))
         if not {"tests", ".venv"} & set(path.relative_to(ROOT).parts) and path.stat().st_size]


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """(module, name or "") of each import in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path):
    room = room_of(path)
    assert room in FLOOR_OF, "a room without a floor"
    for module, name in imported(path):
        other = module.split(".")[0]
        if other in FLOOR_OF and other != room:
            assert FLOOR_OF[other] > FLOOR_OF[room], f"{room} imports {other}"
        if other in FLOOR_OF:
            assert not name.startswith("_"), f"{name} of {module} is private"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_of_another_file_is_used(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {name or module for module, name in imported(path) if module.split(".")[0] in FLOOR_OF}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert not node.attr.startswith("_"), f"{node.value.id}.{node.attr}"


def test_lines_end_within_120_columns():
    """Tables of Markdown aside."""
    texts = [*FILES, *ROOT.glob("tests/**/*.py"), *ROOT.glob("*.sh"), *ROOT.glob("*/*.sh"), *ROOT.glob("*.md"),
             *ROOT.glob("docs/*.md"), *ROOT.glob("res/study/*.md")]
    long = [f"{path.relative_to(ROOT)}:{number}" for path in texts
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if len(line) > 120 and not line.startswith("|")]
    assert long == []


def test_files_and_packages_are_small():
    assert [str(path) for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []
    assert all(not path.read_text() for path in ROOT.glob("*/__init__.py"))


def test_a_command_line_is_read_without_pytorch():
    """So that a grid's dry run and --help answer at once."""
    code = "import sys, grid_search.run; assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
