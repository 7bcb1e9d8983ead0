"""What examples/blackjack.py comes to, in games by the exact rules.

python tests/benchmarks/blackjack.py [--seeds 5] [--games 10000000]

The goal is -0.048 or better; the best that can be had is -0.0431.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import cdq

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "examples")]

import blackjack as example  # noqa: E402

from tests.blackjack import expected_return, play  # noqa: E402


def judge(name: str, policy: np.ndarray, games: int, seed: int, begun: float) -> None:
    seconds = time.perf_counter() - begun
    random, rewards, left = np.random.default_rng(seed), [], games
    while left > 0:
        rewards.append(play(policy, min(left, 10**6), random))
        left -= 10**6
    returns = np.concatenate(rewards)
    print(
        f"seed {seed}, {name}: {returns.mean():.4f} ± {returns.std() / np.sqrt(games):.4f} in {games:,} games, "
        f"expected {expected_return(policy):.4f}; {seconds:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--games", type=int, default=10**7)
    arguments = parser.parse_args()
    print(f"the best: {expected_return(None):.4f}")
    for seed in range(arguments.seeds):
        begun = time.perf_counter()
        agent = example.learner(seed).learn(example.STEPS)
        judge("learnt by stepping", agent.table.policy(), arguments.games, seed, begun)
        begun = time.perf_counter()
        planned = cdq.solve(example.measure(example.SAMPLES, seed), example.GAMMA)
        judge("planned on samples", planned.values.argmax(axis=1), arguments.games, seed, begun)


if __name__ == "__main__":
    main()
