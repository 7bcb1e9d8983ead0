"""Draw the pictures of the pages, from runs that take some seconds: ``python -m docs.draw_pictures``.

They have no background, and lines and texts in a grey that is read on white and on black.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import matplotlib
import numpy as np
from matplotlib import pyplot

import cdq
import cdq.envs
from cdq.envs.routing import Routing, deliver, shortest
from tests.experiments.test_agents import GAMES, comes_to_the_best

TARGET = Path(__file__).with_name("pictures")

GREY = "#767676"
STYLE = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), GREY),
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "font.size": 11,
    "svg.fonttype": "path",
    "svg.hashsalt": "cdq",
}


@cache
def lake() -> cdq.QLearner:
    """Return a learner of FrozenLake."""
    return cdq.QLearner("FrozenLake8x8-v1", workers=2, seed=0).learn(4_000_000)


@cache
def car() -> cdq.QLearner:
    """Return a learner of MountainCar."""
    return cdq.QLearner("MountainCar-v0", gamma=1.0, seed=0).learn(2_000_000)


@cache
def explorations() -> cdq.Comparison:
    """Return runs with several rates of exploration."""
    settings = {f"exploration {rate}": {"exploration": rate} for rate in (0.03, 0.1, 0.3)}
    return cdq.compare(settings, "FrozenLake8x8-v1", steps=500_000, seeds=10, sync_every=1000)


def values() -> Any:
    """Draw values and policy of a lake."""
    return cdq.plot.values(lake())


def maze() -> Any:
    """Draw values and policy of a maze."""
    env = gymnasium.make("cdq/GridWorld-v0", shape=(10, 20), walls=0.2, seed=5, slip=0.1, start=(0, 0))
    return cdq.plot.values(cdq.QLearner(env, seed=0).learn(2_000_000))


def visits() -> Any:
    """Draw visits of a lake."""
    return cdq.plot.visits(lake())


def table() -> Any:
    """Draw a table of action values."""
    return cdq.plot.table(cdq.QLearner("FrozenLake-v1", seed=0).learn(500_000))


def learning_curve() -> Any:
    """Draw returns with bands."""
    return cdq.plot.learning_curve(explorations())


def gap() -> Any:
    """Draw gaps with bands."""
    return cdq.plot.gap(explorations())


def communication() -> Any:
    """Draw gaps over bytes."""
    settings = {f"every {n} steps": {"sync_every": n} for n in (100, 1000, 10_000)}
    runs = cdq.compare(settings, "FrozenLake8x8-v1", workers=4, steps=500_000, seeds=5)
    return cdq.plot.communication(runs)


def speedup() -> Any:
    """Draw what workers are worth; one run at a time, so that seconds are those of a run alone."""
    goal, model = cdq.OptimalWithin(0.05), cdq.MDP.garnet(3000, 4, branching=5, seed=0)
    runs = [
        cdq.QLearner(model, gamma=0.9, exploration=1.0, workers=workers, seed=seed, sync_every=50_000).learn(
            1e8, until=goal
        )
        for workers in (1, 2, 4)
        for seed in range(10)
    ]
    return cdq.plot.speedup(runs)


def cooperation() -> Any:
    """Draw how often two agents with one reward come to the best pair of actions, by game and rule."""
    games = list(GAMES)
    ax = pyplot.figure(figsize=(7, 3), layout="constrained").add_subplot()
    for at, rule in enumerate(("q-learning", cdq.Hysteretic(0.01), cdq.Hysteretic(0.0))):
        parts = [sum(comes_to_the_best(game, rule, seed) for seed in range(40)) / 40 for game in games]
        bars = ax.bar([place + 0.27 * at for place in range(len(games))], parts, 0.25, label=f"{rule}")
        ax.bar_label(bars, fmt="{:.2g}", padding=2)
    ax.set_xticks([place + 0.27 for place in range(len(games))], games)
    ax.set(ylabel="runs at the best pair", ylim=(0, 1.25))
    ax.legend(ncols=3, frameon=False, loc="upper center")
    return ax


def signals() -> Any:
    """Draw how many vehicles wait in a city of traffic lights as these learn."""
    ax = pyplot.figure(figsize=(7, 3.6), layout="constrained").add_subplot()
    kinds = {
        "a table each": ("own", "local"),
        "one table": ("shared", "local"),
        "the city's reward": ("own", "global"),
    }
    for name, (groups, reward) in kinds.items():
        agent = cdq.QLearner(
            cdq.Signals(reward=reward, time_limit=500), groups=groups, gamma=0.9, step_size=0.05, num_envs=1, seed=0,
            exploration=cdq.LinearDecay(0.2, 0.0, 288_000), sync_every=4500,
        ).learn(360_000, verbose=0)  # fmt: skip
        steps, returns = (agent.history.column(column) for column in ("steps", "mean_return"))
        ended = ~np.isnan(returns)
        ax.plot(steps[ended] / 9, -returns[ended] / 500 * (1 if reward == "global" else 9), label=name)
    ax.axhline(30.1, color=GREY, linestyle=":", label="a fixed cycle")
    ax.axhline(23.5, color=GREY, linestyle="--", label="the longest queue")
    ax.set(xlabel="decisions of each light", ylabel="vehicles that wait", ylim=(15, 80))
    ax.legend(frameon=False, ncols=2)
    return ax


def routing() -> Any:
    """Draw how long a packet takes by the load of a network."""
    loads, fixed, learnt = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0), [], []
    for load in loads:
        network = Routing(load=load)
        fixed.append(deliver(network, shortest, 2000).ticks)
        agent = cdq.QLearner(network, gamma=1.0, step_size=0.5, exploration=0.0, num_envs=1, seed=1)
        returns = agent.learn(3_000_000, verbose=0).history.column("mean_return")
        learnt.append(network.packet_time(float(returns[~np.isnan(returns)][-1])))
    ax = pyplot.figure(figsize=(7, 3.6), layout="constrained").add_subplot()
    ax.semilogy(loads, fixed, "o-", label="shortest ways, after 2,000 ticks")
    ax.semilogy(loads, learnt, "o-", label="Q-routing")
    ax.set(xlabel="packets that come in a tick", ylabel="ticks that a packet takes")
    ax.legend(frameon=False)
    return ax


def surface() -> Any:
    """Draw values over position and speed."""
    ax = cdq.plot.surface(car())
    ax.set(xlabel="position", ylabel="speed")
    return ax


def surface_3d() -> Any:
    """Draw values over position and speed in three dimensions."""
    ax = cdq.plot.surface(car(), ax=pyplot.figure(layout="constrained").add_subplot(projection="3d"))
    ax.set(xlabel="position", ylabel="speed")
    ax.set_box_aspect(None, zoom=0.85)
    return ax


SVG = (
    values,
    maze,
    visits,
    table,
    learning_curve,
    gap,
    communication,
    speedup,
    cooperation,
    signals,
    routing,
)
PNG = (surface, surface_3d)  # smooth shades, which take megabytes as lines
FILES: dict[str, Callable[[], Any]] = {
    **{f"{draw.__name__}.svg": draw for draw in SVG},
    **{f"{draw.__name__}.png": draw for draw in PNG},
}


def write(name: str, folder: Path = TARGET) -> None:
    """Draw a picture and write its file."""
    with matplotlib.rc_context(STYLE):
        figure = FILES[name]().figure
        metadata = {"Date": None} if name.endswith("svg") else {}
        figure.savefig(folder / name, dpi=80, metadata=metadata)
        pyplot.close(figure)


if __name__ == "__main__":
    matplotlib.use("agg")
    TARGET.mkdir(exist_ok=True)
    for name in FILES:
        write(name)
