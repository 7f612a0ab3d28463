"""Lists of pictures that somebody wrote: which files are lists, and which column holds what."""

import csv
import os
import unicodedata

LISTS = {".txt": None, ".csv": ",", ".tsv": "\t"}  # ending of a list: its delimiter
FILE_TITLES = "file", "path", "filename", "image"  # of the column of names, the first that is there
BEGINNING = 65536  # bytes of a list that tell whether it is one
AS_TEXT = {"encoding": "utf-8-sig", "errors": "surrogateescape"}  # names may be no UTF-8


def is_list(name):
    """Whether a name is that of a list of pictures."""
    return os.path.splitext(name)[1].lower() in LISTS and not os.path.isdir(name)


def delimiter_of(path):
    """What parts the columns of a list, by its ending; None where it has none. Of a .csv whose first row
    names its columns a semicolon can: spreadsheets write it where a comma is the decimal point."""
    found = LISTS.get(os.path.splitext(path)[1].lower(), ",")
    if found == ",":
        with open_list(path) as file:
            titles = file.readline()
        named = column_of(titles.replace('"', "").split(";"), FILE_TITLES) is not None
        if ";" in titles and "," not in titles and named:
            return ";"
    return found


def check_list(path):
    """Raises: ValueError for a list that cannot be read or is no text."""
    try:
        with open(path, "rb") as file:
            if b"\0" not in file.read(BEGINNING):
                return
    except OSError as error:
        raise ValueError(f"{path}: the list cannot be read ({error.strerror})") from error
    raise ValueError(f"{path}: not a list of pictures in UTF-8 text: it holds zero bytes; save it "
                     "as UTF-8, or give a picture another ending")


def unnamed(name):
    """Why no file can have a name, or a list cannot mean one, in words; "" where there is no reason."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return "this locale has no such signs: set PYTHONUTF8=1"
    if any("\udc80" <= sign <= "\udcff" for sign in name):
        return "no such file, and the name is no UTF-8: save the list as UTF-8"
    return ""


def open_list(path, lines=False):
    """A list opened as text. Args: lines: whether it has a name a line, else columns."""
    return open(path, newline="\n" if lines else "", **AS_TEXT)


def rows_of(path, file):
    """Yield (line number of its beginning, row) of an open list with columns.

    Raises: ValueError, also for a quote that is not closed in its cell: the rows behind it would be
    part of that.
    """
    reader, line = csv.reader(file, delimiter=delimiter_of(path) or ",", strict=True), 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(_quotes(path, line, error)) from error


def check_alone(path, line, row, column, is_file):
    """Raises: ValueError for a row in which a quote that is closed some rows below has made these a part
    of a cell: they have names of files in the same column.

    Args: column: of the names. is_file: name -> whether there is such a file.
    """
    if not any("\n" in cell for cell in row):
        return
    delimiter = delimiter_of(path) or ","
    lines = delimiter.join(row).split("\n")[1:]
    for cells in (text.split(delimiter) for text in lines):
        if column < len(cells) > 1 and cells[column] and is_file(cells[column]):
            raise ValueError(_quotes(path, line, "its quote is closed some rows below"))


def _quotes(path, line, reason):
    return f"{path}, line {line}: a cell that cannot be read ({reason}); correct its quotes"


def spelled(path):
    """The file at a path, or the one of that name in another form of Unicode, or with the backslashes of
    Windows for slashes; None where there is none."""
    paths = (path, os.path.normpath(path.replace("\\", os.sep))) if "\\" in path else (path,)
    forms = (form for path in paths for form in (path, *(unicodedata.normalize(name, path) for name in ("NFC", "NFD"))))
    return next(filter(os.path.lexists, forms), None)


def column_of(titles, names):
    """Which column is called by one of some names, None for none. Args: titles: its first row."""
    titles = [title.strip().lower() for title in titles]
    return next((titles.index(name) for name in names if name in titles), None)
