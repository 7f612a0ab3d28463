"""Train several linear classifiers on the same features in one process, as train.py would each.

    python grid_search/side_by_side.py '[[log, [program, option, ...]], ...]'

What each of them says goes to its log, of which the first has what they say together. run.py starts it.
"""

import contextlib
import itertools
import json
import sys
from functools import partial
from typing import NamedTuple

import utils
from train import prepare, show
from training.command_line import parse_train
from training.loop import SAVE_SECONDS
from training.wide import train_side_by_side


class Member(NamedTuple):
    """One of the runs. log: path of a text file. words: its command, without python."""

    log: str
    words: list

    def does(self, action):
        """Run an action as a program of this command would. Returns: its exit status."""
        with open(self.log, "a", encoding="utf-8", errors="backslashreplace") as log, \
                contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            sys.argv = self.words
            return utils.run(lambda _: action())

    def say(self, *words, **options):
        """print, to the log."""
        with open(self.log, "a", encoding="utf-8", errors="backslashreplace") as log:
            print(*words, **options, file=log)


def main(argv=None):
    """Prepare what is unfinished, train it, and show what has finished."""
    members = [Member(*found) for found in json.loads((argv or sys.argv[1:])[0])]
    ready = {}

    def begin(member):
        found = prepare(parse_train(member.words[1:]), member.say)
        if found:
            found.run.save_seconds = len(members) * SAVE_SECONDS
            ready[found.run] = member, found

    for member in members:
        member.does(partial(begin, member))  # what fails, run.py finds unfinished
    status = 0
    for _, runs in itertools.groupby(sorted(ready, key=_place), _place):
        for run in train_side_by_side(list(runs)):
            member, found = ready[run]
            status = max(status, member.does(partial(show, found, run.row)))
    if status:
        raise ValueError("not all could be shown in TensorBoard, see their logs")


def _place(run):
    """Where it stands: (epochs done, steps of the next one)."""
    return run.epoch, run.progress.step if run.progress else 0


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
