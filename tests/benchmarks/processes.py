"""What a second process buys where steps are in Python: ``python -m tests.benchmarks.processes``."""

from __future__ import annotations

import argparse
import statistics
import time

import cdq

STEPS = 200_000  # of each worker


def rate(workers: int, seed: int) -> float:
    """Return the steps/s of a learner on Blackjack, once its processes have started."""
    agent = cdq.QLearner("Blackjack-v1", workers=workers, gamma=1.0, seed=seed)
    started = time.perf_counter()
    agent.learn(STEPS * workers)
    whole = time.perf_counter() - started
    history = agent.history
    # The first round ends when all processes have come.
    steps, seconds = history["steps"], history["seconds"]
    agent.close()
    print(f"  {workers} workers: {agent.steps / whole:,.0f} steps/s with starting", flush=True)
    return float((steps[-1] - steps[0]) / (seconds[-1] - seconds[0]))


def main() -> None:
    """Measure one process and two in turn, and print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    rates = [(rate(1, seed), rate(2, seed)) for seed in range(parser.parse_args().repeats)]
    ratios = sorted(two / one for one, two in rates)
    ones = sorted(one for one, _ in rates)
    print(f"1 process: {statistics.median(ones):,.0f} steps/s ({ones[0]:,.0f} to {ones[-1]:,.0f})")
    print(f"2 against 1: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
