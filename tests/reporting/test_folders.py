"""Which folder a report reads."""

import report
from tests.csv_runs import NAME, epoch, write_run


def test_no_folder_is_one_line_and_status_1(tmp_path, capsys):
    assert report.main(["--res", str(tmp_path / "none")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_the_output_dir_of_runs_will_do(tmp_path):
    write_run(tmp_path / "res", NAME, [epoch(0.5, 0.5)])
    assert report.main(["--res", str(tmp_path)]) == 0
    assert (tmp_path / "res/report/results.md").is_file()
