"""Send a robot to collect what is wanted today: weights that it never learnt, without learning again.

In the building of routes.py each door has a thing of its own kind; whoever takes one is then anywhere. Floors are
slippery. Four workers learn to collect one kind each, as successor features: how much of every kind a way brings. What
several kinds together are worth is then a sum, and the best of the four ways in each place is a policy for any weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib import pyplot
from routes import CELLS, NUMBER, moved

import cdq

DOORS = [NUMBER[cell] for cell in ((3, 6), (10, 6), (6, 2), (7, 9))]
SLIP, GAMMA = 1 / 3, 0.9


def building() -> cdq.MDP:
    """Return the building as a model; a reward of 1 to 4 says which thing was taken."""
    rows, everywhere = [], np.arange(len(CELLS))
    for cell in range(len(CELLS)):
        for action in range(4):
            for move in range(4):
                chance, entered = (1 - SLIP if move == action else SLIP / 3), moved(cell, move)
                if entered in DOORS:
                    paid = DOORS.index(entered) + 1.0
                    rows += [(cell, action, anywhere, chance / len(CELLS), paid) for anywhere in everywhere]
                else:
                    rows.append((cell, action, entered, chance, 0.0))
    return cdq.MDP.from_outcomes(*map(np.array, zip(*rows, strict=True)), name="collecting robot")


def taken(
    states: np.ndarray, actions: np.ndarray, rewards: np.ndarray, next_states: np.ndarray
) -> np.ndarray:
    """Return which of the four things each transition took, (n, 4)."""
    return rewards[:, None] == np.arange(1, 5)


def main() -> None:
    model, random = building(), np.random.default_rng(1)
    agent = cdq.QLearner(
        model,
        tasks=cdq.Weights(np.eye(4), taken),
        gamma=GAMMA,
        exploration=0.3,
        workers=4,
        num_envs=1,
        sync_every=100,
        seed=0,
    )
    agent.learn(32_000)
    own = [table.policy() for table in agent.tables.values()]
    by_all, by_one = [], []
    for weights in random.dirichlet(np.ones(4), size=8):
        wanted = replace(model, reward=taken(None, None, model.reward, None) @ weights)
        policy = np.array([agent.predict(cell, weights=weights) for cell in range(len(CELLS))])
        best = cdq.solve(wanted, GAMMA).state_values.mean()
        by_all.append(np.mean(cdq.evaluate_policy(wanted, policy, GAMMA)) / best)
        by_one.append(max(np.mean(cdq.evaluate_policy(wanted, one, GAMMA)) for one in own) / best)
    ax = pyplot.figure(figsize=(6, 3), layout="constrained").add_subplot()
    wishes = np.arange(8)
    ax.bar(wishes - 0.2, by_all, 0.4, label="all ways together")
    ax.bar(wishes + 0.2, by_one, 0.4, label="the best of the four tasks alone")
    ax.set(xlabel="wish", ylabel="part of the best possible", ylim=(0.6, 1.0))
    ax.legend(loc="lower right")
    ax.figure.savefig("collecting_robot.svg")
    print(f"{agent.steps:,} steps of 4 workers, 4 tasks; 8 wishes that none of them is:")
    print(
        f"{np.mean(by_all):.2f} of the best possible, at once; {np.mean(by_one):.2f} by the best task alone"
    )


if __name__ == "__main__":
    main()
