"""What a run is: two identities are equal, have one name and no differences, or none of these."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from records.runs import Identity, differences, identity_of, readable_name, run_name

SETTINGS = {"model_type": "Supervised", "data": "digits", "lr": 0.1, "optimizer": "sgd", "batch_size": 8,
            "epochs": 3, "weight_decay": 0.0, "mean": [0.5, 0.5, 0.5], "label_ratio": 1.0, "seed": 0}
DATA = {"images": "a", "train": "b", "val": "c", "test": "d"}
RUN = {"settings": {"data": "stl10", "sample_ratio": 0.3}, "data": {}, "weights": None}
WEIGHTS = {"digest": "e", "from": "run", "run": RUN}
ONE = Identity(SETTINGS, DATA, WEIGHTS)

VALUE = st.sampled_from((0, 0.0, 1, 1.0, 0.1, True, None, "sgd", "0.1"))
IDENTITY = st.builds(
    Identity, st.fixed_dictionaries({name: VALUE for name in ("epochs", "lr", "amp")}).map(lambda given: {
        **SETTINGS, **given, "lr": 0.5 if given["lr"] in (None, "sgd", "0.1") else float(given["lr"])}),
    st.fixed_dictionaries({"train": st.sampled_from("ab"), "test": st.sampled_from("ab")}),
    st.none() | st.builds(lambda digest: {**WEIGHTS, "digest": digest}, st.sampled_from("ab")))


@given(IDENTITY, IDENTITY)
def test_equal_runs_have_one_name_and_others_another(one, other):
    """As JSON tells them apart: 1 is not 1.0, nor True."""
    same = json.dumps(one.plain(), sort_keys=True) == json.dumps(other.plain(), sort_keys=True)
    assert (run_name(one, SETTINGS) == run_name(other, SETTINGS)) == same
    if one.data == other.data and one.weights == other.weights and one.settings != other.settings:
        assert differences(one, other)
    assert differences(one, one) == []


def test_a_name_is_for_people():
    assert readable_name(ONE, SETTINGS) == "digits-sgd-lr0.1-bs8-fromstl10-ratio0.3"
    more = ONE._replace(settings={**SETTINGS, "label_ratio": 0.25, "seed": 7, "weight_decay": 1e-4, "compile": True})
    assert readable_name(more, SETTINGS) == ("digits-sgd-lr0.1-bs8-fromstl10-ratio0.3-labels0.25-seed7"
                                             "-weightdecay0.0001-compile")
    plain = ONE._replace(weights=None)
    assert run_name(plain, SETTINGS) == f"digits-sgd-lr0.1-bs8-{plain.digest}" and len(plain.digest) == 8


def test_a_name_ends_somewhere():
    long = ONE._replace(settings={**SETTINGS, **{f"flag{k}" * 3: k for k in range(40)}})
    assert len(run_name(long, SETTINGS)) < 110


@pytest.mark.parametrize("before, now, said", [
    (ONE, ONE._replace(settings={**SETTINGS, "weight_decay": 1e-4}), ["--weight-decay was 0.0 and is 0.0001"]),
    (ONE, ONE._replace(settings={name: SETTINGS[name] for name in SETTINGS if name != "mean"}),
     ["--mean was [0.5, 0.5, 0.5] and is not used"]),
    (ONE, ONE._replace(data={**DATA, "val": "x", "test": "y"}), ["images or labels have changed (of val, test)"]),
    (ONE, ONE._replace(weights={**WEIGHTS, "digest": "x"}), ["it began with other weights than these"]),
    (ONE, ONE._replace(weights=None), ["it began with other weights than these"]),
])
def test_differences_are_listed(before, now, said):
    assert differences(before, now) == said


def test_whoever_made_them_equal_weights_are_the_same_run():
    other = ONE._replace(weights={"digest": "e", "from": "file", "run": None})
    assert other.digest == ONE.digest and differences(ONE, other) == []


def test_an_identity_comes_back_from_yaml():
    with_tuple = ONE._replace(settings={**SETTINGS, "mean": (0.5, 0.5, 0.5)})
    found = identity_of(yaml.safe_load(yaml.safe_dump({**with_tuple.plain(), "commit": "x"})))
    assert found == ONE and found.digest == with_tuple.digest


@pytest.mark.parametrize("record", [None, [], "x", {}, {"settings": {}}, {"settings": 1, "data": {}, "weights": None},
                                    {"settings": {}, "data": {}, "weights": {"from": "run"}}])
def test_what_is_no_identity(record):
    assert identity_of(record) is None
