"""Train several linear classifiers on the same features in one process, as train.py would each.

    python grid_search/side_by_side.py '[[log, [program, option, ...]], ...]'

What each of them says goes to its log, of which the first has what they say together. run.py starts it.
"""

import contextlib
import itertools
import json
import signal
import sys
import traceback
from functools import partial
from typing import NamedTuple

import torch

import utils
from train import prepare, show
from training.command_line import parse_train
from training.signals import Signals, stop_for
from training.wide import AGAIN, Group


class Member(NamedTuple):
    """One of the runs. log: path of a text file. words: its command, without python."""

    log: str
    words: list

    def does(self, action):
        """Run an action as a program of this command would, what it says and its error into the
        log. Raises: KeyboardInterrupt."""
        with open(self.log, "a", encoding="utf-8", errors="backslashreplace") as log, \
                contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            sys.argv = self.words
            try:
                status = utils.run(lambda _: action(), self.words)
            except Exception as error:  # with --debug
                traceback.print_exc()
                print(f"error: {type(error).__name__}: {error}")
                status = 1
        if status == 128 + signal.SIGINT:
            raise KeyboardInterrupt

    def say(self, *words, **options):
        """print, to the log."""
        with open(self.log, "a", encoding="utf-8", errors="backslashreplace") as log:
            print(*words, **options, file=log)


def main(argv=None):
    """Prepare what is unfinished, train it, and show what has finished. What fails leaves its error
    in its log."""
    members = [Member(*found) for found in json.loads((argv or sys.argv[1:])[0])]
    ready, tensors = {}, []

    def begin(member):
        found = prepare(parse_train(member.words[1:]), member.say)
        if found:
            for batches in found.task.batches.values():
                batches.features = _shared(batches.features, tensors)
            ready[found.run] = member, found

    for member in members:
        member.does(partial(begin, member))
    with Signals() as signals:
        for place, runs in itertools.groupby(sorted(ready, key=_place), _place):
            stop_for(signals.take(), place[0] + 1, AGAIN)
            for run in Group(list(runs), signals).train():
                member, found = ready[run]
                member.does(partial(show, found, run.row))


def _place(run):
    """Where it stands: (epochs done, steps of the next one)."""
    return run.epoch, run.progress.step if run.progress else 0


def _shared(features, tensors):
    """That of some tensors which is the same, so that a GPU holds it once; a new one joins them."""
    for other in tensors:
        if other.shape == features.shape and torch.equal(other, features):
            return other
    tensors.append(features)
    return features


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
