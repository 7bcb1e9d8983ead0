"""Playing an environment against its table."""

from __future__ import annotations

import itertools
import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.toy_text.taxi import TaxiEnv

import cdq
from cdq.envs.playing import _evidence, play
from cdq.envs.spaces import Encoder
from cdq.envs.toy_text import read_table
from cdq.mdp import from_table
from tests.envs.tables import Lake, Walk, table_of_walk


def played(env: Any, table: Any = None) -> tuple[bool, str]:
    model = from_table(cdq.MDP, read_table(table or env))
    return play(env, model, Encoder(env.observation_space, env.action_space), masks=False)


def test_the_same_steps_at_each_call() -> None:
    assert played(Lake()) == played(Lake())


@pytest.mark.parametrize("chances", [(0.5, 0.5), (0.1, 0.2, 0.7), (1e-3, 1 - 1e-3)])
def test_evidence_is_a_likelihood_ratio(chances: tuple[float, ...]) -> None:
    """Its mean under the chances is 1, so that it exceeds x with a probability of at most 1 / x."""
    n, total = 7, 0.0
    for counts in itertools.product(range(n + 1), repeat=len(chances)):
        if sum(counts) == n:
            ways = math.factorial(n) / math.prod(map(math.factorial, counts))
            likelihood = ways * math.prod(
                chance**count for chance, count in zip(chances, counts, strict=True)
            )
            total += likelihood * math.exp(_evidence(counts, chances))
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(8))
def test_a_right_table_is_not_refused(seed: int) -> None:
    class Seeded(Lake):
        def reset(self, **arguments: Any) -> Any:
            return super().reset(**({"seed": seed} if "seed" in arguments else {}))

    assert played(Seeded())[0]


def test_rewards_of_32_bits_are_those_of_the_table() -> None:
    table = table_of_walk()
    table[2][1] = [(1.0, 3, 0.1, True)]
    env = Walk(table)
    env.price = np.float32(0.1)  # type: ignore[assignment]
    assert played(env)[0]
    env.price = 0.1001
    assert not played(env)[0]


def test_a_discount_that_steps_say_is_against_a_table() -> None:
    class Discounting(Walk):
        def step(self, action: Any) -> Any:
            return *super().step(action)[:4], {"discount": 0.5}

    fits, why = played(Discounting(table_of_walk()))
    assert not fits
    assert "says a discount" in why
    agent = cdq.QLearner(lambda: Discounting(table_of_walk()), seed=0)
    assert agent.stepping == "Python environment"


def test_sizes_of_gymnasium_are_played_in_a_moment() -> None:
    """Some 15 microseconds a step of Gymnasium's in Python, so that steps are what is counted."""

    class Taxi(TaxiEnv):
        taken = 0

        def step(self, a: Any) -> Any:
            self.taken += 1
            return super().step(a)

    env = Taxi()
    assert played(env)[0]
    assert env.taken < 8000


class Counting(Lake):
    """Counts its steps."""

    taken = 0

    def step(self, a: Any) -> Any:
        self.taken += 1
        return super().step(a)


def test_what_is_given_is_played_as_a_copy_once_that_was_seen_to_be_one() -> None:
    env = Counting()
    agent = cdq.QLearner(env, seed=0)
    assert agent.stepping_reason.startswith("12,167 steps")
    assert 0 < env.taken <= 600
    assert (env.s, env.elapsed) == (0, 0)


def test_what_has_no_copy_is_played_itself_and_reset() -> None:
    env: Any = Walk(table_of_walk())
    env.generator = (i for i in range(3))
    assert cdq.QLearner(env, seed=0).stepping == "compiled model"
    assert env.at == 0


def test_deep_states_are_looked_for() -> None:
    """Where random play gets nowhere, the table says how to get on."""
    sea = gymnasium.make("cdq/DeepSea-v0", size=12).unwrapped
    assert played(sea)[0]
