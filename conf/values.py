"""Values as people write them on a command line and read them: numbers, paths, colours, times."""

import argparse
import os
import re
from pathlib import Path

from conf import global_settings as settings

DIGITS = 100  # of a number on the command line, at most
BYTE = 255
# Bounds that no meaning sets keep a slip from ending in an overflow, or after hours.
MANY = 10 ** 6  # epochs, images of a batch and the like
_PLAIN = {int: re.compile(r"[+-]?[0-9]+"),
          float: re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)}


def number(kind, low, high, open_low=False, open_high=False):
    """A parser of numbers between two bounds, written as 128, 0.1 or 1e-4: Python's own would also
    take 1_000, digits of other scripts, blanks, nan and inf."""
    def parse(text):
        if not _PLAIN[kind].fullmatch(text) or len(text) > DIGITS:
            kinds = "a whole number, as 128" if kind is int else "a number, as 0.1 or 1e-4"
            raise argparse.ArgumentTypeError(f"{text[:DIGITS]!r} is not {kinds}")
        value = kind(text) + 0  # -0.0 becomes 0.0
        enough = low < value if open_low else low <= value
        if not enough or not (value < high if open_high else value <= high):
            least, most = "above" if open_low else "at least", "below" if open_high else "at most"
            raise argparse.ArgumentTypeError(f"{text} must be {least} {low} and {most} {high}")
        return value
    return parse


def boolean(text):
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return text.lower() == "true"


def milestones(text):
    found = [number(float, 0, 1, open_low=True, open_high=True)(part) for part in text.split(",")]
    if sorted(set(found)) != found:
        raise argparse.ArgumentTypeError(f"{text} must ascend, as 0.3,0.6,0.8")
    return found


def device_name(text):
    """`cpu`, `cuda` or one of several, as `cuda:1`; others lack what the programs need, as float64."""
    if not re.fullmatch(r"(cpu|cuda)(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of cpu, cuda and cuda:N")
    return text


def path(text):
    """A path as it was typed, but for a `~` at its beginning, which no shell expands after `=`."""
    return Path(os.path.expanduser(text))


def utf8_path(text):
    """As `path`, for a folder that TensorBoard writes into: it knows file names in UTF-8 alone.

    Raises: argparse.ArgumentTypeError for another name, or one that this locale cannot read.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{ascii(text)} is not UTF-8; take another name or, where "
                                         "the locale misreads it, set PYTHONUTF8=1") from None
    return path(text)


def rgb(low):
    """Three numbers with commas between, of red, green and blue, for pixels in [0, 1]."""
    def parse(text):
        values = [number(float, -BYTE, BYTE)(part) for part in text.split(",")]
        if max(values) > settings.MOST_INPUT:
            raise argparse.ArgumentTypeError(f"{text} is for pixels in 0..255: divide it by 255")
        values = [number(float, low, settings.MOST_INPUT)(part) for part in text.split(",")]
        if len(values) != 3:
            raise argparse.ArgumentTypeError(f"{text!r} is not three numbers: red,green,blue")
        return values
    return parse


def usual_warmup(epochs):
    """Epochs of linear warm-up where --warmup-epochs does not say them."""
    return min(settings.WARMUP_EPOCHS, epochs / settings.WARMUP_PARTS)


def clock(seconds):
    """`1:05:00` of so many seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
