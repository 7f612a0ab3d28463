"""Signals: what several that come before anybody asks leave, in one process and among several."""

import os
import signal
import time

import pytest

from training.signals import NOTED, Signals

SAVE, INTERRUPT, END = signal.SIGUSR1, signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize("sent, wanted", [
    ([], None), ([SAVE], SAVE), ([END], END), ([SAVE, END], END), ([END, SAVE], END), ([INTERRUPT, SAVE, SAVE], INTERRUPT)])
def test_a_checkpoint_alone_is_no_reason_to_forget_the_end(sent, wanted):
    with Signals() as signals:
        for number in sent:
            os.kill(os.getpid(), number)
            time.sleep(0.01)
        assert signals.take() == wanted and signals.take() is None
    assert all(signal.getsignal(number) != signals._note for number in NOTED)


def test_among_processes_an_end_outranks_a_checkpoint():
    """By the order that parallel.distributed.Agreement goes by."""
    assert NOTED.index(SAVE) < min(NOTED.index(INTERRUPT), NOTED.index(END))
