"""Eight carts with poles of different length and mass: each learns alone, all as one, or each for itself beside all."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot

import cdq

# Half lengths and masses; each worker steps a cart of its own.
POLES = [
    {"length": float(length), "masspole": float(mass)}
    for length, mass in zip(np.linspace(0.2, 1.6, 8), np.linspace(0.05, 0.6, 8), strict=True)
]
WAYS = {"alone": cdq.Personal(prior=0), "one table": "pooled", "beside all": cdq.Personal(prior=300)}
STEPS, SEEDS = (20_000, 60_000, 200_000), range(5)


def mean_returns(merge: str | cdq.Personal, seed: int) -> list[float]:
    """Return the mean return of the eight greedy policies after each number of steps, all workers' together."""
    features = cdq.TileCoding(tilings=16, tiles=8)
    agent = cdq.QLearner("cdq/CartPole-v0", env_kwargs=POLES, features=features, merge=merge, seed=seed)
    found = []
    for steps in STEPS:
        agent.learn(steps - agent.steps, verbose=0)
        results = agent.evaluate(episodes=50, seed=1)
        found.append(float(np.mean([result.mean_return for result in results.values()])))
    return found


def main() -> None:
    print("steps of all workers " + " ".join(f"{steps:>8,}" for steps in STEPS))
    ax = pyplot.figure(figsize=(6, 3), layout="constrained").add_subplot()
    for name, merge in WAYS.items():
        returns = np.mean([mean_returns(merge, seed) for seed in SEEDS], axis=0)
        print(f"{name:20} " + " ".join(f"{value:8.0f}" for value in returns))
        ax.semilogx(STEPS, returns, "o-", label=name)
    ax.set(xlabel="steps of all workers", ylabel="mean return", ylim=(0, 500))
    ax.legend()
    ax.figure.savefig("fleet_of_poles.svg")


if __name__ == "__main__":
    main()
