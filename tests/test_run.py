"""run.sh, with one epoch of everything."""

import subprocess

import pytest
import yaml

from tests.common import BASH, ROOT, environment, make_venv


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_the_demo_ends_with_a_table_of_all_methods(tmp_path, stubbed, real):
    """With programs that leave the files of runs, see stub.py; with the real ones in the soak."""
    make_venv(tmp_path / "venv")
    script = (ROOT if real else stubbed) / "run.sh"
    done = subprocess.run([BASH, str(script), "demo", "--epochs", "1", f"--output_dir={tmp_path}", "--seed", "3"],
                          capture_output=True, text=True, check=False, env=environment(VENV=str(tmp_path / "venv")))
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("res/pretrain_*-seed3-*.csv"))) == 2
    assert len(list(tmp_path.glob("res/*_digits-*-seed3-*.csv"))) == 8
    assert all(len(path.read_text().splitlines()) == 2 for path in tmp_path.glob("res/*.csv"))
    assert list(tmp_path.glob("res/report/*.png"))
    configs = [yaml.safe_load(path.read_text()) for path in tmp_path.glob("checkpoint/*/*/config.yml")]
    assert len(configs) == 8 and {config["flags"]["epochs"] for config in configs} == {1}
    started = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("checkpoint:")]
    for config in configs:
        if "Pretrained" in config["flags"]["model_type"]:
            assert config["flags"]["pretrained_model_path"] in started[:2]


@pytest.mark.parametrize("status, trained", [(3, 7), (1, 3)])
def test_after_a_run_that_diverges_come_the_others_and_the_report(tmp_path, stubbed, status, trained):
    """Anything else than divergence would go wrong with the others, too."""
    tuned = "*--model-type\\ SelfSupervisedPretrainedFinetune*"
    make_venv(tmp_path / "venv", f'case "$*" in {tuned}) exit {status} ;; esac; exec "$real" "$@"', unless="- | -*")
    done = subprocess.run([BASH, str(stubbed / "run.sh"), "demo", "--epochs", "1", "--output-dir", str(tmp_path)],
                          capture_output=True, text=True, check=False, env=environment(VENV=str(tmp_path / "venv")))
    assert done.returncode == status, done.stderr
    assert len(list(tmp_path.glob("res/*.csv"))) == trained
    assert ("# Results" in done.stdout) == (status == 3)


def test_what_is_finished_is_left_and_what_was_cut_off_goes_on(tmp_path, stubbed):
    """run.sh a second and a third time, after an interruption that this test makes."""
    make_venv(tmp_path / "venv", 'echo "started $*"; exec "$real" "$@"', unless="- | -*")

    def again():
        done = subprocess.run([BASH, str(stubbed / "run.sh"), "demo", "--epochs", "2", "--output-dir", str(tmp_path)],
                              capture_output=True, text=True, check=False, env=environment(VENV=str(tmp_path / "venv")))
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith("started ")], done.stdout

    assert len(again()[0]) == 9
    started, out = again()
    assert len(started) == 1 and out.count(": finished, left as it is") == 8
    cut, = tmp_path.glob("res/SelfSupervisedPretrained_*.csv")
    cut.write_text("".join(cut.read_text().splitlines(True)[:2]))
    started, out = again()
    assert len(started) == 2 and started[0].endswith("--resume") and "SelfSupervisedPretrained " in started[0]
