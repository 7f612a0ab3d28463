"""Signals: what several that come before anybody asks leave, in one process and among several."""

import os
import signal
import time
from types import SimpleNamespace

import pytest

from parallel import distributed
from training.signals import NOTED, Signals

SAVE, INTERRUPT, END, CLOSED = signal.SIGUSR1, signal.SIGINT, signal.SIGTERM, signal.SIGHUP


@pytest.mark.parametrize("sent, wanted", [
    ([], None), ([SAVE], SAVE), ([END], END), ([SAVE, END], END), ([END, SAVE], END),
    ([INTERRUPT, SAVE, SAVE], INTERRUPT), ([CLOSED], CLOSED)])
def test_a_checkpoint_alone_is_no_reason_to_forget_the_end(sent, wanted):
    with Signals() as signals:
        for number in sent:
            os.kill(os.getpid(), number)
            time.sleep(0.01)
        assert signals.take() == wanted and signals.take() is None
    assert all(signal.getsignal(number) != signals._note for number in NOTED)


def test_a_closed_terminal_is_nothing_to_what_nohup_started():
    before = signal.signal(CLOSED, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), CLOSED)
            time.sleep(0.01)
            assert signals.take() is None
        assert signal.getsignal(CLOSED) == signal.SIG_IGN
    finally:
        signal.signal(CLOSED, before)


@pytest.mark.parametrize("here, there, wanted", [(None, None, None), (SAVE, None, SAVE), (SAVE, INTERRUPT, INTERRUPT),
                                                 (END, SAVE, END), (INTERRUPT, END, END)])
def test_among_processes_an_end_outranks_a_checkpoint(monkeypatch, here, there, wanted):
    """Of two processes that were asked for different things at the same step; known at the next."""
    other = distributed.Agreement(NOTED).values.index(there)

    def reduced(place, operation, group, async_op):
        place.fill_(max(int(place), other))
        return SimpleNamespace(wait=lambda: None)

    monkeypatch.setattr(distributed.dist, "all_reduce", reduced)
    agree = distributed.Agreement(NOTED)
    agree.group = "of two"
    assert agree(here) is None
    assert agree(None) == wanted
