"""Which setting is a method's best: what is compared with what, and what does not count; on CSVs made here."""

import math

import pytest

from records.results import read_results
from records.selection import best_of, none_best, passed_over
from tests.csv_runs import NAME, behind, epoch, made_from, write_run

OTHER = NAME.replace("lr0.1", "lr0.2")
TUNED = "SelfSupervisedPretrainedFinetune_cifar100-sgd-lr0.1-bs128-ratio1"


@pytest.fixture
def res(tmp_path):
    return tmp_path / "res"


def best(res):
    found, = best_of(read_results(res)).values()
    return found


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_best_setting_ignores_the_test_set(res, order):
    names = NAME, OTHER
    write_run(res, names[order[0]], [epoch(0.7, 0.1)])
    write_run(res, names[order[1]], [epoch(0.6, 0.9)])
    assert best(res).test.mean == 0.1


@pytest.mark.parametrize("other, wanted", [(0.74, 0.1), (0.76, 0.2)])
def test_settings_are_compared_on_the_seeds_that_both_have(res, other, wanted):
    """Rates tried with one seed, the best of them then run with two more: means over other seeds are no comparison.
    A third setting of yet another seed changes nothing."""
    for seed, reached in (("", 0.75), ("-seed1", 0.70), ("-seed2", 0.71)):
        write_run(res, NAME + seed, [epoch(reached, 0.5)])
    write_run(res, OTHER, [epoch(other, 0.5)])
    write_run(res, NAME.replace("lr0.1", "lr0.003") + "-seed7", [epoch(0.335, 0.5)])
    assert best(res).setting.lr == wanted


def test_settings_are_compared_on_the_pretrainings_that_both_have(res):
    """The one that shines on the first pre-training alone does not do so beside the other's run on that."""
    for before, reached in ((0, 0.720), (1, 0.710), (2, 0.706)):
        write_run(res, f"{before}", [epoch(reached, 0.5)], made=made_from(TUNED, behind(before)))
    write_run(res, "other", [epoch(0.718, 0.5)], made=made_from(TUNED.replace("lr0.1", "lr0.3"), behind(0)))
    assert best(res).setting.lr == 0.1
    write_run(res, "other", [epoch(0.722, 0.5)], made=made_from(TUNED.replace("lr0.1", "lr0.3"), behind(0)))
    assert best(res).setting.lr == 0.3


@pytest.mark.parametrize("seeds, wanted", [((1,), 0.2), ((1, 2), 0.1)])
def test_without_a_common_seed_means_are_compared_unless_one_is_of_fewer_runs(res, seeds, wanted):
    write_run(res, OTHER, [epoch(0.8, 0.5)])
    for seed in seeds:
        write_run(res, f"{NAME}-seed{seed}", [epoch(0.7, 0.5)])
    assert best(res).setting.lr == wanted


def test_a_run_that_was_cut_off_does_not_count_against_its_setting(res):
    for seed, reached in ((0, 0.72), (1, 0.73)):
        write_run(res, f"{NAME}-seed{seed}", [epoch(reached, reached)] * 2, planned=2)
        write_run(res, f"{OTHER}-seed{seed}", [epoch(0.60, 0.60)] * 2, planned=2)
    write_run(res, f"{NAME}-seed2", [epoch(0.20, 0.20)], planned=2)
    write_run(res, f"{OTHER}-seed2", [epoch(0.60, 0.60)] * 2, planned=2)
    found = best(res)
    assert found.setting.lr == 0.1 and found.status == "unfinished (1 of 3)"
    assert found.test.mean == pytest.approx(0.725) and found.seeds == 2


def test_a_setting_of_which_a_run_diverged_is_passed_over_and_told(res):
    for seed in (0, 1):
        write_run(res, f"{NAME}-seed{seed}", [epoch(0.72, 0.72)])
        write_run(res, f"{OTHER}-seed{seed}", [epoch(0.60, 0.60)])
        write_run(res, f"{NAME.replace('lr0.1', 'lr0.4')}-seed{seed}", [epoch(0.50, 0.50)])
    for lr in ("0.1", "0.4"):
        write_run(res, NAME.replace("lr0.1", f"lr{lr}") + "-seed2", [epoch(0.5, 0.5, train_loss=math.nan)])
    results = read_results(res)
    assert best(res).setting.lr == 0.2
    assert [result.setting.lr for result in passed_over(results, best(res))] == [0.1]
    assert none_best([result for result in results if result.setting.lr == 0.1]) == "diverged (1 of 3)"
