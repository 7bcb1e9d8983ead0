"""An environment of your own: a shop that buys cheap on some days, learnt by two processes, and drawn.

As a module it registers ``Shop-v0``, so that ``cdq train shop:Shop-v0`` finds it where PYTHONPATH has its folder.
"""

from __future__ import annotations

import gymnasium
import numpy as np
from matplotlib import pyplot

import cdq

ROOM, PRICES = 20, (2.0, 5.0)


class Shop(gymnasium.Env):
    """Customers take up to three pieces a day, for 8 each; a piece costs 2 or 5 today, and 0.1 a night."""

    observation_space = gymnasium.spaces.MultiDiscrete([ROOM + 1, len(PRICES)])
    action_space = gymnasium.spaces.Discrete(5)  # orders 0, 3, 6, 9 or 12 pieces

    def observe(self):
        self.price = int(self.np_random.random() < 0.7)
        return np.array([self.stock, self.price])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.stock = 0
        return self.observe(), {}

    def step(self, action):
        bought = min(3 * int(action), ROOM - self.stock)
        sold = min(self.stock + bought, int(self.np_random.integers(4)))
        self.stock += bought - sold
        reward = 8.0 * sold - PRICES[self.price] * bought - 0.1 * self.stock
        return self.observe(), reward, False, False, {}


gymnasium.register("Shop-v0", Shop, max_episode_steps=100)


def draw(agent: cdq.QLearner) -> None:
    figure, ax = pyplot.subplots(layout="constrained")
    stock = np.arange(13)  # more are seldom there
    for price, cost in enumerate(PRICES):
        pieces = [3 * agent.predict((pieces, price)) for pieces in stock]
        ax.step(stock, pieces, where="mid", label=f"a piece costs {cost:g}")
    ax.set(xlabel="pieces in the shop", ylabel="pieces to order")
    ax.legend()
    figure.savefig("shop.svg")


def main() -> None:
    agent = cdq.QLearner(Shop, workers=2, gamma=0.9, exploration=0.2, seed=0)
    agent.learn(600_000)
    draw(agent)
    cheap, dear = (3 * agent.predict((2, price)) for price in (0, 1))
    print(f"with 2 pieces left, order {cheap} where they are cheap and {dear} where they are dear")
    print(f"table {agent.table.digest()}")


if __name__ == "__main__":
    main()
