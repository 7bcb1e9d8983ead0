"""How many steps the defaults need until the greedy policy is within 1 % of optimal, by lanes and workers.

Run it from the checkout: ``python -m tests.benchmarks.lanes`` (about two minutes). Prints Markdown: medians over
seeds, in thousands of steps of all workers, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import itertools
import statistics

from cdq import MDP, solve
from cdq.mdp.planning import optimality_gap
from cdq.schedules import RescaledLinear
from cdq.windows import AutoWindow, FixedWindow
from tests.experiments.harness import FloatArray, learn, plan

ENVIRONMENTS = ("FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4", "CliffWalking-v1")
GAMMA, EXPLORATION, TOLERANCE = 0.99, 0.1, 0.01
FIRST, GROWTH, IN_A_ROW = 500, 1.1, 3


class Attained:
    """A watch that stops once the policy was within the tolerance at three checks in a row, each 10 % later."""

    def __init__(self, model: MDP) -> None:
        self._model, self._optimum = model, solve(model, GAMMA)
        self._due, self._hits = float(FIRST), 0
        self.steps = 0

    def __call__(self, steps: int, values: FloatArray) -> bool:
        if steps < self._due:
            return self._hits == IN_A_ROW
        self._due = steps * GROWTH
        found = optimality_gap(self._model, values, GAMMA, self._optimum)
        within = found.optimal_value - found.policy_value <= TOLERANCE * abs(found.optimal_value)
        self._hits = self._hits + 1 if within else 0
        self.steps = steps if self._hits <= 1 else self.steps
        return self._hits == IN_A_ROW


def needed(model: MDP, seed: int, num_envs: int, workers: int, floor: int, limit: int) -> int:
    """Return the steps of all workers after which the policy was good; the limit if it never was."""
    watch = Attained(model)
    # A worker alone does not merge: its windows only say how often it is looked at.
    window = AutoWindow(floor=floor) if workers > 1 else FixedWindow(FIRST)
    doing = plan(RescaledLinear(GAMMA), window=window, exploration=EXPLORATION)
    learn(
        model,
        doing,
        gamma=GAMMA,
        workers=workers,
        steps=limit // workers,
        seed=seed,
        watch=watch,
        num_envs=num_envs,
    )
    return watch.steps * workers


def cell(model: MDP, seeds: int, num_envs: int, workers: int, floor: int, limit: int) -> str:
    """Return the median over seeds and the range, in thousands of steps."""
    steps = [needed(model, seed, num_envs, workers, floor, limit) / 1000 for seed in range(seeds)]
    return f"{statistics.median(steps):.0f} ({min(steps):.0f}-{max(steps):.0f})"


def main() -> None:
    """Print a table for each floor of the automatic window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", nargs="*", default=ENVIRONMENTS)
    parser.add_argument("--num-envs", type=int, nargs="*", default=(1, 4, 8, 16, 32, 64))
    parser.add_argument("--workers", type=int, nargs="*", default=(1, 2))
    parser.add_argument("--floor", type=int, nargs="*", default=(AutoWindow().floor,))
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--limit", type=float, default=2e7)
    given = parser.parse_args()
    for env, floor in itertools.product(given.env, given.floor):
        model = MDP.from_gymnasium(env)
        print(f"\n| {env}, floor {floor} | " + " | ".join(f"{n} lanes" for n in given.num_envs) + " |")
        print("|---" * (len(given.num_envs) + 1) + "|")
        for workers in given.workers:
            cells = [cell(model, given.seeds, n, workers, floor, int(given.limit)) for n in given.num_envs]
            print(f"| {workers} workers | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
