"""Run the cells of a grid: each once, side by side, going on with what an earlier start left.

common.sh lists the cells on standard input and says which variables there are.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import utils
from conf.values import clock
from data.packing import cores
from grid_search.cells import make_cells
from grid_search.choice import choose, print_commands, side_by_side, slots
from records import results
from records.files import flock

POLL_SECONDS = 0.2
TOGETHER = str(Path(__file__).with_name("side_by_side.py"))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Running(NamedTuple):
    """A process of one cell or of several side by side; locks: the files that keep other grids off,
    cell by cell; device: the slot it takes."""

    locks: dict
    process: subprocess.Popen
    device: str | None


class Grid:
    """Runs cells on a number of slots. alone: cells that get the machine for themselves. outcomes:
    cell -> "finished", "diverged", "failed", "cut off" or "elsewhere"; reasons: failed cell -> why."""

    def __init__(self, jobs, devices, alone=()):
        self.slots = [devices[k % len(devices)] if devices else None for k in range(jobs)]
        self.jobs, self.alone = jobs, set(alone)
        self.running, self.outcomes, self.reasons = [], {}, {}
        self.signals, self.passed_on = [], 0
        self.best = (-1.0, None)

    def run(self, cells, what):
        """Run all that is unfinished. Args: what: "cell" or "pre-training"; a pre-training that
        another grid runs is waited for, since cells need it."""
        left = [cell for cell in cells if not self._settled(cell)]
        print(f"{len(cells)} {what}s, {len(left)} of them to run", flush=True)
        started, before, told = time.monotonic(), len(cells) - len(left), False
        queue = side_by_side(left, self.jobs, self.alone)
        while (queue and not self.signals) or self.running:
            self._pass_on_signals()
            for item in [item for item in self.running if item.process.poll() is not None]:
                self._finish(item)
                done = sum(cell in self.outcomes for cell in cells)
                seconds = (time.monotonic() - started) / (done - before) * (len(cells) - done)
                for cell in item.locks:
                    self._say(cell, f"[{what} {done}/{len(cells)}]", seconds)
            queue = self._start_some(queue)
            idle = queue and not self.running and not self.signals
            if idle and what == "cell":  # what is left is locked
                self.outcomes.update((cell, "elsewhere") for unit in queue for cell in unit)
                queue = []
            elif idle and not told:
                told = True
                print(f"waiting for {queue[0][0].name}, which another grid runs", flush=True)
            time.sleep(POLL_SECONDS)

    def _settled(self, cell):
        """Whether nothing is left to do for a cell; notes its outcome."""
        source = cell.source
        try:
            state = cell.state()
            before = self.outcomes.get(source) or source.state() if source else "finished"
        except (ValueError, OSError) as error:
            self._fail(cell, error)
            return True
        if state in ("finished", "diverged"):
            self._note(cell, state)
        elif before != "finished":  # half-trained weights may lie there
            before = before if before in ("failed", "diverged") else "has not finished"
            self._fail(cell, f"its pre-training {source.name} {before}")
        return cell in self.outcomes

    def _start_some(self, queue):
        """Start units, each the cells of one process, while slots are free, and none past one that
        waits for the machine: those behind it need what it finds. Returns: the rest of the queue."""
        left = []
        for place, unit in enumerate(queue):
            full = self.signals or not self.slots or self.running and not self.alone.isdisjoint(
                [*unit, *(cell for item in self.running for cell in item.locks)])
            if full:
                return [*left, *queue[place:]]
            locked = self._start(unit)
            if locked:
                left.append(locked)
        return left

    def _start(self, unit):
        """Start a process for the cells of a unit. Returns: those that another grid runs."""
        locks, locked = {}, []
        for cell in unit:
            try:
                cell.folder.mkdir(parents=True, exist_ok=True)
                lock = open(cell.folder / "grid.lock", "ab")
                if flock(lock, "LOCK_EX", "LOCK_NB") is False:
                    locked.append(cell)
                elif not self._settled(cell):  # by another grid, in the meantime
                    _log(cell).open("ab" if cell.state() == "cut off" else "wb").close()
                    locks[cell] = lock
                    continue
                lock.close()
            except OSError as error:
                self._fail(cell, error)
        if locks:
            try:
                self._spawn(locks)
            except OSError as error:
                for cell in locks:
                    self._fail(cell, error)
        return tuple(locked)

    def _spawn(self, locks):
        """Start a process. Args: locks: cell -> open file. Raises: OSError."""
        device = self.slots[0]
        commands = [cell.command(cell.state()) + (["--device", device] if device else [])
                    for cell in locks]
        first, command = next(iter(locks)), commands[0]
        if len(locks) > 1:
            logs = [str(_log(cell).absolute()) for cell in locks]
            command = [TOGETHER, json.dumps(list(zip(logs, commands)))]
        with open(_log(first), "ab") as log:
            # The process inherits the locks: should the grid be killed, they are held until the
            # cells end. In its own session Ctrl-C reaches it once, from here.
            process = subprocess.Popen(
                [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment(first), start_new_session=True,
                pass_fds=[lock.fileno() for lock in locks.values()])
        self.running.append(Running(locks, process, self.slots.pop(0)))

    def _environment(self, cell):
        """Of a cell's process. Cells side by side share the cores, also where OMP_NUM_THREADS asks for
        more: threads that wait for a core make each of them ten times slower."""
        jobs = 1 if cell in self.alone else self.jobs
        if jobs == 1:
            return dict(os.environ)
        asked, share = os.environ.get("OMP_NUM_THREADS", ""), max(1, cores() // jobs)
        if asked.isdecimal() and int(asked):
            share = min(share, int(asked))
        return {**os.environ, "OMP_NUM_THREADS": str(share)}

    def _finish(self, item):
        """Note the outcomes of a process that ended."""
        status, first = item.process.returncode, next(iter(item.locks))
        self.running.remove(item)
        self.slots.append(item.device)
        for cell, lock in item.locks.items():
            said = _last_line(cell)
            # One of several may have finished well before others ended the process.
            well = not said.startswith("error: ") if len(item.locks) > 1 else status == 0
            try:
                state = cell.state()
            except ValueError as error:
                self._fail(cell, error)
            else:
                if state == "diverged" or (state == "finished" and well):
                    self._note(cell, state)
                elif self.signals:
                    self.outcomes[cell] = "cut off"
                else:
                    self._fail(cell, _why(cell if said.startswith("error: ") else first, cell, status))
            lock.close()

    def _note(self, cell, state):
        self.outcomes[cell] = state
        chosen = results.choose_epoch(cell.rows()) if state == "finished" else None
        if chosen and (chosen.get("val_accuracy") or -1) > self.best[0]:
            self.best = chosen["val_accuracy"], cell

    def _fail(self, cell, reason):
        self.outcomes[cell], self.reasons[cell] = "failed", reason

    def _say(self, cell, place, seconds):
        line = f"{cell.name}: {self.outcomes[cell]}"
        if not self.signals:
            line = f"{place} {line}; about {clock(seconds)} left{self._best()}"
        print(line, flush=True)

    def _best(self):
        accuracy, cell = self.best
        return f"; best validation accuracy {accuracy:.4f}: {cell.name}" if cell else ""

    def _pass_on_signals(self):
        """Tell the cells to stop, the second time at once.

        They get the other one of SIGINT and SIGTERM: a batch system may have sent them the first
        already, and the same twice would keep them from writing a checkpoint.
        """
        if self.passed_on == len(self.signals):
            return
        number = signal.SIGTERM if self.signals[0] == signal.SIGINT else signal.SIGINT
        number = signal.SIGKILL if self.passed_on else number
        self.passed_on = len(self.signals)
        print(f"stopping {sum(len(item.locks) for item in self.running)} running cells", flush=True)
        for item in self.running:
            if item.process.poll() is None:
                os.killpg(item.process.pid, number)

    def summary(self, cells):
        """Print how a grid ended. Raises: utils.Interrupted, ValueError where cells failed."""
        found = {name: [cell for cell in cells if self.outcomes.get(cell) == name]
                 for name in ("finished", "diverged", "failed", "elsewhere")}
        print(f"finished: {len(found['finished'])} of {len(cells)} runs{self._best()}")
        for cell in found["diverged"]:
            print(f"diverged: {cell.name}, in epoch {cell.rows()[-1]['epoch']}")
        for cell in found["elsewhere"]:
            print(f"run by another grid: {cell.name}")
        for cell in found["failed"]:
            print(f"failed: {cell.name}: {self.reasons[cell]}")
        if self.signals:
            number = self.signals[0]
            raise utils.Interrupted(f"stopped by {signal.Signals(number).name}; the same command "
                                    "goes on with what is unfinished", number)
        if found["failed"]:
            raise ValueError(f"{len(found['failed'])} of {len(cells)} runs failed, see above")


def _log(cell):
    return cell.folder / "log.txt"


def _last_line(cell):
    """Of a cell's log, "" where that says nothing or cannot be read."""
    try:
        return _log(cell).read_text("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
    except OSError:
        return ""


def _why(teller, cell, status):
    """Why a process failed for a cell. Args: teller: the cell whose log tells it."""
    reason = _last_line(teller) or f"status {status}"
    if status < 0:
        reason = f"killed by {signal.Signals(-status).name}"
    elif status == 0 and not reason.startswith("error: "):
        reason = f"ended without its last epoch in {cell.csv}"
    return f"{reason} (log: {_log(teller)})"


def main(argv=None):
    """Read the cells, and print or run what is left to do."""
    extra = sys.argv[1:] if argv is None else argv
    options, vary = (shlex.split(os.environ.get(name, "")) for name in ("PRETRAIN_ARGS", "VARY"))
    sources, cells = choose(make_cells(sys.stdin.read().splitlines(), extra, options, vary))
    if os.environ.get("DRY_RUN", "0") not in ("", "0"):
        return print_commands([*sources, *cells])
    grid = Grid(*slots(sources, cells))
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, lambda number, _: grid.signals.append(number))
    if sources:
        grid.run(sources, "pre-training")
        for cell in cells:
            cell.forget()
    if cells and not grid.signals:
        grid.run(cells, "cell")
    grid.summary([*sources, *cells])


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
