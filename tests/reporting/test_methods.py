"""What counts as a method of its own, what as a setting or another seed of one."""

import pytest

from records.results import read_results
from reporting.comparison import compare
from reporting.style import methods
from reporting.tables import best_cell, method_name
from tests.csv_runs import behind, epoch, made_from, write_run
from tests.reporting.test_answer import LINEAR, SCRATCH, train

VICREG = behind(model_type="VICReg")
FILES = [{"digest": f"{digest} of a file", "from": "file", "run": None} for digest in ("dino", "moco")]


@pytest.mark.parametrize("weights, name", [(VICREG, "Self-supervised pre-training (VICReg), linear"),
                                           (FILES[0], "Self-supervised pre-training (weights dino of ), linear")])
def test_other_weights_than_the_usual_make_another_method(tmp_path, weights, name):
    """Neither takes part in the choice among the settings of the other."""
    train(tmp_path, LINEAR, 0.6)
    train(tmp_path, LINEAR, 0.5, weights=weights, epochs=2)
    found = compare(read_results(tmp_path))[0]
    assert [method_name([method.result]) for method in found.methods] == [
        "Self-supervised pre-training, linear", name]


def test_two_files_of_weights_are_two_methods(tmp_path):
    for number, weights in enumerate(FILES):
        write_run(tmp_path, str(number), [epoch(0.5, 0.5)], made=made_from(LINEAR, weights))
    assert len(methods(read_results(tmp_path))) == 2


@pytest.mark.parametrize("seeds, wanted", [((3, 3), "(2 x 3)"), ((3, 1), "(4 on 2)"), ((1, 1), "(2 x 1)"), ((3,), "(3)")])
def test_a_cell_says_how_many_networks_it_is_of(tmp_path, seeds, wanted):
    for before, count in enumerate(seeds):
        for seed in range(count):
            write_run(tmp_path, f"{before}{seed}", [epoch(0.5, 0.5)], made=made_from(LINEAR, behind(before), seed=seed))
    assert best_cell(read_results(tmp_path)).endswith(wanted)


def test_labels_are_counted_along_one_kind_of_training_from_scratch(tmp_path):
    """A better stem with all labels alone would make the labels of the other one look worth more."""
    for labels, level in ((0.1, -0.5), (1.0, 0.5)):
        train(tmp_path, SCRATCH, level, labels=labels, stem="7x7")
    train(tmp_path, LINEAR, 0.0, labels=0.1)
    worth = [method.worth for each in compare(read_results(tmp_path)) for method in each.methods if method.worth]
    train(tmp_path, SCRATCH, 1.5)
    again = [method.worth for each in compare(read_results(tmp_path)) for method in each.methods if method.worth]
    assert len(worth) == 1 and again == worth
