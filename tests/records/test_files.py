"""Files that are written whole or not at all."""

import errno
import os

import pytest

from records.files import whole


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_the_one_before_stays_until_the_new_one_is_complete(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(type(error)), whole(path) as file:
        file.write("half")
        file.flush()
        assert path.read_text() == "before"
        raise error
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    with whole(path) as file:
        file.write("after")
    assert path.read_text() == "after" and list(tmp_path.iterdir()) == [path]


def test_of_two_that_write_it_at_once_the_last_to_begin_goes_on(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match="a.txt: another process writes it, too"), whole(path) as one:
        one.write("one " * 9)
        with whole(path) as other:
            one.flush()
            other.write("other")
        one.write("one")
    assert path.read_text() == "other" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_no_part_of_the_next(tmp_path):
    (tmp_path / "a.txt.partial").write_text("left by a writer that was killed")
    with whole(tmp_path / "a.txt") as file:
        file.write("new")
    assert (tmp_path / "a.txt").read_text() == "new" and list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left on device: '.*a.txt'$"), whole(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
