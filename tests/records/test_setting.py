"""setting.py: what a run was made from, as its YAML says it; on YAML files made here."""

import copy

import pytest
import yaml

import utils
from records import results, setting
from tests.csv_runs import NAME, behind, epoch, made_from, write_run

LINEAR = "SupervisedPretrained_cifar100-sgd-lr0.1-bs128"


def identified(made, stem="any"):
    return setting.identify(stem, made)


def setting_of(made):
    return identified(made)[0]


def test_the_name_of_the_file_says_nothing():
    made = made_from(seed=3)
    assert identified(made, "pretrain_X_y-adam-lr9-bs9-ratio1") == identified(made, "notes")
    found, seed, before, *_ = identified(made)
    assert found[:9] == (False, "cifar100", 1.0, "Supervised", "sgd", 0.1, 128, None, None)
    assert (seed, before) == ("3", None)


def test_a_problem_solved_as_a_whole_has_neither_rate_nor_batches():
    found = setting_of(made_from(LINEAR, behind(), optimizer="lbfgs"))
    assert (found.optimizer, found.lr, found.batch_size) == ("lbfgs", None, None) and found != setting_of(
        made_from(LINEAR, behind()))


@pytest.mark.parametrize("name, value", [
    ("stem", "3x3"), ("label_smoothing", 0.1), ("weight_decay", 1e-3), ("epochs", 7), ("image_size", 64),
    ("val_seed", 1),
    ("lr", 0.10000000000001), ("batch_size", 64), ("label_ratio", 0.5), ("optimizer", "adam"), ("micro_batch_size", 8),
    ("mean", [0.1, 0.2, 0.3]), ("a_flag_to_come", True)])
def test_another_setting_is_another_row(name, value):
    assert setting_of(made_from(**{name: value})) != setting_of(made_from())


def test_automatic_precision_is_told_by_what_it_came_to():
    """Two machines are no two seeds of one setting where one of them has no bf16."""
    auto = made_from(amp="auto")
    low, high = ({**auto, "precision": precision} for precision in ("off", "bf16"))
    both = {**low, "resumed": [{"precision": "bf16"}]}
    assert setting_of(low) == setting_of(made_from(amp="off")) and setting_of(high) == setting_of(made_from(amp="bf16"))
    assert [setting_of(made).told("amp") for made in (auto, low, both)] == ["auto", "off", "off, then bf16"]
    assert setting_of({**made_from(amp="off"), "precision": "bf16"}).told("amp") == "off"


def test_seeds_are_no_settings():
    assert setting_of(made_from(seed=4)) == setting_of(made_from(seed=5))
    found = [identified(made_from(LINEAR, behind(seed))) for seed in (4, 5)]
    assert found[0][0] == found[1][0] and found[0][2] != found[1][2]


@pytest.mark.parametrize("other", [
    made_from(LINEAR, behind(epochs=9)), made_from(LINEAR, behind(images="others")),
    made_from(LINEAR, behind(data="stl10")),
    made_from(LINEAR, behind(sample_ratio=0.5)), made_from(LINEAR), made_from(LINEAR, behind(), data="another folder"),
    made_from(LINEAR, {"digest": "a", "from": "file", "run": None}),
    made_from(LINEAR, {"digest": "a", "from": "imagenet", "run": None}),
    made_from(LINEAR, {**behind(), "run": {**behind()["run"], "weights": behind()}})])
def test_other_images_or_weights_are_another_row(other):
    assert setting_of(other) != setting_of(made_from(LINEAR, behind()))


def test_another_split_is_another_row_and_another_share_of_labels_is_not():
    one, other, seed = (made_from() for _ in range(3))
    for made, train, val in ((one, "a", "b"), (other, "c", "d"), (seed, "e", "b")):
        made["data"].update(train=train, val=val)
    assert setting_of(one) == setting_of(seed) != setting_of(other)


def test_weights_from_files_are_told_by_their_digest_and_ours_are_not():
    files = [made_from(LINEAR, {"digest": digest, "from": "file", "run": None}) for digest in ("a", "b")]
    assert setting_of(files[0]) != setting_of(files[1])
    ours = [made_from(LINEAR, {**behind(), "digest": digest}) for digest in ("a", "b")]
    assert setting_of(ours[0]) == setting_of(ours[1])


def test_a_chain_of_runs_is_told_to_its_beginning():
    """Fine-tuned, of what was fine-tuned from a pre-training."""
    middle = made_from("SelfSupervisedPretrainedFinetune_stl10-sgd-lr0.1-bs64", behind(7, sample_ratio=0.25), seed=8)
    found, _, before, *_ = identified(made_from(LINEAR, {"digest": "x", "from": "run", "run": middle}))
    assert (found.ratio, found.source, before[:2]) == (0.25, "imagenet", ("8", "7"))
    assert (found.told("pre-training data"), found.told("pre-training pre-training epochs")) == ("stl10", "1")


def test_a_pretraining_keeps_its_own_ratio():
    found, seed, before, *_ = identified(made_from("pretrain_VICReg_stl10-adam-lr1-bs8-ratio0.5-seed2"))
    assert (found.pretraining, found.ratio, found.source, seed, before) == (True, 0.5, None, "2", None)


@pytest.mark.parametrize("flat, known", [({}, "name"), ({"stem": "7x7", "lr": 0.1, "seed": 1}, "flags")])
def test_runs_of_other_records_are_never_pooled_with_known_ones(flat, known):
    old, new = identified(flat, NAME), identified(made_from(), NAME)
    assert old[0].told("record") == known and old[0] != new[0]


def test_older_yaml_files_that_differ_are_apart_and_their_folders_count_for_nothing():
    one = {"stem": "7x7", "epochs": 3, "seed": 1, "output_dir": "a", "command": "x", "versions": {"torch": "1"}}
    assert setting.identify(NAME, one)[0] == setting.identify(NAME, {**one, "output_dir": "b", "seed": 2})[0]
    assert setting.identify(NAME, one)[0] != setting.identify(NAME, {**one, "stem": "3x3"})[0]


def test_what_is_no_setting_of_an_older_yaml_is_what_changes_no_number():
    told = [name for name, flag in utils.ARGUMENTS.items()
            if name not in ("csv_dir", "pretrained_model_path", "split", "unlabelled")]
    assert {name for name in told if name in setting.NO_SETTINGS} == {
        name for name in told if utils.ARGUMENTS[name].result is False}


def test_names_of_this_and_later_forms():
    plain, *_ = setting.parse_name("Supervised_cifar100-sgd-lr0.1-bs128-ratio0.1-seed3")
    later, seed, run = setting.parse_name("Supervised_cifar100-sgd-lr0.1-bs128-ratio0.1-seed3-epochs20-1a2b3c4d")
    assert later[:-1] == plain[:-1] and later != plain and seed == 3 and run.endswith("1a2b3c4d")


def holding_itself(made):
    made["weights"] = {"from": "run", "run": made}
    made["settings"]["loop"] = [made["settings"]]
    return made


def deep(made):
    bomb = ["lol"] * 9
    for _ in range(40):
        bomb = [bomb] * 9
    made["settings"]["bomb"] = bomb
    return made


def put(*path, value):
    """A function that puts a value where `path` leads in a YAML."""
    def change(made):
        part = made
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = value
        return made
    return change


STRANGE = [None, 7, "word", [], [1], {}, True, float("nan"), -1, 10 ** 5000, "x\n| <b>" * 50, {1: {2: 3}}]


@pytest.mark.parametrize("path", [
    ("settings", "lr"), ("settings", "data"), ("settings", "seed"), ("settings", "stem"), ("settings", "label_ratio"),
    ("settings", 3), ("settings",), ("data",), ("data", "images"), ("weights",), ("weights", "from"),
    ("weights", "run"),
    ("weights", "run", "settings"), ("weights", "run", "settings", "sample_ratio"), ("weights", "run", "weights"),
    ("duplicates",)])
@pytest.mark.parametrize("value", STRANGE, ids=lambda value: repr(value)[:12] if value != 10 ** 5000 else "huge")
def test_a_strange_yaml_is_one_line_or_less(tmp_path, capsys, path, value):
    """Never a traceback, and a row that can be hashed and shown."""
    made = put(*path, value=value)(copy.deepcopy(made_from(LINEAR, behind(), duplicates={"train/test": 1})))
    found = setting.identify(LINEAR, made)[0]
    assert hash(found) is not None and all(text.isprintable() and len(text) <= 60 for _, text in found.more)
    write_run(tmp_path, LINEAR, [epoch(0.5, 0.5)])
    if value != 10 ** 5000:  # which no YAML file is written with
        (tmp_path / f"{LINEAR}.yml").write_text(yaml.safe_dump(made))
    results.read_results(tmp_path)
    assert capsys.readouterr().err.count("\n") <= 1


@pytest.mark.parametrize("change", [holding_itself, deep])
def test_a_yaml_that_holds_itself_or_billions_is_read_in_no_time(change):
    assert hash(setting_of(change(copy.deepcopy(made_from(LINEAR))))) is not None


def test_runs_without_a_yaml_whose_names_end_with_a_digest_are_told(tmp_path, capsys):
    for name in (NAME, f"{NAME}-0a1b2c3d"):
        write_run(tmp_path, name, [epoch(0.5, 0.5)])
    results.read_runs(tmp_path)
    line, = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}/{NAME}-0a1b2c3d.csv: no YAML file beside it: known by its name alone")


def test_a_broken_yaml_is_said_in_one_line_and_its_run_is_known_by_its_name(tmp_path, capsys):
    made = made_from()
    del made["settings"]["lr"]
    write_run(tmp_path, NAME, [epoch(0.5, 0.5)], made=made)
    write_run(tmp_path, "notes", [epoch(0.5, 0.5)], made=made)
    run, = results.read_runs(tmp_path)
    assert run.setting.told("record") == "name"
    named, skipped = capsys.readouterr().err.splitlines()
    assert named.endswith(f"{NAME}.csv: its YAML file has no usable lr; known by its name alone")
    assert skipped.startswith(f"skipped {tmp_path}/notes.csv: its YAML file has no usable lr, and the name is not ")
