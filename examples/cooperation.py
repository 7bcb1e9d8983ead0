"""Cooperation without communication: two agents with one reward look for the best pair of actions.

The climbing game pays 11 where both take their first action, and -30 where only one of them does. An agent that tries
it while the other explores is punished for it, and learns not to. One that forgets slowly what was good does.

python examples/cooperation.py
"""

from gymnasium.spaces import Discrete
from matplotlib import pyplot

import cdq

PAYOFFS = [[11, -30, 0], [-30, 7, 6], [0, 0, 5]]
RUNS = 10


class Climbing:
    """A ParallelEnv of PettingZoo, of which no more than this is needed; an episode is one game."""

    possible_agents = ("row", "column")

    def observation_space(self, agent):
        return Discrete(1)

    def action_space(self, agent):
        return Discrete(3)

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        return dict.fromkeys(self.agents, 0), {}

    def step(self, actions):
        reward = PAYOFFS[actions["row"]][actions["column"]]
        both, self.agents = self.agents, []
        ended, cut = dict.fromkeys(both, True), dict.fromkeys(both, False)
        return dict.fromkeys(both, 0), dict.fromkeys(both, reward), ended, cut, {}


def best_pairs(rule):
    """Return in how many runs both agents take their first action after 3,000 games."""
    found = 0
    for seed in range(RUNS):
        agent = cdq.QLearner(
            Climbing,
            gamma=0.0,
            step_size=0.1,
            exploration=cdq.ExponentialDecay(1.0, 0.01, 3000),
            rule=rule,
            seed=seed,
        ).learn(6000, verbose=0)
        found += agent.predict(0, "row") == agent.predict(0, "column") == 0
    return found


if __name__ == "__main__":
    rules = ("q-learning", cdq.Hysteretic(0.01), cdq.Hysteretic(0.0))
    found = {str(rule): best_pairs(rule) for rule in rules}
    for rule, runs in found.items():
        print(f"{rule:22} {runs:2} of {RUNS} runs play the best pair")
    ax = pyplot.figure(figsize=(6, 2), layout="constrained").add_subplot()
    ax.bar_label(ax.barh([*reversed(found)], [*reversed(found.values())]), padding=3)
    ax.set_xlabel(f"runs of {RUNS} that play the best pair")
    ax.figure.savefig("cooperation.svg")
