"""Carts with poles of different length and mass: each learns alone, all as one, or each for itself beside all.

python examples/fleet_of_poles.py              eight of them, as threads
mpiexec -n 4 python examples/fleet_of_poles.py 4
python examples/fleet_of_poles.py 3 URL        three, by workers of a hub: start them with cdq join URL
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from matplotlib import pyplot

import cdq
from cdq.job import Hosting

WAYS = {"alone": cdq.Personal(prior=0), "one table": "pooled", "beside all": cdq.Personal(prior=300)}
STEPS, SEEDS = (20_000, 60_000, 200_000), range(5)


def learner(robots: int, merge: str | cdq.Personal, seed: int, **how: Any) -> cdq.QLearner:
    """Return a learner whose workers step a cart each, with a pole of its own: half of its length, and its mass."""
    poles = [
        {"length": float(length), "masspole": float(mass)}
        for length, mass in zip(np.linspace(0.2, 1.6, robots), np.linspace(0.05, 0.6, robots), strict=True)
    ]
    features = cdq.TileCoding(tilings=16, tiles=8)
    return cdq.QLearner("cdq/CartPole-v0", env_kwargs=poles, features=features, merge=merge, seed=seed, **how)


def mean_return(agent: cdq.QLearner) -> float:
    """Return the mean return of the greedy policies, each in its worker's environment."""
    return float(np.mean([result.mean_return for result in agent.evaluate(episodes=50, seed=1).values()]))


def mean_returns(robots: int, merge: str | cdq.Personal, seed: int) -> list[float]:
    """Return what `mean_return` is after each number of steps, all workers' together."""
    agent = learner(robots, merge, seed)
    return [mean_return(agent.learn(steps - agent.steps, verbose=0)) for steps in STEPS]


def by_hub(robots: int, url: str) -> None:
    agent = learner(robots, WAYS["beside all"], 0, comm="zmq", checkpoint="fleet_of_poles.job")
    agent.learn(STEPS[0], verbose=0, hosting=Hosting(url))
    print(f"beside all, by a hub {mean_return(agent):8.0f}, table {agent.table.digest()}")


def main(robots: int) -> None:
    found = {
        name: np.mean([mean_returns(robots, merge, seed) for seed in SEEDS], axis=0)
        for name, merge in WAYS.items()
    }
    if cdq.QLearner("FrozenLake-v1").rank:
        return  # one of several processes tells
    print("steps of all workers " + " ".join(f"{steps:>8,}" for steps in STEPS))
    ax = pyplot.figure(figsize=(6, 3), layout="constrained").add_subplot()
    for name, returns in found.items():
        print(f"{name:20} " + " ".join(f"{value:8.0f}" for value in returns))
        ax.semilogx(STEPS, returns, "o-", label=name)
    ax.set(xlabel="steps of all workers", ylabel="mean return", ylim=(0, 500))
    ax.legend()
    ax.figure.savefig("fleet_of_poles.svg")


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    main(number) if len(sys.argv) < 3 else by_hub(number, sys.argv[2])
