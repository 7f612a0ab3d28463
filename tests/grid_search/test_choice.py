"""How many cells of a grid run at once, and which alone."""

from types import SimpleNamespace

import pytest

from grid_search import choice, run
from training.command_line import parse_train


def cell(*options, model_type="SelfSupervisedPretrained", source="A", state="new"):
    args = parse_train(["--model-type", model_type, *options])
    return SimpleNamespace(args=args, source=source, state=lambda: state, pretraining=False)


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.delenv("JOBS", raising=False)
    monkeypatch.delenv("DEVICES", raising=False)
    for module in (choice, run):
        monkeypatch.setattr(module, "cores", lambda: 3)


def test_linear_classifiers_run_side_by_side_once_each_backbone_has_its_features(three_cores, monkeypatch):
    cells = [cell(), cell("--lr", "1"), cell(source="B"), cell("--image-size", "64"), cell(source="B")]
    assert choice.slots(["A", "B"], cells) == (3, [], ["A", "B", cells[0], cells[2], cells[3]])
    cells[2] = cell(source="B", state="finished")  # has its features, or the next one makes them
    assert choice.slots([], cells) == (3, [], [cells[0], cells[3], cells[4]])
    monkeypatch.setattr(choice, "cores", lambda: 64)
    assert choice.slots([], cells)[0] == choice.MOST_JOBS


@pytest.mark.parametrize("other", [
    cell(model_type="Supervised"), cell(model_type="SelfSupervisedPretrainedFinetune"),
    cell("--optimizer", "lbfgs"), cell("--device", "cuda")])
def test_cells_that_fill_the_machine_run_one_by_one(three_cores, other):
    assert choice.slots(["A"], [cell(), other]) == (1, [], [])
    assert choice.slots(["A"], []) == (1, [], [])  # ONLY=pretrain


@pytest.mark.parametrize("variables, wanted", [
    ({"JOBS": "2"}, (2, [], [])), ({"DEVICES": "cpu cpu"}, (2, ["cpu", "cpu"], [])), ({"JOBS": "1"}, (1, [], []))])
def test_what_is_asked_for_counts(three_cores, monkeypatch, variables, wanted):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert choice.slots([], [cell(), cell("--lr", "1")]) == wanted


@pytest.mark.parametrize("asked, jobs, wanted", [
    (None, 3, "1"), ("1", 3, "1"), ("2", 3, "1"), ("2", 1, "2"), ("", 3, "1"), ("0", 3, "1"), ("4,2", 3, "1"),
    ("4", 64, "1"), (None, 1, None)])
def test_cells_side_by_side_share_the_cores_and_one_alone_has_all(three_cores, monkeypatch, asked, jobs, wanted):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    grid = run.Grid(jobs, [], ["alone"])
    assert grid._environment("beside others").get("OMP_NUM_THREADS") == wanted
    assert grid._environment("alone").get("OMP_NUM_THREADS") == asked
    monkeypatch.setattr(run, "cores", lambda: 12)
    assert run.Grid(3, [], [])._environment("a")["OMP_NUM_THREADS"] == (asked if asked in ("1", "2") else "4")


@pytest.mark.parametrize("running, queue, wanted", [
    ("alone", ["b", "c"], []), ("a", ["alone", "b"], []), ("a", ["b", "alone", "c"], ["b"]),
    ("", ["b", "c", "d", "e"], ["b", "c", "d"]), ("", ["locked", "b"], ["b"]), ("", ["alone", "b"], ["alone"])])
def test_nothing_starts_beside_a_cell_that_runs_alone_nor_before_it(three_cores, monkeypatch, running, queue, wanted):
    grid, started = run.Grid(3, [], ["alone"]), []
    grid.running = [run.Running({running: None}, None, None)] * bool(running)

    def start(unit):
        if unit == ("locked",):
            return unit
        started.append(*unit)
        grid.running.append(run.Running(dict.fromkeys(unit), None, grid.slots.pop()))
        return ()

    monkeypatch.setattr(grid, "_start", start)
    assert grid._start_some([(cell,) for cell in queue]) == [(cell,) for cell in queue if cell not in wanted]
    assert started == wanted


def test_linear_classifiers_that_see_the_same_batches_share_a_process(three_cores):
    alike = [cell(*words) for words in ([], ["--lr", "1"], ["--optimizer", "adam"], ["--optimizer", "lars"],
                                        ["--weight-decay", "0", "--scheduler", "linear"])]
    other = [cell(*words) for words in (["--seed", "1"], ["--batch-size", "64"], ["--label-smoothing", "0.1"],
                                        ["--label-ratio", "0.5"], ["--optimizer", "lbfgs"], ["--compile"])]
    other += [cell(source="B"), cell(model_type="Supervised"), cell(model_type="Supervised", source=None)]
    cells = [*alike, *other]
    one_by_one = [(found,) for found in other]
    assert choice.side_by_side(cells, 1, []) == [tuple(alike), *one_by_one]
    assert choice.side_by_side(cells, len(other), []) == [tuple(alike), *one_by_one]
    assert choice.side_by_side(alike, 2, []) == [tuple(alike[::2]), tuple(alike[1::2])]
    assert choice.side_by_side(alike, 9, []) == [(found,) for found in alike]
    halves = [tuple(alike[1::2]), tuple(alike[2::2])]
    assert choice.side_by_side(alike, 2, [alike[0], "its source"]) == [(alike[0],), *halves]
    many = [cell("--lr", str(number)) for number in range(1, choice.MOST_TOGETHER + 2)]
    assert sorted(map(len, choice.side_by_side(many, 1, []))) == [16, 17]
