"""Trainings side by side on one device: images per second of one, and of several together.

    python tests/benchmarks/bench_side_by_side.py [--quick] [--device cuda] [--processes 4 8] [--steps 200]

ResNet-18 with the 7x7 stem, batches of 128, bf16, whole loops of SimCLR at 64 px and of a classifier at 96 px. A GPU
that waits for the launches of one process has room for others; on a CPU each process has one thread.
"""

import multiprocessing
import time

import measure
import per_image
import torch
from bench_loop import Loop

CASES = {"SimCLR, 64 px": (True, 64), "classifier, 96 px": (False, 96)}
SECONDS = 600  # that a process may take until all are ready


def work(ready, case, steps, device):
    """One process: warm up, wait for the others at a Barrier, run."""
    torch.set_num_threads(1)
    loop = Loop(*CASES[case], "7x7", steps, "bf16", device=device)
    loop.whole()
    ready.wait(SECONDS)
    loop.whole()


def together(case, count, steps, device):
    """Images per second of so many processes, until the last of them is done."""
    context = multiprocessing.get_context("spawn")  # a fork would share the parent's CUDA
    ready = context.Barrier(count + 1)
    processes = [context.Process(target=work, args=(ready, case, steps, device), daemon=True)
                 for _ in range(count)]
    for process in processes:
        process.start()
    ready.wait(SECONDS)
    started = time.perf_counter()
    for process in processes:
        process.join()
    passed = time.perf_counter() - started
    if any(process.exitcode for process in processes):
        raise SystemExit(f"{case}: one of {count} processes failed")
    return count * steps * per_image.BATCH_SIZE / passed


def main(argv=None):
    """Measure every case with every number of processes, each against one."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, nargs="+", default=[4, 8], help="side by side, each against one")
    parser.add_argument("--steps", type=int, default=20, help="of each process and round")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.steps, arguments.processes = 2, [2]
    arguments.threads = 1
    measure.start(arguments)
    for case in CASES:
        for count in arguments.processes:
            sides = {f"{n} together": lambda n=n: together(case, n, arguments.steps, arguments.device)
                     for n in (count, 1)}
            measure.compare(case, sides, arguments.rounds, "images/s")


if __name__ == "__main__":
    main()
