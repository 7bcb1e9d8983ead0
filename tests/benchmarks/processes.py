"""What a second process buys where steps are in Python: ``python -m tests.benchmarks.processes``."""

from __future__ import annotations

import argparse

import cdq
from tests.benchmarks.tables import begin, row, spread


def rate(workers: int, steps: int, seed: int) -> float:
    """Return the steps/s of a learner on Blackjack, once its processes have started."""
    agent = cdq.QLearner("Blackjack-v1", workers=workers, gamma=1.0, seed=seed)
    agent.learn(steps * workers, verbose=0)
    history = agent.history
    # The first round ends when all processes have come.
    taken, seconds = history["steps"], history["seconds"]
    agent.close()
    return float((taken[-1] - taken[0]) / (seconds[-1] - seconds[0]))


def main() -> None:
    """Measure one process and two in turn, and print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=float, default=2e5, help="of each worker")
    given = parser.parse_args()
    rates = [[rate(workers, int(given.steps), seed) for workers in (1, 2)] for seed in range(given.repeats)]
    begin("Blackjack-v1 in Python, local processes", "processes", "million steps/s", "against one", "goal")
    row("1", spread((one / 1e6 for one, _ in rates), ".3f"), "", "")
    row(
        "2",
        spread((two / 1e6 for _, two in rates), ".3f"),
        spread((two / one for one, two in rates), goal=1.8),
        "1.8",
    )


if __name__ == "__main__":
    main()
