"""Signals that ask for a checkpoint, and most of them for an end behind it."""

import signal

import utils
from records import provenance

ONLY_SAVES = getattr(signal, "SIGUSR1", None)  # Windows has none
NOTED = [getattr(signal, name) for name in ("SIGUSR1", "SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Signals:
    """Notes, as a context, a SIGINT, SIGTERM, SIGUSR1 or SIGHUP (of a terminal that is closed; not where
    nohup has it ignored), which waits for a checkpoint. One that ends the program is not forgotten for
    SIGUSR1, and the next of its kind ends it at once. Outside the main thread it notes nothing."""

    def __init__(self):
        self._number, self._before = None, {}

    def take(self):
        """The number of a signal that came since this was last asked, or None."""
        number, self._number = self._number, None
        return number

    def __enter__(self):
        try:
            self._before = {number: signal.signal(number, self._note) for number in NOTED
                            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN}
        except ValueError:  # not in the main thread
            self._before = {}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        if self._number in (None, ONLY_SAVES):
            self._number = number
        if number != ONLY_SAVES:
            signal.signal(number, signal.SIG_DFL)


def stop_for(number, epoch, again=None):
    """After the checkpoint that a signal asked for in an epoch. Args: number: None for no signal.
    again: what goes on from there, by default this command. Raises: utils.Interrupted, unless a
    signal asked for no more than a checkpoint."""
    if number not in (None, ONLY_SAVES):
        again = again or f"go on with: {provenance.command()} --resume"
        raise utils.Interrupted(
            f"stopped by {signal.Signals(number).name} after a checkpoint in epoch {epoch}; {again}",
            number)
