"""Values on a command line, messages in one line, and what run.sh takes."""

import subprocess
import sys

import pytest

import utils
from conf import global_settings as settings
from grid_search.all_methods import make_cells
from records.provenance import ROOT
from training.command_line import parse_pretrain, parse_train


def parsed(*words):
    return parse_train(["--model-type", "Supervised", *words])


@pytest.mark.parametrize("words", [["--mean", "-0.1,0,0"], ["--mean=-0.1,0,0"], ["--mean", "-.1,0,0"]])
def test_a_value_may_begin_with_a_minus(words):
    assert parsed(*words).mean == [-0.1, 0, 0]


@pytest.mark.parametrize("words",
                         [["--std", "1e-30,1,1"], ["--std", "1,1,1e9"], ["--mean", "1e5,0,0"], ["--mean", "-1e5,0,0"],
                                   ["--std", "-1,1,1"], ["--lr", "-1"], ["--mean", "-x"]])
def test_an_input_that_float32_cannot_show_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed(*words)
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err


def test_networks_that_take_0_to_255_or_minus_one_to_one_are_served():
    assert parsed("--std", f"{1 / 255},{1 / 255},{1 / 255}").std == [1 / 255] * 3
    assert parsed("--image-size", str(settings.IMAGE_SIZES[1])).image_size == settings.IMAGE_SIZES[1]


def test_a_message_is_one_line_whatever_is_in_it(capsys):
    def main(_):
        raise ValueError("a\nb\x1b[31m\u202ec\udcff é")
    assert utils.run(main, []) == 1
    assert capsys.readouterr().err == "error: a b\\x1b[31m\\u202ec\\udcff é\n"


@pytest.mark.parametrize("option", ["--model-type", "--model_type", "--data", "--pretrained-model-path", "--resume"])
def test_run_sh_says_itself_what_a_method_is(option):
    for words in ([option, "x"], [f"{option}=x"]):
        with pytest.raises(ValueError, match=f"run.sh sets {option.replace('_', '-')} itself, .*; use train.py"):
            make_cells("digits", words, ROOT)


@pytest.mark.parametrize("words", [["--help"], ["demo", "-h"], ["demo", "--epochs", "1", "--help"]])
def test_help_of_run_sh_runs_and_installs_nothing(words, tmp_path):
    done = subprocess.run(["bash", ROOT / "run.sh", *words],
                          env={"PATH": "/usr/bin:/bin", "VENV": str(tmp_path / "none")},
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "bash run.sh demo" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words, ratio", [([], 0.1), (["--data", "cifar10"], 1), (["--data", "folder"], 1),
                                          (["--data", "imagenet", "--sample-ratio", "0.3"], 0.3)])
def test_few_pictures_are_all_pretrained_on(words, ratio):
    assert parse_pretrain(words).sample_ratio == ratio


@pytest.mark.parametrize("program", ["pretrain", "train", "test", "predict", "export"])
def test_help_tells_a_default_once(program):
    done = subprocess.run([sys.executable, ROOT / f"{program}.py", "--help"], capture_output=True, text=True,
                          check=True)
    flags = " ".join(done.stdout.split()).split(" --")
    assert len(flags) > 5 and not any("default: None" in flag or flag.count("(default") > 1 for flag in flags)
