"""Finite horizons, average reward, and where the search begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.errors import ConfigError, ModelError
from cdq.mdp.model import MDP
from cdq.mdp.planning import bounds, evaluate_policy, optimality_gap, solve
from tests.reference.planning import dense, random_model

SEEDS = st.integers(0, 2**32 - 1)


def loops(rewards: list[list[tuple[int, float]]]) -> MDP:
    """Return a deterministic model: rewards[state][action] = (successor, reward)."""
    rows = [(s, a, to, 1.0, pay) for s, row in enumerate(rewards) for a, (to, pay) in enumerate(row)]
    return MDP.from_outcomes(*zip(*rows, strict=True))


@given(seed=SEEDS, gamma=st.sampled_from([0.0, 0.7, 1.0]), horizon=st.integers(1, 6))
def test_backward_induction_against_the_reference(seed: int, gamma: float, horizon: int) -> None:
    model = random_model(seed)
    rewards, onward = dense(model)
    found = solve(model, gamma, horizon=horizon)
    assert found.values.shape == (horizon, 5, 3)
    following = np.zeros(5, np.longdouble)
    for stage in reversed(range(horizon)):
        table = (rewards + gamma * (onward @ following)).reshape(5, 3)
        assert np.abs(found.values[stage] - table).max() <= found.error
        following = table.max(axis=1)
    assert found.error < 1e-12
    assert np.array_equal(found.state_values, found.values.max(axis=2))
    values = evaluate_policy(model, found.policy, gamma, horizon=horizon)
    np.testing.assert_allclose(values, found.state_values, rtol=0, atol=1e-12)


def test_the_last_steps_are_played_otherwise() -> None:
    model = loops([[(0, 1.0), (1, 0.0)], [(1, 3.0), (1, 0.0)]])
    found = solve(model, horizon=4)
    assert found.policy[:, 0].tolist() == [1, 1, 1, 0]  # going over pays from the step after the next on
    assert found.state_values[:, 0].tolist() == [9.0, 6.0, 3.0, 1.0]


def test_a_horizon_evaluates_policies_of_each_kind() -> None:
    model = loops([[(0, 1.0), (1, 0.0)], [(1, 3.0), (1, 0.0)]])
    assert evaluate_policy(model, [0, 0], horizon=2).tolist() == [[2.0, 6.0], [1.0, 3.0]]
    assert evaluate_policy(model, [[1, 0], [0, 0], [0, 0]], horizon=3)[0].tolist() == [6.0, 9.0]
    assert evaluate_policy(model, [[0.5, 0.5], [1.0, 0.0]], 0.5, horizon=1).tolist() == [[0.5, 3.0]]


def test_equal_actions_of_a_stage_are_told_apart_by_more_than_rounding() -> None:
    model = loops([[(0, 0.1 + 0.2), (0, 0.3)]])
    assert solve(model, horizon=1).policy.tolist() == [[0]]
    model = loops([[(0, 0.3), (0, 0.1 + 0.2)]])
    assert solve(model, horizon=1).policy.tolist() == [[0]]


def test_a_loss_that_nobody_takes_does_not_blur_a_horizon() -> None:
    model = loops([[(0, 1.0), (0, -1e300)], [(0, 0.5), (0, -1e300)]])
    found = solve(model, horizon=50)
    assert found.state_values[0].tolist() == [50.0, 49.5]
    assert (found.policy == 0).all()


@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_the_average_of_a_cycle(size: int) -> None:
    """A cycle is periodic: value iteration itself would go round for ever."""
    model = loops([[((state + 1) % size, float(state))] for state in range(size)])
    found = solve(model, criterion="average")
    mean = (size - 1) / 2
    assert found.lower <= mean <= found.upper
    assert found.error < 1e-9
    assert evaluate_policy(model, np.zeros(size, int), criterion="average") == pytest.approx(
        [mean] * size, abs=1e-12
    )


@given(seed=SEEDS)
def test_the_average_against_many_steps(seed: int) -> None:
    model = random_model(seed, ends=0.0)
    rewards, onward = (part.astype(float) for part in dense(model))
    found = solve(model, criterion="average")
    best = -np.inf
    for policy in np.ndindex(*[3] * 5):
        pairs = np.arange(5) * 3 + np.array(policy)
        stationary = np.vstack([np.eye(5) - onward[pairs].T, np.ones(5)])
        share = np.linalg.lstsq(stationary, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0]), rcond=None)[0]
        best = max(best, float(share @ rewards[pairs]))
    assert found.lower - 1e-11 <= best <= found.upper + 1e-11
    assert found.error < 1e-9
    gain = evaluate_policy(model, found.policy, criterion="average")
    assert (gain >= found.lower - 1e-11).all()


def test_the_average_takes_the_better_loop_where_all_can_reach_it() -> None:
    model = loops([[(0, 0.5), (1, -5.0)], [(1, 1.0), (1, 0.0)]])
    found = solve(model, criterion="average")
    assert found.gain == pytest.approx(1.0, abs=1e-9)
    assert found.policy[0] == 1
    assert found.bias[1] - found.bias[0] == pytest.approx(6.0, abs=1e-6)


def test_long_and_slowly_mixing_models_are_certified() -> None:
    n = 60  # a corridor with slips: both ends keep one busy for long
    rows = []
    for state in range(n):
        for action, way in enumerate((-1, 1)):
            onward, back = (min(max(state + way * sign, 0), n - 1) for sign in (1, -1))
            rows += [(state, action, onward, 0.6, float(state == n - 1)), (state, action, back, 0.4, 0.0)]
    found = solve(MDP.from_outcomes(*zip(*rows, strict=True)), criterion="average")
    assert found.error < 1e-9
    assert (found.policy == 1).all()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (loops([[(0, 0.0)], [(1, 1.0)]]), "states 0 and 1 lead to no state in common"),
        (loops([[(0, 5.0), (1, 0.0)], [(1, 1.0), (1, 1.0)]]), "depends on the first state"),
        ("FrozenLake-v1", "may end the episode"),
    ],
)
def test_averages_that_depend_on_the_start_are_refused(model: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        solve(model, criterion="average")


def test_averages_of_policies_that_depend_on_the_start_are_refused() -> None:
    model = loops([[(0, 5.0), (1, 0.0)], [(1, 1.0), (0, 1.0)]])
    assert evaluate_policy(model, [1, 0], criterion="average").tolist() == pytest.approx([1.0, 1.0])
    with pytest.raises(ModelError, match="states 0 and 1 lead to no state in common"):
        evaluate_policy(model, [0, 0], criterion="average")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "gamma is missing"),
        ({"gamma": 0.9, "criterion": "average"}, "takes no gamma"),
        ({"criterion": "mean"}, "criterion is 'mean'; allowed: 'discounted' or 'average'"),
        ({"horizon": 0}, "horizon is 0; allowed: a whole number of at least 1"),
        ({"horizon": 2.5}, "horizon is 2.5"),
        ({"horizon": 3, "criterion": "average"}, "takes no gamma, horizon"),
        ({"horizon": 3, "initial_values": [0.0]}, "a horizon takes no initial"),
        ({"gamma": 0.9, "initial_values": [0.0], "initial_policy": [0]}, "allowed: one of them"),
        ({"gamma": 0.9, "initial_values": [1e308]}, "initial_values go up to 1e"),
        ({"gamma": 0.9, "initial_policy": [3]}, "policy takes action 3"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        solve(loops([[(0, 1.0)]]), **arguments)


@given(seed=SEEDS, gamma=st.sampled_from([0.5, 0.95, 1.0]), scale=st.sampled_from([0.0, 1.0, 1e6]))
def test_any_start_leads_to_the_optimum(seed: int, gamma: float, scale: float) -> None:
    model = random_model(seed, ends=0.5)
    if gamma == 1.0 and not np.logical_or.reduceat(model.terminated, model.offsets[:-1]).all():
        return  # some policy may never end
    random = np.random.default_rng(seed)
    cold = solve(model, gamma)
    values, policy = random.normal(size=5) * scale, random.integers(3, size=5)
    for start in (
        {"initial_values": values},
        {"initial_values": random.normal(size=(5, 3))},
        {"initial_policy": policy},
    ):
        warm = solve(model, gamma, **start)  # type: ignore[arg-type]
        assert np.abs(warm.values - cold.values).max() <= warm.error + cold.error
        assert warm.error <= max(1e-9, 2.0 * cold.error)


def test_a_start_at_the_optimum_is_quick() -> None:
    model = random_model(3, ends=0.0)
    cold = solve(model, 0.99)
    assert solve(model, 0.99, initial_values=cold.state_values).iterations <= 2
    assert solve(model, 0.99, initial_policy=cold.policy).iterations <= 3 < cold.iterations
    assert (
        solve(model, criterion="average", initial_values=solve(model, criterion="average").bias).iterations
        <= 2
    )


@pytest.mark.parametrize("horizon", [10**12, 10**18])
def test_a_horizon_that_memory_cannot_hold_is_refused(horizon: int) -> None:
    model = loops([[(0, 1.0), (0, 0.0)]])
    for call in (
        lambda: solve(model, horizon=horizon),
        lambda: evaluate_policy(model, [0], horizon=horizon),
    ):
        with pytest.raises(
            ConfigError, match=rf"horizon is {horizon}; its tables, .* allowed here: 1 to \d+"
        ):
            call()


def test_a_horizon_that_fills_the_free_memory_is_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdq.mdp.finite_horizon.free_memory", lambda: 3200)
    model = loops([[(0, 1.0), (0, 0.0)]])
    assert solve(model, horizon=100).state_values[0].tolist() == [100.0]
    with pytest.raises(ConfigError, match="allowed here: 1 to 100"):
        solve(model, horizon=101)


def test_a_missing_gamma_offers_a_horizon_only_where_there_is_one() -> None:
    model = loops([[(0, 1.0), (0, 0.0)]])
    for call in (bounds, optimality_gap):
        with pytest.raises(ConfigError, match="gamma is None; allowed: 0 to 1") as caught:
            call(model, np.zeros((1, 2)), None)  # type: ignore[arg-type]
        assert "horizon" not in str(caught.value)
