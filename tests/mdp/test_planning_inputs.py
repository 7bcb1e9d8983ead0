"""What planning accepts, refuses, and gives for models as people write them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, ModelError, TableError, UnsupportedEnvironment
from cdq.mdp.model import MDP
from cdq.mdp.planning import bounds, evaluate_policy, optimality_gap, solve


def cycle(*rewards: float) -> MDP:
    n = len(rewards)
    return MDP.from_outcomes(np.arange(n), np.zeros(n, int), (np.arange(n) + 1) % n, np.ones(n), rewards)


def corner_exits(side: int = 4) -> MDP:
    """Return a square grid as arrays: -1 a step, two opposite corners that keep and pay nothing."""
    n = side * side
    row, column = np.divmod(np.arange(n), side)
    P, R = np.zeros((4, n, n)), np.full((n, 4), -1.0)
    for action, (down, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
        successor = np.clip(row + down, 0, side - 1) * side + np.clip(column + right, 0, side - 1)
        successor[[0, n - 1]] = [0, n - 1]
        P[action, np.arange(n), successor] = 1.0
    R[[0, n - 1]] = 0.0
    return MDP.from_arrays(P, R)


def gambler(goal: int = 100, heads: float = 0.4) -> MDP:
    """Return the gambler's problem: stakes of 0 up to what is there or missing; states 0 and goal keep."""
    rows = []
    for capital in range(goal + 1):
        for action in range(goal // 2 + 1):
            stake = min(action, capital, goal - capital)
            if stake == 0:
                rows.append((capital, action, capital, 1.0, 0.0))
                continue
            rows.append((capital, action, capital + stake, heads, float(capital + stake == goal)))
            rows.append((capital, action, capital - stake, 1.0 - heads, 0.0))
    return MDP.from_outcomes(*zip(*rows, strict=True))


def lake_as_arrays() -> MDP:
    """Return FrozenLake as matrices without terminations: holes and goal keep, the goal pays when entered."""
    lake = MDP.from_gymnasium("FrozenLake-v1")
    P, R = np.zeros((4, 16, 16)), np.zeros((16, 4))
    for pair in range(lake.n_pairs):
        state, action = divmod(pair, 4)
        for k in range(*lake.offsets[pair : pair + 2]):
            P[action, state, lake.next_state[k]] += lake.probability[k]
            R[state, action] += lake.probability[k] * lake.reward[k]
    return MDP.from_arrays(P, R)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_equal_actions_are_equal_and_absorbing_states_worth_nothing(gamma: float) -> None:
    optimal = solve(corner_exits(), gamma)
    assert optimal.values[[0, 15]].tolist() == [[0.0] * 4] * 2
    best = np.round(optimal.values, 9)
    assert np.array_equal(optimal.policy, best.argmax(axis=1))
    assert optimal.error < 1e-10


def test_a_state_that_can_only_rest_is_worth_nothing() -> None:
    optimal = solve(MDP.from_arrays([[[0, 1.0], [0, 1]]], [[-1.0], [0]]), 1.0)
    assert optimal.values.tolist() == [[-1.0], [0.0]]
    assert optimal.error < 1e-14
    several = MDP.from_arrays(
        [[[0, 1, 0], [0, 0, 1], [0, 1, 0]], [[0, 1, 0], [0, 1, 0], [0, 0, 1.0]]], [-2.0, 0, 0]
    )
    assert solve(several, 1.0).values.tolist() == [[-2.0, -2.0], [0.0, 0.0], [0.0, 0.0]]


def test_the_gamblers_problem_is_certified() -> None:
    optimal = solve(gambler(), 1.0)
    assert optimal.error < 1e-12
    np.testing.assert_allclose(
        optimal.state_values[[0, 25, 50, 75, 100]], [0.0, 0.16, 0.4, 0.64, 0.0], atol=1e-12
    )
    exact = optimal.state_values.copy()
    exact[100] = 1.0  # the value of having won, as a successor
    assert exact[1] == pytest.approx(0.4 * exact[2], abs=1e-12)  # one can only bet 1
    assert (np.diff(exact) > 0).all()
    assert optimality_gap(gambler(), np.eye(51)[optimal.policy], 1.0).gap < 1e-11
    assert optimality_gap(gambler(), optimal.values, 1.0).gap > 0.3  # the lowest of equal actions never bets


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "FrozenLake8x8-v1"])
def test_lakes_without_discount_are_certified(env_id: str) -> None:
    """Where one can walk to and fro at no cost, all places are worth the same: no bound falls on the way."""
    model = MDP.from_gymnasium(env_id)
    optimal = solve(model, 1.0)
    assert optimal.error < 1e-11
    assert optimality_gap(model, np.eye(4)[optimal.policy], 1.0).gap < 1e-9
    np.testing.assert_allclose(
        evaluate_policy(model, optimal.policy, 1.0), optimal.state_values, rtol=0, atol=1e-9
    )


def test_a_long_random_walk_is_certified() -> None:
    n = 401
    inner = np.arange(1, n - 1)
    state = np.concatenate([[0, n - 1], inner, inner])
    successor = np.concatenate([[0, n - 1], inner + 1, inner - 1])
    probability = np.concatenate([[1.0, 1.0], np.full(2 * (n - 2), 0.5)])
    reward = (successor == n - 1) & (state != n - 1)
    optimal = solve(MDP.from_outcomes(state, np.zeros_like(state), successor, probability, reward * 1.0), 1.0)
    np.testing.assert_allclose(optimal.state_values[1:-1], inner / (n - 1), rtol=0, atol=1e-12)
    assert optimal.error < 1e-9


def test_lakes_as_arrays_are_solved_as_lakes() -> None:
    for gamma in (0.9, 1.0):
        np.testing.assert_allclose(
            solve(lake_as_arrays(), gamma).state_values, solve("FrozenLake-v1", gamma).state_values, atol=1e-9
        )


def test_learning_stops_at_the_optimum_without_discount() -> None:
    single = MDP.from_arrays([[[0, 1.0], [0, 1]]], [[-1.0], [0]])
    for model in (single, replace(corner_exits(), time_limit=50)):
        agent = cdq.QLearner(model, gamma=1.0, seed=0)
        agent.learn(2_000_000, until=cdq.OptimalWithin(1e-6))
        assert agent.steps < 2_000_000
        assert agent.report()["gap"] <= 1e-6


def test_rest_is_not_taken_for_an_optimum_that_must_be_walked_to() -> None:
    """Action 0 rests unpaid, action 1 ends and pays 1: equal to walking on for ever only on paper."""
    model = MDP.from_outcomes(
        [0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 1], [1.0] * 4, [0.0, 1.0, 0.0, 1.0], [0, 1, 0, 1]
    )
    optimal = solve(model, 1.0)
    assert optimal.state_values.tolist() == [1.0, 1.0]
    assert evaluate_policy(model, optimal.policy, 1.0).tolist() == [1.0, 1.0]
    assert optimal.error < 1e-14


@pytest.mark.parametrize("loss", [0.0, -1e6, -1e9, -1e12, -1e15, -1e300])
@pytest.mark.parametrize("gamma", [0.5, 0.99, 0.999])
def test_an_action_that_nobody_takes_costs_no_precision(loss: float, gamma: float) -> None:
    model = MDP.from_outcomes([0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 1], [1.0] * 4, [1.0, loss, 0.0, loss])
    expected = np.array([1.0, gamma]) / (1 - gamma**2)
    np.testing.assert_allclose(evaluate_policy(model, [0, 0], gamma), expected, rtol=1e-13)
    optimal = solve(model, gamma)
    assert optimal.policy.tolist() == [0, 0]
    np.testing.assert_allclose(optimal.state_values, expected, rtol=0, atol=1e-9)
    assert optimality_gap(model, optimal, gamma).gap < 1e-8


@pytest.mark.parametrize("gain", [1e6, 1e15, 1e300])
@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_a_state_that_is_never_met_costs_no_precision(gain: float, gamma: float) -> None:
    model = MDP.from_outcomes([0, 1, 2], [0] * 3, [1, 0, 2], [1.0] * 3, [1.0, 0.0, gain], start=[1, 0, 0])
    expected = np.array([1.0, gamma]) / (1 - gamma**2)
    optimal = solve(model, gamma)
    np.testing.assert_allclose(optimal.state_values[:2], expected, rtol=0, atol=1e-9)
    assert (optimal.upper - optimal.lower)[:2].max() < 1e-9
    assert optimality_gap(model, optimal, gamma).gap < 1e-9
    assert bounds(model, optimal, gamma).gap < 1e-9


HUGE = cycle(1e308, 1e308)


@pytest.mark.parametrize(
    "call",
    [
        lambda: solve(HUGE, 0.99),
        lambda: solve(cycle(-1e308, -1e308), 0.99),
        lambda: solve(HUGE, horizon=1000),
        lambda: solve(cycle(1.7e308, -1.7e308), criterion="average"),
        lambda: evaluate_policy(HUGE, [0, 0], 0.99),
        lambda: evaluate_policy(HUGE, [0, 0], horizon=1000),
        lambda: bounds(HUGE, np.zeros((2, 1)), 0.99),
        lambda: optimality_gap(HUGE, np.zeros((2, 1)), 0.99),
    ],
)
def test_values_that_do_not_fit_are_refused(call: Any) -> None:
    with pytest.raises(ModelError, match=r"rewards of 1.*e\+308 may add up to more than float64 holds"):
        call()


def test_totals_that_do_not_fit_are_refused() -> None:
    model = MDP.from_outcomes([0, 1], [0, 0], [1, 1], [1.0, 1.0], [1e308, 1e308], [False, True])
    with pytest.raises(ModelError, match="total reward from state 0 is more than float64 holds"):
        solve(model, 1.0)
    with pytest.raises(ModelError, match="total reward from state 0 is more than float64 holds"):
        evaluate_policy(model, [0, 0], 1.0)


def test_huge_tables_are_brought_into_the_range_of_the_rewards() -> None:
    model = MDP.garnet(5, 2, branching=2, seed=0)
    for value in (1e308, -1.7e308, 0.0):
        found = bounds(model, np.full((5, 2), value), 0.5)
        assert np.isfinite(found.lower).all()
        assert np.isfinite(found.upper).all()
        assert found.gap <= 2.0
    assert bounds(model, np.full((5, 2), 3e38, np.float32), 0.5).gap <= 2.0


def test_bounds_stay_in_the_range_of_the_rewards() -> None:
    random = np.random.default_rng(0)
    for model in (MDP.from_gymnasium("FrozenLake-v1"), lake_as_arrays()):
        for table in (np.zeros((16, 4)), random.random((16, 4)), np.full((16, 4), 7.0)):
            found = bounds(model, table, 0.99)
            assert (found.lower >= -1e-12).all()
            assert (found.upper <= 1.0 + 1e-12).all()


def test_without_discount_bounds_hold_where_every_action_may_end() -> None:
    model = MDP.from_outcomes(
        [0, 0, 1], [0, 0, 0], [1, 0, 0], [0.5, 0.5, 1.0], [1.0, 2.0, 3.0], [False, True, True]
    )
    found = bounds(model, np.zeros((2, 1)), 1.0)
    assert found.lower[0, 0] <= 3.0 <= found.upper[0, 0]
    assert bounds(model, [[3.0], [3.0]], 1.0).gap < 1e-13
    assert bounds(cycle(1.0), [[0.0]], 1.0).gap == math.inf


def test_no_discount_at_all_looks_one_step_ahead() -> None:
    model = MDP.from_gymnasium("CliffWalking-v1")
    optimal = solve(model, 0.0)
    mean = np.add.reduceat(model.probability * model.reward, model.offsets[:-1]).reshape(48, 4)
    assert np.array_equal(optimal.values, mean)
    assert bounds(model, mean, 0.0).gap < 1e-10
    assert np.array_equal(evaluate_policy(model, np.zeros(48, int), 0.0), mean[:, 0])
    assert optimality_gap(model, mean, 0.0).gap < 1e-10


def test_environments_ids_learners_and_tables_are_taken() -> None:
    env = gymnasium.make("FrozenLake-v1")
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    agent.learn(10_000)
    model = MDP.from_gymnasium("FrozenLake-v1")
    expected = solve(model, 0.9)
    for given in (
        "FrozenLake-v1",
        env,
        gymnasium.spec("FrozenLake-v1"),
        agent,
        lambda: gymnasium.make("FrozenLake-v1"),
    ):
        assert np.array_equal(solve(given, 0.9).values, expected.values)
    values = agent.table.values
    for table in (agent.table, agent, values, values.tolist()):
        assert bounds("FrozenLake-v1", table, 0.9).gap == bounds(model, values, 0.9).gap
        assert optimality_gap(agent, table, 0.9) == optimality_gap(model, values, 0.9)
    assert bounds(env, expected, 0.9).gap < 1e-9
    assert np.array_equal(
        evaluate_policy(env, expected.policy, 0.9), evaluate_policy(model, expected.policy, 0.9)
    )
    env.close()


@pytest.mark.parametrize("given", [None, 3, [1], np.zeros(3), {"P": 1}, 0.5])
def test_what_has_no_model_is_refused(given: Any) -> None:
    for call in (
        lambda: solve(given, 0.9),
        lambda: bounds(given, np.zeros((2, 2)), 0.9),
        lambda: evaluate_policy(given, [0], 0.9),
        lambda: optimality_gap(given, np.zeros((2, 2)), 0.9),
    ):
        with pytest.raises(ConfigError, match="model is .*allowed: a cdq.MDP, the id of an environment"):
            call()


def test_environments_without_a_model_are_refused() -> None:
    with pytest.raises(UnsupportedEnvironment, match="no transition table"):
        solve("CartPole-v1", 0.9)
    learner = cdq.QLearner("CartPole-v1", features=cdq.TileCoding(tilings=2, tiles=2), seed=0)
    with pytest.raises(ConfigError, match="a learner of cdq/CartPole-v0, whose model is not known"):
        solve(learner, 0.9)


@pytest.mark.parametrize("table", [None, "q", object(), [[None, 1.0]], [["a", "b"]], [[1.0], [1.0, 2.0]]])
def test_what_is_no_table_is_refused(table: Any) -> None:
    with pytest.raises(TableError):
        bounds(cycle(1.0, 2.0), table, 0.9)


def lacking() -> MDP:
    """Return three states: 0 has both actions, 1 only the second, 2 only the first."""
    actions = np.array([[True, True], [False, True], [True, False]])
    return MDP.from_outcomes(
        [0, 0, 1, 2],
        [0, 1, 1, 0],
        [1, 2, 2, 0],
        [1.0] * 4,
        [0.0, 1.0, -3.0, 2.0],
        n_states=3,
        n_actions=2,
        actions=actions,
    )


def test_actions_that_a_state_lacks() -> None:
    model = lacking()
    optimal = solve(model, 0.9)
    round_trip = (1.0 + 0.9 * 2.0) / (1 - 0.81)
    assert optimal.state_values == pytest.approx(
        [round_trip, -3.0 + 0.9 * (2.0 + 0.9 * round_trip), 2.0 + 0.9 * round_trip]
    )
    assert optimal.policy.tolist() == [1, 1, 0]
    assert np.array_equal(optimal.values == -np.inf, ~np.asarray(model.actions))
    assert np.array_equal(optimal.lower == -np.inf, optimal.upper == -np.inf)
    assert optimal.error < 1e-9
    table = np.array([[0.0, 0.0], [np.inf, 0.0], [0.0, -np.inf]])
    assert bounds(model, table, 0.9).gap < 100.0
    assert bounds(model, optimal.values, 0.9).gap < 1e-9
    assert optimality_gap(model, np.where(np.isfinite(optimal.values), optimal.values, 1e9), 0.9).gap < 1e-8
    stages = solve(model, horizon=3)
    assert stages.policy[0].tolist() == [1, 1, 0]
    assert solve(model, criterion="average").gain == pytest.approx(1.5, abs=1e-9)
    assert evaluate_policy(model, optimal.policy, 0.9) == pytest.approx(optimal.state_values)
    shares = np.array([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    assert np.isfinite(evaluate_policy(model, shares, 0.9)).all()
    for policy in ([0, 0, 0], np.full((3, 2), 0.5)):
        with pytest.raises(ConfigError, match="action 0 in state 1, which does not have it"):
            evaluate_policy(model, policy, 0.9)


def test_missing_actions_without_discount() -> None:
    actions = np.array([[True, False], [False, True]])
    model = MDP.from_outcomes(
        [0, 1],
        [0, 1],
        [1, 0],
        [1.0, 1.0],
        [-1.0, -2.0],
        [False, True],
        n_states=2,
        n_actions=2,
        actions=actions,
    )
    optimal = solve(model, 1.0)
    assert optimal.state_values.tolist() == [-3.0, -2.0]
    assert optimal.policy.tolist() == [0, 1]
    assert optimal.error < 1e-13


def test_a_table_a_learner_and_a_solution_stand_for_their_policy() -> None:
    model = cdq.MDP.from_gymnasium("FrozenLake-v1")
    agent = cdq.QLearner(model, seed=0).learn(10_000)
    optimum = cdq.solve(model, gamma=0.9)
    for given, policy in (
        (agent, agent.table.policy()),
        (agent.table, agent.table.policy()),
        (optimum, optimum.policy),
    ):
        expected = cdq.evaluate_policy(model, policy, gamma=0.9)
        assert np.array_equal(cdq.evaluate_policy(model, given, gamma=0.9), expected)
    staged = cdq.solve(model, horizon=3)
    found = cdq.evaluate_policy(model, staged, horizon=3)
    np.testing.assert_allclose(found, staged.state_values, atol=1e-12)
