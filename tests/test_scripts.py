"""The bash scripts on any machine: bash 3.2 to 5 (OLD_BASH=path tries another one), BSD's tools, any working folder."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from conf.methods import MODEL_TYPES
from grid_search import all_methods
from grid_search.all_methods import make_cells
from grid_search.cells import make_cells as grid_cells
from reporting.best import BEST, read_best
from tests.common import BASH, ROOT, environment, make_venv
from training.command_line import PENALTIES, parse_pretrain, parse_train

SCRIPTS = sorted({*ROOT.glob("*.sh"), *ROOT.glob("grid_search/*.sh"), *ROOT.glob("tests/**/*.sh")})
NEWER = {  # than bash 3.2, or than what BSD has
    "an array that may be empty, unguarded under set -u": r'(?<!\+)"\$\{\w+\[@\]\}"',
    "bash 4": r"\b(mapfile|readarray|coproc|globstar|lastpipe|BASHPID|EPOCHSECONDS)\b"
              r"|\b(declare|local|typeset) -\w*[Anlug]"
              r"|\$\{\w+(,|\^)|\bwait -n\b|\[\[ -v |%\([^)]*\)T|;;?&|\|&|&>>|\$\{\w+@[A-Za-z]\}|\[-\d+\]\}",
    "GNU only": r"\bsed -i\b|\breadlink -f\b|\brealpath\b|\bstat -c\b|\bnproc\b|\bgrep -\w*P|\bsort -V\b|\btac\b"
                r"|\btimeout \d|\bdate -d\b|\bxargs -[rd]\b|\bls --|\bcp --|\bhead -n -"}


def found(text):
    """The kinds of NEWER in a script."""
    code = re.sub(r"(^|\s)#.*", "", text, flags=re.M)
    return [name for name, pattern in NEWER.items() if re.search(pattern, code)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_needs_nothing_newer_than_bash_3(script):
    assert found(script.read_text(encoding="utf-8")) == []
    subprocess.run([BASH, "-n", str(script)], check=True)


@pytest.mark.parametrize("line", [
    'python a.py "${both[@]}"', "mapfile -t a < b", "declare -A a", "local -n a=b", "echo ${a,,}", "wait -n",
    "[[ -v a ]]",
    "printf '%(%s)T'", "a) b ;;&", "a |& b", "a &>> b", "echo ${a@Q}", "echo ${a[-1]}", "sed -i s/a/b/ c",
    "readlink -f a"])
def test_the_search_finds(line):
    assert found(line)
    assert not found("python a.py ${both[@]+\"${both[@]}\"} \"${@:2}\" # " + line)


def say_python(folder):
    """A virtual environment whose python says what it would run, and answers the scripts' own questions."""
    make_venv(folder, 'printf "%q " "$@"; echo', unless="-*")


def commands_of_the_demo(cwd, *options, code=ROOT, **variables):
    done = subprocess.run([BASH, os.path.relpath(code / "run.sh", cwd), "demo", *options], cwd=cwd, capture_output=True,
                          text=True, check=False, env=environment(VENV="a venv", **variables))
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def test_run_sh_starts_all_runs_and_a_report_from_anywhere(tmp_path, stubbed):
    """No options: the repository's folders, in which the programs run. VENV, like any path, is relative to where one
    is."""
    make_venv(tmp_path / "a venv", 'printf "%q " "$PWD" "$@"; echo', unless="-*")
    commands = commands_of_the_demo(tmp_path, code=stubbed, CDPATH=str(stubbed.parent))
    assert {words.pop(0) for words in commands} == {str(stubbed)}
    assert [words[0] for words in commands] == ["pretrain.py"] * 2 + ["train.py"] * 6 + ["report.py"]
    assert not any("dir" in word for words in commands for word in words) and commands[-1][-1] == "res"


@pytest.mark.parametrize("spelling", [("--output-dir", "my out"), ("--output_dir=my out",)])
def test_paths_given_to_run_sh_are_those_of_the_caller(spelling, tmp_path):
    say_python(tmp_path / "a venv")
    *runs, report = commands_of_the_demo(tmp_path, *spelling, "--store-dir=~/s")
    for words in runs:
        args = (parse_train if Path(words[0]).name == "train.py" else parse_pretrain)(words[1:])
        assert (args.output_dir, args.store_dir) == (tmp_path / "my out", Path.home() / "s")
    assert report[-1] == str(tmp_path / "my out/res")


@pytest.mark.parametrize("options, message", [
    (["--epoch", "3"], "--epoch"), (["dmeo"], "dmeo"), (["--batch-size", "1"], "--batch-size 1"),
    (["--pretrained-model-path", "x"], "sets --pretrained-model-path itself"), (["--resume"], "--resume"),
    (["--label-smoothing", "0.1", "--criterion", "MultiMarginLoss"], "--label-smoothing")])
def test_run_sh_refuses_wrong_options_before_it_starts_anything(options, message, tmp_path):
    say_python(tmp_path / "a venv")
    done = subprocess.run([BASH, str(ROOT / "run.sh"), "demo", *options], cwd=tmp_path, capture_output=True, text=True,
                          check=False, env=environment(VENV="a venv"))
    assert done.returncode in (1, 2) and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and message in done.stderr


def test_run_sh_runs_what_best_yaml_has_and_everything_where_it_has_nothing(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])
    for data in ("digits", "folder"):  # neither needs images
        rows = read_best(BEST).get(data, {})
        found = [cell.args.model_type for cell in make_cells(data, [], Path.cwd()) if not cell.pretraining]
        assert found == [name for name in MODEL_TYPES if name in rows or not rows], data


def test_a_pretraining_that_no_method_starts_from_is_refused(monkeypatch):
    monkeypatch.setattr(all_methods, "read_best", lambda path: {"digits": {"VICReg": {}, "Supervised": {}}})
    with pytest.raises(ValueError, match="^best.yaml: no method of run.sh starts from VICReg"):
        make_cells("digits", [], Path.cwd())


@pytest.mark.parametrize("row, penalties", [({}, PENALTIES), ({"epochs": 20}, 20)])
def test_epochs_for_all_methods_are_no_penalties(monkeypatch, row, penalties):
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.setattr(all_methods, "read_best", lambda path: {"digits": {
        "Untrained": {"optimizer": "lbfgs", **row}, "Supervised": {}}})
    for options in ([], ["--epochs", "30"]):
        solved, stepped = sorted(make_cells("digits", options, Path.cwd()), key=lambda cell: cell.args.optimizer)
        assert (solved.args.epochs, stepped.args.epochs) == (penalties, 30 if options else 200)
        assert solved.options.count("--epochs") == len(row) + 2 * bool(options), "said no more than is needed"


@pytest.mark.parametrize("make", [
    lambda: make_cells("cifar100", ["--image-size", "8"], Path.cwd()),  # conf/best.yaml begins with more
    lambda: grid_cells(["- --model-type Supervised"], ["--image-size", "8", "--start-size", "16"], [])])
def test_a_size_to_begin_with_that_does_not_fit_is_refused_before_anything_runs(make, image_folder, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.chdir(image_folder)
    with pytest.raises(ValueError, match="--start-size 16 is more than the 8 px"):
        make()


def test_run_sh_knows_the_home_folder(tmp_path):
    say_python(tmp_path / "a venv")
    assert commands_of_the_demo(tmp_path, "--output-dir=~/o", HOME="/h")[-1][-1] == "/h/o/res"


def test_a_grid_of_another_folder_prints_commands_that_work_there(tmp_path, image_folder):
    (tmp_path / "utils.py").write_text("raise SystemExit('the module of somebody else')")
    done = subprocess.run(
        [BASH, str(ROOT / "grid_search" / "self_supervised_pretrained_grid_search.sh"), "--output-dir", "out",
         "--epochs", "1"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=environment(DRY_RUN="1", RATIOS="0.1", OPTIMIZERS="sgd", LRS="0.1",
                        PRETRAIN_ARGS="--image-size 32 --data-dir data"))
    assert done.returncode == 0, done.stderr
    pretraining, cell = map(shlex.split, done.stdout.splitlines())
    assert pretraining[:2] == ["python", str(ROOT / "pretrain.py")] and cell[:2] == ["python", str(ROOT / "train.py")]
    args = parse_train(cell[2:])
    assert args.output_dir == Path("out") and args.data_dir == ROOT / "data"
    assert args.pretrained_model_path.parts[:2] == ("out", "checkpoint")
    assert pretraining[-4:-2] == ["--data-dir", "data"]


@pytest.mark.parametrize("cwd, words, wanted", [
    (".", [], ["tests"]), (".", ["-k", "data"], ["tests", "-k", "data"]),
    (".", ["-x", "tests/test_house.py"], ["-x", f"{ROOT}/tests/test_house.py"]),
    ("tests", ["test_run.py::test_a[b/c]", "data/"], [f"{ROOT}/tests/test_run.py::test_a[b/c]", f"{ROOT}/tests/data/"]),
    (".", [f"{ROOT}/tests/test_run.py"], [f"{ROOT}/tests/test_run.py"])])
def test_the_tests_are_all_or_those_in_the_files_that_are_named(tmp_path, cwd, words, wanted):
    make_venv(tmp_path / "venv", 'printf "%q " "$@"; echo', unless="-c")
    done = subprocess.run([BASH, str(ROOT / "tests" / "run.sh"), *words], cwd=ROOT / cwd, capture_output=True,
                          text=True, check=False, env=environment(VENV=str(tmp_path / "venv")))
    assert done.returncode == 0, done.stderr
    module, pytest_, *given = shlex.split(done.stdout)
    own = given[given.index("--quiet"):len(given) - len(words)]
    assert (module, pytest_) == ("-m", "pytest") and [word for word in given if word not in own] == wanted


def test_an_environment_of_another_kind_is_left_alone(tmp_path):
    (tmp_path / "conda-meta").mkdir()
    done = subprocess.run([BASH, str(ROOT / "run.sh"), "demo"], capture_output=True, text=True, check=False,
                          env=environment(VENV=str(tmp_path), PYTHON="false"))
    assert done.returncode == 1 and done.stderr.startswith(f"error: {tmp_path} is no virtual environment")
    assert len(list(tmp_path.iterdir())) == 1 and done.stderr.count("\n") == 1


@pytest.mark.parametrize("variables, word", [({}, "delete"), ({"PYTHONPATH": "/modules"}, "unset PYTHONPATH")])
def test_a_broken_environment_is_not_replaced_by_another_python(tmp_path, variables, word):
    """A link to a Python that is gone; packages that another Python has."""
    make_venv(tmp_path / "venv", "echo No module named numpy >&2; exit 1")
    done = subprocess.run([BASH, str(ROOT / "run.sh"), "demo"], capture_output=True, text=True, check=False,
                          env=environment(VENV=str(tmp_path / "venv"), **variables))
    assert done.returncode == 1 and done.stdout == ""
    _, message = done.stderr.splitlines()
    assert message.startswith(f"error: {tmp_path}/venv/bin/python does not work") and word in message


def test_a_grid_without_python_says_so(tmp_path):
    done = subprocess.run([BASH, str(ROOT / "grid_search" / "supervised_grid_search.sh")], capture_output=True,
                          text=True,
                          check=False, env={"PATH": only_tools(tmp_path), "VENV": str(tmp_path)})
    assert done.returncode == 1 and done.stderr.startswith("error: no python on PATH")
    assert len(done.stderr.splitlines()) == 1


def only_tools(folder):
    """A PATH with what the grids need besides python."""
    for name in ("bash", "dirname"):
        place = next(Path(part) / name for part in os.environ["PATH"].split(":") if (Path(part) / name).exists())
        (folder / name).symlink_to(place)
    return str(folder)
