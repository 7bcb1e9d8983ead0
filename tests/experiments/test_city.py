"""Known figures of traffic signals and packet routing: tables each and shared, workers as experience, loads."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.envs.routing import Routing, deliver, shortest
from cdq.envs.signals import fixed_cycle, longest_queue, mean_queued


def queued(decisions: int, *, seed: int, workers: int = 1, sync_every: int = 20, **given: Any) -> float:
    """Return how many vehicles wait in the last tenth of so many decisions of each signal, a mean over its workers.

    Episodes are tenths, and the last round but one ends before the last of them.
    """
    reward = given.pop("reward", "local")
    city = cdq.Signals(reward=reward, time_limit=decisions // 10)
    steps = 9 * decisions * workers
    agent = cdq.QLearner(
        city, gamma=0.9, step_size=0.05, exploration=cdq.LinearDecay(0.2, 0.0, int(0.8 * steps)), num_envs=1,
        seed=seed, workers=workers, sync_every=9 * sync_every, **given,
    )  # fmt: skip
    agent.learn(steps)
    lanes = np.concatenate([worker._lanes.returns for worker in agent._team.workers.values()])
    assert not lanes.any()  # the last episode has just ended
    last = agent.history[-1]
    assert last.episodes == 90 * workers
    per_decision = last.mean_return / (decisions // 10)
    return -per_decision if reward == "global" else -9 * per_decision


def test_policies_to_compare_with() -> None:
    """A fixed cycle lets a third more vehicles wait than green for the longest queue."""
    city = cdq.Signals()
    cycles = [mean_queued(city, fixed_cycle(decisions), 3000) for decisions in (2, 3, 4)]
    assert 28 <= min(cycles) <= 34
    assert 22.5 <= mean_queued(city, longest_queue, 3000) <= 24.5


def test_a_shared_table_learns_from_nine_signals_at_once() -> None:
    assert max(queued(10_000, seed=seed, groups="shared") for seed in range(3)) <= 24.5


def test_a_table_each_takes_longer() -> None:
    early = statistics.mean(queued(10_000, seed=seed) for seed in range(3))
    late = [queued(40_000, seed=seed) for seed in range(3)]
    assert max(late) <= 25
    assert 25.5 <= early <= 32


def test_a_global_reward_teaches_none_of_them() -> None:
    assert min(queued(40_000, seed=seed, reward="global") for seed in range(3)) >= 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sync_every", "total", "ways"),
    [
        (20, 10_000, (1, 4)),
        (20, 20_000, (1, 4, 8)),
        (20, 40_000, (1, 4, 8)),
        (200, 10_000, (1, 4)),
        (200, 40_000, (1, 4)),  # eight, which merge 25 times in all, are about 1 behind
    ],
)
def test_workers_are_experience_for_agents_that_learn_together(
    sync_every: int, total: int, ways: tuple[int, ...]
) -> None:
    def mean(workers: int) -> float:
        runs = (
            queued(total // workers, seed=seed, workers=workers, sync_every=sync_every) for seed in range(4)
        )
        return statistics.mean(runs)

    alone, *others = map(mean, ways)
    assert max(abs(found - alone) for found in others) <= 1.0


# ---- routing


def routed(load: float, ticks: int, seed: int) -> tuple[float, int]:
    """Return the ticks that a packet takes in the last tenth, and the packets that wait, as the network learns."""
    agent = cdq.QLearner(
        Routing(load=load, ticks=10 * ticks), gamma=1.0, step_size=0.5, exploration=0.0, num_envs=1, seed=seed
    )
    totals = np.zeros(4, np.int64)
    marks: list[Any] = []
    while len(marks) < 2:
        agent.learn(1000)
        lane = agent._team.workers[0]._lanes.own.reshape(-1)[:64].view(np.int64)
        if lane[0] >= ticks * (9 + len(marks)) // 10:
            totals = lane.copy()
            marks.append(totals)
    delivered, delay = marks[1][5] - marks[0][5], marks[1][6] - marks[0][6]
    assert not totals[7]
    return float(delay / delivered), int(totals[4])


@pytest.mark.slow
def test_shortest_ways_are_best_at_a_low_load() -> None:
    assert deliver(Routing(load=1.5), shortest, 5000).ticks == pytest.approx(5.0, abs=0.3)
    found = [routed(1.5, 20_000, seed)[0] for seed in range(3)]
    assert 5.2 <= statistics.mean(found) <= 7.5


@pytest.mark.slow
def test_routing_learns_to_keep_up_with_a_load_that_shortest_ways_do_not() -> None:
    network = Routing(load=3.0, ticks=40_000)
    fixed = deliver(network, shortest, 10_000)
    assert fixed.ticks > 300
    assert fixed.waiting > 500
    for seed in range(8):
        ticks, waiting = routed(3.0, 40_000, seed)
        assert ticks <= 20
        assert waiting <= 100


def test_figures_of_nothing() -> None:
    found = deliver(Routing([(0, 1)], load=0.001, ticks=10**6), shortest, 1)
    assert math.isnan(found.ticks) or found.ticks >= 1
