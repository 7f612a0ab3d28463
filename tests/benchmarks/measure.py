"""Two ways of doing one thing, measured side by side: they take turns, so that a machine that slows down
slows down both. What the benchmarks beside this file share; nothing here depends on the suite's own code."""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # as /proc/cpuinfo names them


def parser(doc, rounds):
    """The arguments that all benchmarks have; the first line of doc says what it is about."""
    found = argparse.ArgumentParser(description=doc.splitlines()[0],
                                    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    found.add_argument("--quick", action="store_true", help="tiny sizes: does it run, roughly how fast")
    found.add_argument("--rounds", type=int, default=rounds, help="turns of each side; 1 with --quick")
    found.add_argument("--threads", type=int, default=2,
                       help="of PyTorch on every side, and workers of a DataLoader")
    return found


def start(arguments):
    """Pin the threads, also those of child processes, and print what this is measured on."""
    if arguments.quick:
        arguments.rounds = 1
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    torch.set_num_threads(arguments.threads)
    print(f"# {machine()}, {arguments.threads} threads, {arguments.rounds} rounds", flush=True)


def machine():
    """Processor, cores, instruction sets and versions, in one line."""
    model, flags = platform.processor() or platform.machine(), ""
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts = dict(reversed([line.split(":", 1) for line in lines if ":" in line]))
        facts = {name.strip(): value.strip() for name, value in facts.items()}
        model, flags = facts.get("model name", model), facts.get("flags", "")
    fast = " ".join(name for name in INSTRUCTION_SETS if name in flags.split())
    return (f"{model}, {os.cpu_count()} cores, {fast or 'no AVX2'}, torch {torch.__version__}, "
            f"Python {platform.python_version()}")


def alternate(sides, rounds):
    """Measure each side in turn. Args: sides: name -> function that returns a number.

    Returns: name -> list of numbers, one a round.
    """
    found = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measured in sides.items():
            found[name].append(measured())
    return found


def report(figure, found, unit, required=None, bound="least"):
    """Print the medians of the first side and of each other, and the ratio in favour of the first.

    Args: found: as from `alternate`. unit: ending in "/s" where more is better, "s" where less is.
        required: the ratio asked for, None for a comparison without one. bound: it is asked for at
            "least" or at "most".
    """
    (first, ours), *others = found.items()
    for name, theirs in others:
        pairs = zip(ours, theirs) if unit.endswith("/s") else zip(theirs, ours)
        ratios = sorted(a / b for a, b in pairs)
        medians = statistics.median(ours), statistics.median(theirs)
        ratio = medians[0] / medians[1] if unit.endswith("/s") else medians[1] / medians[0]
        asked = f", required at {bound} {required}" if required else ""
        print(f"{figure}: {first} {_short(medians[0])} {unit}, {name} {_short(medians[1])} {unit}, "
              f"ratio {_short(ratio)} ({_short(ratios[0])} to {_short(ratios[-1])}, n={len(ratios)})"
              f"{asked}", flush=True)


def compare(figure, sides, rounds, unit, required=None):
    """`alternate`, then `report`."""
    found = alternate(sides, rounds)
    report(figure, found, unit, required)
    return found


def rate(step, seconds):
    """Things per second of a function that makes and counts some."""
    count, started = 0, time.perf_counter()
    while True:
        count += step()
        passed = time.perf_counter() - started
        if passed >= seconds:
            return count / passed


def seconds(function, *arguments):
    """How long one call takes."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def run(command, **options):
    """Run a Python program. Returns: its stdout. Raises: RuntimeError with what it said on stderr."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True,
                          check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n"
                           f"{done.stderr[-2000:]}")
    return done.stdout


def _short(number):
    return f"{number:.0f}" if number >= 1000 else f"{number:.3g}"
