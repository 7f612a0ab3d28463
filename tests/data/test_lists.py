"""Lists that people wrote: no row is lost to a quote that is not closed, no name to a locale."""

import pytest

from data import lists
from data.pictures import decoded, pictures
from data.split_file import read_split

ROWS = ["a.png,cat,{}", "b.png,cat,ok", "c.png,dog,{}", "d.png,dog,ok"]


def written(path, *notes, header="file,label,note"):
    notes = iter(notes)
    path.write_text("\n".join([header, *(row.format(next(notes)) if "{" in row else row for row in ROWS)]) + "\n")
    for name in "abcd":
        path.with_name(f"{name}.png").touch()
    return path


@pytest.mark.parametrize("notes", [('"blurry', "ok"), ('"by Bob', '"by Ann'), ('"one', 'two"'), ('"one', '"two"'),
                                   ("ok", '"blurry'), ('"a" b', "ok")])
def test_a_quote_that_is_not_closed_takes_no_rows_in(tmp_path, notes):
    """Of a column that is ignored, too."""
    path = written(tmp_path / "mine.csv", *notes)
    line = 2 if notes[0] != "ok" else 4
    for read in (lambda: read_split(path, tmp_path), lambda: list(pictures([str(path)]))):
        with pytest.raises(ValueError, match=f"mine.csv, line {line}: a cell that cannot .*; correct its quotes$"):
            read()


@pytest.mark.parametrize("header, rows", [
    ("file,note,label", ['a.png,"by Bob,cat', 'b.png,Ann",dog', "c.png,ok,cat"]),
    ("note,file,label", ['"by Bob,a.png,cat', 'Ann",b.png,dog', "ok,c.png,cat"]),
    ("file,note,label,part", ['a.png,"by Bob,cat,train', 'b.png,Ann",dog,test', "c.png,ok,cat,train"])])
def test_a_quote_that_the_next_row_closes(tmp_path, header, rows):
    """As many cells as there should be, of two rows."""
    path = written(tmp_path / "mine.csv", "ok", "ok")
    path.write_text("\n".join([header, *rows]) + "\n")
    for read in (lambda: read_split(path, tmp_path), lambda: list(pictures([str(path)]))):
        with pytest.raises(ValueError, match="mine.csv, line 2: a cell that cannot be read .its quote"):
            read()


def test_files_of_another_form_of_unicode(tmp_path):
    """A folder from a Mac (NFD) and a list from elsewhere (NFC), or the other way round."""
    for listed, there in (("b\u00e4r.png", "ba\u0308r.png"), ("ru\u0308ssel.png", "r\u00fcssel.png")):
        path = written(tmp_path / "mine.csv", "ok", "ok")
        path.write_text(path.read_text().replace("a.png", listed), encoding="utf-8")
        (tmp_path / there).touch()
        assert str(tmp_path / there) in read_split(path, tmp_path).files
        assert next(pictures([str(path)])) == (listed, str(tmp_path / there))


def test_lists_that_windows_and_its_spreadsheets_wrote(tmp_path):
    """Backslashes between folders, semicolons between columns, a mark of the encoding, CRLF."""
    (tmp_path / "pictures").mkdir()
    written(tmp_path / "pictures" / "mine.csv", "ok", "ok")
    rows = [f"..\\pictures\\{row.replace(',', ';').format('a, b')}" for row in ROWS]
    text = "\r\n".join(["File;Label;Note", *rows, ""])
    path = tmp_path / "pictures" / "mine.csv"
    for text in (text, text.replace("File;Label", '"File";"Label"')):
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        found = read_split(path, tmp_path)
        assert found.files == tuple(str(path.with_name(f"{name}.png")) for name in "abcd")
        assert found.labels == ("cat", "cat", "dog", "dog")
        assert [place for _, place in pictures([str(path)])] == list(found.files)


def test_what_looks_like_windows_and_is_not(tmp_path):
    """A file with a backslash in its name, a first row that is a name with a semicolon."""
    for name in ("a\\b.png", "a;file.png"):
        (tmp_path / name).touch()
        (tmp_path / "mine.csv").write_text(f"{name}\n")
        assert list(pictures([str(tmp_path / "mine.csv")])) == [(name, str(tmp_path / name))]


def test_a_list_that_is_no_utf_8_says_so(tmp_path):
    path = written(tmp_path / "mine.csv", "ok", "ok")
    (tmp_path / "b\u00e4r.png").touch()
    path.write_bytes(path.read_text().replace("a.png", "b\u00e4r.png").encode("latin-1"))
    with pytest.raises(ValueError, match="mine.csv, line 2: .*: no such file, and the name is no UTF-8: save the list"):
        read_split(path, tmp_path)
    broken = next(decoded(pictures([str(path)]), 8))
    assert broken.image is None and "save the list as UTF-8" in broken.reason


@pytest.mark.parametrize("notes", [('"A dog\nbig, brown, old"', "ok"), ('"two\nlines"', "ok"),
                                   ('"say ""hi"""', 'a 5" nail'), ('"one, two"', "o'clock")])
def test_quotes_that_are_closed(tmp_path, notes):
    path = written(tmp_path / "mine.csv", *notes)
    assert read_split(path, tmp_path).labels == ("cat", "cat", "dog", "dog")
    assert [name for name, _ in pictures([str(path)])] == ["a.png", "b.png", "c.png", "d.png"]


def test_a_name_that_the_locale_cannot_write(tmp_path, monkeypatch):
    """The file is there, and would be missed."""
    def encode(name):
        return name.encode("ascii")

    path = written(tmp_path / "mine.csv", "ok", "ok")
    path.write_text(path.read_text().replace("a.png", "ä.png"), encoding="utf-8")
    monkeypatch.setattr(lists.os, "fsencode", encode)
    with pytest.raises(ValueError, match="mine.csv, line 2: cannot look for ä.png: .* set PYTHONUTF8=1$"):
        read_split(path, tmp_path)
