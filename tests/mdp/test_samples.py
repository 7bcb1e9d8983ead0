"""`MDP.from_samples`: the empirical model of transitions."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cdq.errors import ModelError
from cdq.mdp.model import MDP
from cdq.mdp.planning import solve

OK: dict[str, Any] = {
    "state": [0, 0, 1],
    "action": [0, 1, 0],
    "reward": [1.0, -2.0, 0.5],
    "next_state": [1, 0, 1],
    "terminated": [False, True, False],
}
SIZE: dict[str, Any] = {"n_states": 3, "n_actions": 2}


def outcomes_of(model: MDP) -> dict[tuple[int, int], dict[tuple[int, float, bool], float]]:
    found: dict[tuple[int, int], dict[tuple[int, float, bool], float]] = defaultdict(dict)
    for pair in range(model.n_pairs):
        for k in range(model.offsets[pair], model.offsets[pair + 1]):
            outcome = int(model.next_state[k]), float(model.reward[k]), bool(model.terminated[k])
            found[divmod(pair, model.n_actions)][outcome] = float(model.probability[k])
    return dict(found)


def test_outcomes_are_as_likely_as_they_were_frequent() -> None:
    random = np.random.default_rng(1)
    n, n_states, n_actions = 5000, 7, 3
    columns = (
        random.integers(n_states, size=n),
        random.integers(n_actions, size=n),
        random.choice([-1.0, 0.0, 2.5], size=n),
        random.integers(n_states, size=n),
        random.random(n) < 0.2,
    )
    model = MDP.from_samples(*columns, n_states=n_states, n_actions=n_actions)
    counts: dict[tuple[int, int], Counter[tuple[int, float, bool]]] = defaultdict(Counter)
    for s, a, r, s2, end in zip(*(column.tolist() for column in columns), strict=True):
        counts[s, a][s2, r, end] += 1
    expected = {
        pair: {outcome: k / sum(counter.values()) for outcome, k in counter.items()}
        for pair, counter in counts.items()
    }
    assert outcomes_of(model) == expected


def test_a_measured_model_is_the_model_in_the_limit() -> None:
    model = MDP.garnet(30, 3, branching=4, seed=5)
    random, n = np.random.default_rng(2), 300_000
    pair = random.integers(model.n_pairs, size=n)
    k = model.offsets[pair] + (
        random.random(n)[:, None] > np.cumsum(model.probability.reshape(-1, 4)[pair], axis=1)
    ).sum(axis=1).clip(max=3)
    measured = MDP.from_samples(
        pair // 3,
        pair % 3,
        model.reward[k],
        model.next_state[k],
        model.terminated[k],
        n_states=30,
        n_actions=3,
    )
    error = np.abs(solve(measured, 0.9).values - solve(model, 0.9).values).max()
    assert 0.0 < error < 0.1


def test_a_pair_never_tried_ends_the_episode_at_the_lowest_reward() -> None:
    model = MDP.from_samples(**OK, **SIZE)
    found = outcomes_of(model)
    assert found[0, 0] == {(1, 1.0, False): 1.0}
    assert found[1, 1] == {(1, -2.0, True): 1.0}
    assert found[2, 0] == found[2, 1] == {(2, -2.0, True): 1.0}
    assert outcomes_of(MDP.from_samples(**OK, **SIZE, untried=7.0))[1, 1] == {(1, 7.0, True): 1.0}


def test_episodes_start_where_actions_were_tried() -> None:
    assert MDP.from_samples(**OK, **SIZE).start.tolist() == [0.5, 0.5, 0.0]
    assert MDP.from_samples(**OK, **SIZE, start=[0, 0, 1]).start.tolist() == [0.0, 0.0, 1.0]


def test_sums_are_1_with_more_samples_than_a_sum_of_fractions_bears() -> None:
    n = 3_000_003
    model = MDP.from_samples(
        np.zeros(n, int),
        np.zeros(n, int),
        np.zeros(n),
        np.arange(n) % 7,
        np.zeros(n, bool),
        n_states=7,
        n_actions=1,
    )
    assert abs(model.probability[:7].sum() - 1.0) < 1e-15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": [0, 3, 1]}, "state of transition 1 is 3; allowed: 0 to 2"),
        ({"action": [0, 0, -1]}, "action of transition 2 is -1; allowed: 0 to 1"),
        ({"next_state": [9, 0, 0]}, "next_state of transition 0 is 9"),
        ({"reward": [0.0, np.nan, 1.0]}, "reward of transition 1 is nan; allowed: finite"),
        ({"reward": [0.0]}, r"reward has shape \(1,\); allowed: \(3,\)"),
        ({"terminated": [False] * 4}, r"terminated has shape \(4,\)"),
        ({"state": [0.5, 0, 1]}, "state is 0.5 at 0; allowed: integers"),
        ({"state": [], "action": []}, "allowed: integers, one or more"),
        ({"n_actions": 0}, "n_actions is 0"),
        ({"untried": np.inf}, "untried is inf; allowed: a finite reward, 'missing' or None"),
        ({"start": [1.0]}, "start has shape"),
        ({"time_limit": 0}, "time_limit is 0"),
    ],
)
def test_bad_samples_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MDP.from_samples(**{**OK, **SIZE, **change})


# ---- what people's logs hold

COLUMNS: dict[str, Any] = {
    "state": [0, 0, 1],
    "action": [0, 0, 1],
    "reward": [1.0, 2.0, 3.0],
    "next_state": [1, 0, 0],
    "terminated": [False, False, True],
}


def fingerprint(**columns: Any) -> str:
    return MDP.from_samples(**{**COLUMNS, **columns}, n_states=3, n_actions=2).fingerprint()


@pytest.mark.parametrize(
    "columns",
    [
        {"state": [0.0, 0.0, 1.0], "action": np.array([0, 0, 1], np.float32)},
        {"state": pd.Series([0, 0, 1], dtype="Int64"), "action": pd.Series([0, 0, 1], dtype="category")},
        {"state": np.array([0, 0, 1], np.uint8), "next_state": np.array([1, 0, 0], np.int32)},
        {"terminated": [0.0, 0.0, 1.0], "reward": pd.Series([1, 2, 3], dtype="Int64")},
        {"reward": np.array([1, 2, 3], object)},
    ],
)
def test_numbers_of_any_type(columns: Any) -> None:
    assert fingerprint(**columns) == fingerprint()


def test_the_next_state_may_be_missing_where_the_episode_ended() -> None:
    expected = fingerprint(next_state=[1, 0, 1])
    for missing in ([1, 0, None], [1.0, 0.0, np.nan], pd.Series([1, 0, pd.NA], dtype="Int64")):
        assert fingerprint(next_state=missing) == expected
    with pytest.raises(ModelError, match="next_state is nan at 1; allowed: integers"):
        fingerprint(next_state=[1, None, 0])


def test_a_pair_never_tried_may_be_missing() -> None:
    model = MDP.from_samples(**COLUMNS, n_states=3, n_actions=2, untried="missing")
    assert model.actions is not None
    assert model.actions.tolist() == [[True, False], [False, True], [True, True]]
    assert model.reward.tolist() == [
        2.0,
        1.0,
        3.0,
        1.0,
        1.0,
    ]  # nothing was tried in state 2: the lowest reward
    assert model.terminated.tolist() == [False, False, True, True, True]
    every = MDP.from_samples(**{**COLUMNS, "action": [0, 0, 0]}, n_states=2, n_actions=1, untried="missing")
    assert every.actions is None
