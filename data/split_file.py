"""The CSV that says which picture has which label and belongs to which part."""

import csv
import os
import re
from functools import partial
from typing import NamedTuple, Optional

from data.layout import said_part
from data.lists import (FILE_TITLES, check_alone, check_list, column_of, open_list, rows_of, spelled,
                        unnamed)
from records.files import whole, writing
from records.names import composed, printable, short

PARTS = "train", "val", "test"
SPELLINGS = {**{part: part for part in PARTS}, "training": "train", "testing": "test", "valid": "val",
             "validation": "val"}
SHORT_PARTS = "trn", "dev", "tst"  # as others call them
PART_TITLES = {"split", "datasplit", "subset", "partition", "usage", "trainingimage"}  # and all of SPELLINGS
# Of columns, with or without "id", that say which pictures belong together: a network that is tested on some may know
# them from others.
GROUP_TITLES = {"patient", "subject", "person", "participant", "individual", "animal", "specimen", "case", "study",
                "group", "session", "scene", "sequence", "series", "burst", "video", "clip", "camera", "site"}
HEADER = "file", "label", "part"


class Listed(NamedTuple):
    """Pictures in the order of their paths. files: absolute paths. labels: names of their classes.
    parts: of PARTS for each, None where they are still to be drawn. remark: a line of news, or ""."""

    files: tuple
    labels: tuple
    parts: Optional[tuple]
    remark: str = ""

    @property
    def is_whole(self):
        """Whether nothing is to be drawn."""
        return self.parts is not None and "val" in self.parts


def listed(files, labels, parts=None):
    """Listed of these, brought into the order of their paths."""
    order = sorted(range(len(files)), key=files.__getitem__)
    return Listed(*(found and tuple(found[k] for k in order) for found in (files, labels, parts)))


def read_split(path, root):
    """Read a CSV with the columns file (or path, filename, image), label and, on demand, part.

    A name is absolute, or counts from root or, where there is no such file, from the CSV's folder.
    Args: root: the folder of the data set. Returns: Listed.
    Raises: ValueError or FileNotFoundError, in one line, for whatever is wrong with it.
    """
    check_list(path)
    files, labels, parts, lines = [], [], [], {}
    with open_list(path) as table:
        rows = rows_of(path, table)
        titles = next(rows, (0, []))[1]
        columns, rows = _columns(path, titles), list(rows)
        if columns[2] is None:
            _check_titles(path, titles, columns, [row for _, row in rows])
        beside = os.path.dirname(path)
        is_file = partial(_found, root=root, beside=beside)
        for line, row in rows:
            check_alone(path, line, row, columns[0], is_file)
            if any(map(str.strip, row)):
                file, label, part = (row[k] if k is not None and k < len(row) else ""
                                     for k in columns)
                where = f"{printable(path)}, line {line}"
                files.append(_known(file, where, root, beside))
                labels.append(_label(label, where, file))
                parts.append(_part(part.strip(), where) if columns[2] is not None else None)
                before = lines.setdefault(files[-1], (line, parts[-1]))
                if before[0] != line:
                    _refuse_twice(where, file, *before, parts[-1])
    found = listed(files, labels, None if columns[2] is None else parts)
    _check(path, found)
    told = [row for _, row in rows if any(map(str.strip, row))]
    return found._replace(remark=_torn(printable(path), titles, columns, told, parts))


def label_of(cell):
    """The label in a cell, or in the name of a folder that is written into one."""
    return composed(cell.strip())


def write_split(path, found, root):
    """Write a Listed as CSV, whole or not at all; files below root count from there."""
    start = os.path.join(os.path.abspath(root), "")
    with writing(path.parent, path.name, "--store-dir"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(HEADER)
            table.writerows((name.removeprefix(start).replace(os.sep, "/"), label, part) for name, label, part in
                            zip(found.files, found.labels, found.parts))


def differing(one, other):
    """A file of two Listed whose label differs, or whose part where the first has it; None where
    the second says all that the first does. A picture to train on may be one to choose on there,
    where the first has none of these."""
    known = dict(zip(other.files, zip(other.labels, other.parts)))
    parts = one.parts or [None] * len(one.files)
    for file, label, part in zip(one.files, one.labels, parts):
        found = known.pop(file, None)
        same = found is not None and found[0] == label and (
            part is None or found[1] == part or part == "train" and found[1] == "val")
        if not same:
            return file
    return next(iter(known), None)


def _columns(path, titles):
    columns = [column_of(titles, names) for names in (FILE_TITLES, ("label",), ("part",))]
    if None in columns[:2]:
        there = short(", ".join(titles), 80) or "none"
        raise ValueError(f"{printable(path)}: has the columns {there}; expected file, label and, "
                         "where it says which part a picture belongs to, part")
    called = [title.strip().lower() for title in titles]
    for name in (called[k] for k in columns if k is not None):
        if called.count(name) > 1:
            raise ValueError(f"{printable(path)}: has several columns {name}; take out all but the one that is "
                             "meant")
    return columns


def _check_titles(path, titles, columns, rows):
    """Raises: ValueError for a column that says parts under another name, or in other words: it would
    be ignored, and others drawn."""
    for k, title in enumerate(titles):
        values = [value for row in rows if k < len(row) and (value := row[k].strip().lower())]
        parts = [part for part in map(said_part, values) if part]
        word = re.sub(r"^i[sn](?=[^a-z]|train|test|val)|[^a-z]", "", title.lower())
        says = (said_part(title.strip()) or word in {*PART_TITLES, *SPELLINGS}
                or set(values) <= {*SPELLINGS, *SHORT_PARTS}
                or len(set(parts)) > 1 and len(parts) > len(values) / 2)
        if k not in columns and values and says:
            raise ValueError(f"{printable(path)}: the column {short(title.strip(), 40)} seems to say "
                             "which part a picture belongs to; call it part, or take it out")


def _torn(path, titles, columns, rows, parts):
    """In one line, which pictures that belong together are in several parts; "" for none. Args: parts: of each row,
    None where none is said. Raises: ValueError where drawing would tear them."""
    drawn = {None} if "val" in parts else {None, "train"}
    for k, title in enumerate(titles):
        word = re.sub(r"id$", "", re.sub("[^a-z]", "", title.lower()))
        if k in columns or word not in GROUP_TITLES:
            continue
        groups = {}
        for row, part in zip(rows, parts):
            if k < len(row) and row[k].strip():
                groups.setdefault(row[k].strip(), []).append(part)
        torn = [name for name, found in groups.items() if len(set(found)) > 1]
        title = short(title.strip(), 40)
        if any(sum(part in drawn for part in found) > 1 for found in groups.values()):
            raise ValueError(f"{path}: parts would be drawn picture by picture, so that pictures of one {title} come "
                             f"into several; say all three in a column part, or take the column {title} out")
        if torn:
            return (f"{path}: of {len(groups)} values of the column {title}, {len(torn)} are in several parts, the "
                    f"first of them {short(torn[0], 40)}: what is tested may be known from training")
    return ""


def _known(file, where, root, beside):
    if not file:
        raise ValueError(f"{where}: no file; name one, or take the row out")
    found = _found(file, root, beside)
    if found:
        return found
    if unnamed(file):
        raise ValueError(f"{where}: cannot look for {printable(file)}: {unnamed(file)}")
    others = "" if os.path.isabs(file) else f", neither in {root} nor beside the list"
    raise FileNotFoundError(f"{where}: there is no file {printable(file)}{printable(others)}; put "
                            "it back, or take its row out")


def _found(file, root, beside):
    """The absolute path of a file that counts from one of two folders, None where it is in neither."""
    places = (os.path.normpath(os.path.join(os.path.abspath(folder), file)) for folder in (root, beside))
    return next(filter(None, map(spelled, places)), None)


def _label(cell, where, file):
    if not label_of(cell):
        raise ValueError(f"{where}: no label for {printable(file)}")
    return label_of(cell)


def _part(part, where):
    if part.lower() not in SPELLINGS:
        told = f"unknown part {short(part, 40)}" if part else "no part"
        raise ValueError(f"{where}: {told}; expected one of {', '.join(PARTS)}")
    return SPELLINGS[part.lower()]


def _refuse_twice(where, file, line, one, other):
    parts = f" in two parts, {one} and {other}" if one != other else ""
    raise ValueError(f"{where}: {printable(file)} stands there a second time{parts}, first in line "
                     f"{line}; keep one of the rows")


def _check(path, found):
    """Raises: ValueError for a list that no network can be trained and tested with."""
    path = printable(path)
    if not found.files:
        raise ValueError(f"{path}: lists no pictures")
    labels = set(found.labels)
    if found.parts is not None:
        for part, use in (("test", "test"), ("train", "train")):
            if part not in found.parts:
                raise ValueError(f"{path}: no picture has the part {part}, nothing to {use} on; "
                                 f"give some rows the part {part}, or leave the column out to "
                                 "have all parts drawn")
        labels = {label for label, part in zip(found.labels, found.parts) if part == "train"}
        for label, part in zip(found.labels, found.parts):
            if label not in labels:
                raise ValueError(f"{path}: a picture of the part {part} has the label "
                                 f"{printable(label)}, which no training picture has; correct it, "
                                 "or move pictures of it to train")
    if len(labels) == 1:
        raise ValueError(f"{path}: one label only, {printable(found.labels[0])}, leaves nothing to "
                         "tell apart")
