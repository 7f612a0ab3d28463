"""Names that people gave to folders and files, as text for any terminal, table or figure."""

import unicodedata

JOINERS = "\u200c\u200d"  # of Persian, and of emoji: invisible, and part of how a name is written


def composed(name):
    """A name in Unicode's composed form (NFC), which looks the same: file systems and editors differ
    in the form that they write."""
    return unicodedata.normalize("NFC", name)


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
