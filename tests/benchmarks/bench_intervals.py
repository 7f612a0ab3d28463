"""How often do the 95 % intervals of report.py miss the truth?

    python tests/benchmarks/bench_intervals.py [--quick] [--rounds 1000]

Simulated comparisons (tests/simulation.py) of equal methods, and of methods whose difference is known. Aim: 2 to 9 %
of the intervals miss. With one network each the interval is about these networks alone: what is printed there, marked
by (1, 1), is how wrong it would be to take it for the methods'.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from tests.simulation import SPREADS, misses, misses_of_crossed, misses_of_worth  # noqa: E402

EQUAL, KNOWN = (0.3, 0.3), (0.5, 0.3)  # levels of the two methods
IMAGES, NETWORKS = (500, 1000, 2000), ((3, 3), (2, 2), (5, 5), (3, 5), (1, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("--rounds", type=int, default=1000, help="comparisons of each kind")
    arguments = parser.parse_args()
    rounds = 100 if arguments.quick else arguments.rounds
    print(f"# {rounds} comparisons each; standard error of 5 %: {100 * (0.05 * 0.95 / rounds) ** 0.5:.1f} %")
    print("images  networks  spread                     equal: misses, p<0.05   known: misses, p<0.05", flush=True)
    for images in IMAGES[:1] if arguments.quick else IMAGES:
        for networks in NETWORKS:
            for name, spread in SPREADS.items():
                parts = [f"{100 * share:5.1f} %" for levels in (EQUAL, KNOWN)
                         for share in misses(spread, images, networks, levels, rounds)]
                print(f"{images:6}  {str(networks):8}  {name:25} {parts[0]:>14} {parts[1]:>8} {parts[2]:>15} "
                      f"{parts[3]:>8}", flush=True)
    print("three pre-trainings x three draws of the labelled images that they share, equal methods, 1000 images: "
          "misses with the draws in the interval, and without")
    for spread in (0.0, 0.05, 0.1):
        parts = [f"{100 * misses_of_crossed(1000, 3, 3, rounds, counted, spread):5.1f} %" for counted in (True, False)]
        print(f"deviation of draws {spread:4}   {parts[0]} {parts[1]}", flush=True)
    print("labels: how often the interval of what a method is worth in labels misses, 1000 images, 3 networks each")
    for name, spread in SPREADS.items():
        print(f"{name:25} {100 * misses_of_worth(spread, 1000, 3, max(50, rounds // 5)):5.1f} %", flush=True)


if __name__ == "__main__":
    main()
