"""Names that people gave to folders and files: as paths, and as text for any terminal or figure."""

import argparse
import os
import sys
from pathlib import Path

JOINERS = "\u200c\u200d"  # of Persian, and of emoji: invisible, and part of how a name is written


def printable(name):
    """A name in one line of valid Unicode: what has no look of its own is escaped.

    Line breaks and tabs become their escapes, so do the marks that reorder text, and bytes that
    were no UTF-8 (os.fsdecode made lone surrogates of them).
    """
    return "".join(sign if sign.isprintable() or sign in JOINERS else
                   sign.encode("unicode_escape").decode() for sign in str(name))


def short(name, length):
    """A name as `printable`, of at most so many signs: of a longer one the beginning and the end,
    for names often differ in either."""
    text = printable(name)
    if len(text) <= length:
        return text
    return f"{text[:length // 2]}…{text[len(text) - (length - 1) // 2:]}"


def path(text):
    """A path as it was typed, but for a `~` at its beginning, which no shell expands after `=`."""
    return Path(os.path.expanduser(text))


def utf8_path(text):
    """As `path`, for a folder that TensorBoard writes into: it knows file names in UTF-8 alone.

    Raises: argparse.ArgumentTypeError for another name, or one that this locale cannot read.
    """
    found = path(text)
    try:
        str(found).encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(
            f"{printable(text)} is not UTF-8; take another name or, where the locale "
            "misreads it, set PYTHONUTF8=1") from None
    return found


def print_anything():
    """Have print() escape what the terminal cannot show, rather than raise UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not every stand-in of a notebook or a test has it
            stream.reconfigure(errors="backslashreplace")
