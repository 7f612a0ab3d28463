"""What report.py says in words: by whom, by how much, how sure; and what it does not say."""

import re

import numpy as np
import pytest
import yaml

import report
from records.results import read_results
from reporting.comparison import compare
from tests.csv_runs import behind, epoch, made_from, write_predicted, write_run
from tests.reporting.trained import IMAGES, LINEAR, SCRATCH, TUNED, said, train

def test_a_clear_difference_is_said_with_its_size_and_certainty(tmp_path):
    train(tmp_path, SCRATCH, 0.0)
    train(tmp_path, LINEAR, 0.6)
    words, text = said(tmp_path)
    assert f"Of the same {IMAGES} test images \"Self-supervised pre-training, linear\" recognised most" in words
    assert "(mean of 3 trainings)" in words and "no difference was shown" not in words
    points, low, high = map(float, re.search(
        r"better by ([\d.]+) percentage points \(95 % interval: ([\d.]+) to ([\d.]+)[;)]", words).groups())
    assert 0 < low < points < high
    found, = compare(read_results(tmp_path))
    accuracies = [method.result.test.mean for method in found.methods]
    assert points == pytest.approx(100 * (accuracies[0] - accuracies[1]), abs=0.06)
    assert "| shown " in text and "| one pre-training " in text


def test_equal_methods_are_not_told_apart(tmp_path):
    train(tmp_path, SCRATCH, 0.2)
    train(tmp_path, LINEAR, 0.2)
    words, text = said(tmp_path)
    assert "no difference was shown" in words and "better by" not in words and "worse by" not in words
    assert re.search(r"points (ahead|behind); 95 % interval: [\d.]+ points behind to [\d.]+ points ahead", words)
    assert "| not shown " in text


def test_a_method_worse_than_from_scratch_is_said_to_be(tmp_path):
    train(tmp_path, SCRATCH, 0.8)
    train(tmp_path, LINEAR, 0.0)
    words, _ = said(tmp_path)
    assert '"Supervised from scratch" recognised most' in words
    assert '- "Self-supervised pre-training, linear": worse by' in words and "better" not in words


@pytest.mark.parametrize("settings, why", [([0.1], "diverged (1 of 3)"), ([0.1, 0.2], "2 settings, all diverged")])
def test_a_method_whose_runs_diverged_is_named(tmp_path, settings, why, capsys):
    train(tmp_path, SCRATCH, 0.0)
    train(tmp_path, LINEAR, 0.6)
    for lr in settings:
        name = TUNED.replace("lr0.1", f"lr{lr}")
        path = train(tmp_path, name, 0.9)
        write_run(tmp_path, path.stem, [epoch(0.5, 0.5, train_loss=float("nan"))],
                  made=made_from(path.stem, weights=behind(), stem="3x3"))
    words, _ = said(tmp_path)
    assert f'Left out: "Self-supervised pre-training, fine-tuned" ({why}).' in words
    assert report.main(["--res", str(tmp_path)]) == 0
    assert f"cifar100: Self-supervised pre-training, fine-tuned has no best setting: {why}" in capsys.readouterr().err


def test_one_training_speaks_of_networks(tmp_path):
    train(tmp_path, SCRATCH, 0.0, seeds=1)
    train(tmp_path, LINEAR, 0.6, seeds=3)
    words, text = said(tmp_path)
    assert 'only one training of "Supervised from scratch"' in words and "not for the methods" in words
    assert "| these networks " in text
    train(tmp_path, SCRATCH, 0.0, seeds=3)
    assert "only one training" not in said(tmp_path)[0]


def test_seeds_that_vary_hide_a_difference_that_one_seed_shows(tmp_path):
    for folder, seeds in (("one", 1), ("three", 3)):
        train(tmp_path / folder, SCRATCH, 0.0, seeds=seeds, spread=0.5)
        train(tmp_path / folder, LINEAR, 0.4, seeds=seeds, spread=0.5)
    pairs = [compare(read_results(tmp_path / folder))[0].pairs[0] for folder in ("one", "three")]
    assert pairs[1].found.high - pairs[1].found.low > 2 * (pairs[0].found.high - pairs[0].found.low)
    assert pairs[1].found.mcnemar < 0.05 and not pairs[1].shown


def test_one_pretraining_behind_all_is_named(tmp_path):
    train(tmp_path, SCRATCH, 0.0)
    train(tmp_path, LINEAR, 0.6)
    words, text = said(tmp_path)
    assert "start from one pre-training" in words and "; of one pre-training alone)" in words
    assert "| one pre-training " in text


def test_from_scratch_with_another_stem_is_held_against_networks_that_start_from_weights(tmp_path):
    """The same network as theirs; what it takes and what is worth labels is said of the better one alone."""
    for stem, level in (("3x3", 0.6), ("7x7", 0.0)):
        train(tmp_path, SCRATCH, level, stem=stem)
    train(tmp_path, LINEAR, 0.3)
    train(tmp_path, TUNED, 0.9, spread=0.1)
    words, _ = said(tmp_path)
    pair, = [pair for pair in compare(read_results(tmp_path))[0].pairs if pair.one.model_type.endswith("Finetune")
             and pair.other.result.setting.told("stem") == "7x7"]
    assert words.count(f"by {100 * pair.found.value:.1f} percentage points") == 1, "once"
    first, other = words.index('Against "Supervised from scratch", which'), words.index(
        '"Supervised from scratch, 7x7 stem" recognised')
    sentence = words[other:].split("\n")[0]
    assert first < other and "Against that, \"Self-supervised pre-training, fine-tuned\" is better by" in sentence
    assert "linear" not in sentence and "A training took" not in sentence


def test_missing_predictions_leave_a_method_out_and_say_so(tmp_path):
    train(tmp_path, SCRATCH, 0.0, keep=False)
    train(tmp_path, LINEAR, 0.6, keep=False)
    words, text = said(tmp_path)
    assert "The methods were not compared" in words and "no predictions were kept" in words and "better" not in words
    assert "Pair by pair" not in text and "How to read" not in text
    train(tmp_path, TUNED, 0.7)
    assert "No two methods can be compared" in said(tmp_path)[0]
    train(tmp_path, SCRATCH, 0.0)
    words, _ = said(tmp_path)
    assert 'Left out: "Self-supervised pre-training, linear" (no predictions were kept;' in words
    assert "better by" in words


def test_one_run_without_predictions_leaves_its_method_out(tmp_path):
    train(tmp_path, SCRATCH, 0.0)
    train(tmp_path, LINEAR, 0.6)
    next(tmp_path.glob("SelfSupervised*-seed1.predictions.npy")).unlink()
    assert "Left out" in said(tmp_path)[0] and compare(read_results(tmp_path))[0].pairs == []


def test_predictions_of_another_epoch_do_not_count(tmp_path):
    train(tmp_path, SCRATCH, 0.0)
    path = train(tmp_path, LINEAR, 0.6)
    kept = path.with_suffix(".predictions.npy")
    whole = kept.read_bytes()
    write_predicted(path, made_from(path.stem, weights=behind()), np.arange(IMAGES) < 7)
    assert "not of the epoch that validation chose" in said(tmp_path)[0]
    kept.write_bytes(whole[:-9])
    assert "damaged" in said(tmp_path)[0]


def test_other_test_images_are_another_task(tmp_path):
    """Two splits of one folder: a method is not chosen by the easier validation part of one of them."""
    for name, level in ((SCRATCH, 0.0), (LINEAR, 0.6)):
        train(tmp_path, name, level, val=0.2, data="hard")
        train(tmp_path, name, level - 2, val=0.9, data="easy", image_size=16)
    found = compare(read_results(tmp_path))
    assert [comparison.task for comparison in found] == [("cifar100", 1, "testeasy"), ("cifar100", 1, "testhard")]
    assert [len(comparison.pairs) for comparison in found] == [1, 1]
    assert "**cifar100, test images testhard.** Of the same 600 test images" in said(tmp_path)[0]


def test_other_test_images_are_apart_by_label_ratio_and_have_no_common_best(tmp_path, capsys):
    for data, level in (("hard", 0.0), ("easy", 1.0)):
        for labels in (0.1, 1.0):
            train(tmp_path / "res", SCRATCH, level, labels=labels, data=data, image_size=32 if data == "easy" else 16)
    res = ["--res", str(tmp_path / "res"), "--out", str(tmp_path)]
    assert report.main(res) == 0
    text = capsys.readouterr().out
    for data in ("easy", "hard"):
        assert text.count(f"## cifar100, test images test{data}, by label ratio") == 1
    best = tmp_path / "best.yaml"
    assert report.main([*res, "--best", str(best)]) == 1 and not best.exists()
    assert "cifar100: its runs have several test parts" in capsys.readouterr().err


def test_the_same_pictures_at_another_size_are_one_task(tmp_path):
    for name, level, data in ((SCRATCH, 0.0, "small"), (LINEAR, 0.6, "large")):
        path = train(tmp_path, name, level, seeds=1, data=data)
        made = yaml.safe_load(path.with_suffix(".yml").read_text())
        path.with_suffix(".yml").write_text(yaml.safe_dump({**made, "test_files": "the same"}))
    comparison, = compare(read_results(tmp_path))
    assert comparison.task == ("cifar100", 1, "") and len(comparison.pairs) == 1


def test_a_classifier_that_is_solved_is_one_network_whatever_its_seeds(tmp_path):
    """Three copies of it would pass for a method that never varies."""
    train(tmp_path, SCRATCH, 0.0)
    train(tmp_path, LINEAR, 0.6, optimizer="lbfgs", spread=0)
    comparison, = compare(read_results(tmp_path))
    solved = next(method for method in comparison.methods if method.model_type != "Supervised")
    assert solved.sample.trainings == 3 and len(solved.sample.shares) == 1 and not comparison.pairs[0].found.seeds
    assert solved.result.seeds == 1 and solved.result.test.std is None
    words, _ = said(tmp_path)
    assert "With all labels the solver of" in words and "ends at the same classifier" in words
    assert "only one training" not in words, "to train it again would change nothing"
    train(tmp_path / "few", SCRATCH, 0.0, seeds=1)
    train(tmp_path / "few", LINEAR, 0.6, optimizer="lbfgs", spread=0)
    assert 'only one training of "Supervised from scratch":' in said(tmp_path / "few")[0]
    for labels in (0.1, 1):
        train(tmp_path, LINEAR, 0.6, labels=labels, optimizer="lbfgs", feature_views=int(labels))
    assert [len(method.sample.shares) for comparison in compare(read_results(tmp_path))
            for method in comparison.methods if method.result.setting.told("feature_views")] == [3, 3]


def test_pairs_are_corrected_for_their_number(tmp_path):
    for level, name in ((0.0, SCRATCH), (0.3, LINEAR), (0.6, TUNED)):
        train(tmp_path, name, level)
    pairs = compare(read_results(tmp_path))[0].pairs
    assert len(pairs) == 3 and all(pair.p >= pair.found.p for pair in pairs)
    assert min(pair.p for pair in pairs) == pytest.approx(3 * min(pair.found.p for pair in pairs))


def test_labels_are_counted_against_the_curve_of_from_scratch(tmp_path):
    for labels, level in ((0.1, -0.5), (0.5, 0.0), (1.0, 0.5)):
        train(tmp_path, SCRATCH, level, labels=labels)
    train(tmp_path, LINEAR, 0.0, labels=0.1)
    train(tmp_path, LINEAR, 1.5)
    found = {each.task.labels: each for each in compare(read_results(tmp_path))}
    worth, = (method.worth for method in found[0.1].methods if method.worth)
    assert worth.factor == pytest.approx(5, rel=0.2) and worth.low < 5 < worth.high
    words, _ = said(tmp_path)
    assert re.search(r"From scratch would need [45]\.?\d? times the labels for that "
                     r"\(95 % interval: [\d.]+ to [\d.]+; interpolated between 1 and 5 times\)", words)
    assert "beyond what was measured: there is no training from scratch with more" in words


def test_two_stems_from_scratch_are_two_methods(tmp_path):
    """The better one is compared with; both are there, so that the same network can be compared, too."""
    for labels, level in ((0.1, -0.5), (1.0, 0.5)):
        train(tmp_path, SCRATCH, level, labels=labels)
        train(tmp_path, SCRATCH, level - 0.3, labels=labels, stem="7x7")
    train(tmp_path, LINEAR, 0.0, labels=0.1)
    words, text = said(tmp_path)
    assert 'Against "Supervised from scratch", which' in words
    assert '- "Supervised from scratch, 7x7 stem": worse by' in words
    for one, other in (("", ", 7x7 stem"), (", 7x7 stem", "")):
        assert re.search(rf"\| Supervised from scratch{one} +\| (?!Supervised from scratch{other} )", text)
    curves = [each for each in compare(read_results(tmp_path)) if each.task.labels == 0.1][0]
    worth, = (method.worth for method in curves.methods if method.worth)
    assert worth.factor < 10 ** 0.5 + 0.3  # halfway on the curve of the better stem, not beyond that


def test_the_stem_to_compare_with_is_chosen_on_validation(tmp_path):
    train(tmp_path, SCRATCH, 0.3, val=0.9)
    train(tmp_path, SCRATCH, 0.6, val=0.8, stem="7x7")
    train(tmp_path, LINEAR, 0.9)
    words, _ = said(tmp_path)
    assert 'Against "Supervised from scratch", which' in words
    assert '- "Supervised from scratch, 7x7 stem": better by' in words
    assert 'It is better than "Supervised from scratch, 7x7 stem" by' in words


def test_minutes_count_the_pretraining_whose_csv_is_there(tmp_path):
    weights = behind()
    train(tmp_path, SCRATCH, 0.0)
    train(tmp_path, LINEAR, 0.6, weights=weights)
    assert "a pre-training whose time is not recorded here" in said(tmp_path)[0]
    write_run(tmp_path, "pretrain_SelfSupervisedPretraining_imagenet-adam-lr0.001-bs64-ratio1",
              [{"loss": 1.0, "seconds": 90.0}] * 2, columns=("epoch", "loss", "seconds"), made=weights["run"])
    words, _ = said(tmp_path)
    assert "A training took 1.0 min after 3.0 min of pre-training." in words and "took 1.0 min a training" in words


def test_the_report_begins_with_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("reporting.figures.save", lambda *_: [])
    train(tmp_path / "res", SCRATCH, 0.0)
    train(tmp_path / "res", LINEAR, 0.6)
    assert report.main(["--res", str(tmp_path / "res")]) == 0
    printed, written = capsys.readouterr().out, (tmp_path / "res/report/results.md").read_text()
    for text in (printed, written):
        assert text.index("## In words") < text.index("better by") < text.index("## cifar100")
