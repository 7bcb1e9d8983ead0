from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cdq.errors import ConfigError, ModelError, TableError
from cdq.mdp import gap
from cdq.mdp.model import MDP
from cdq.mdp.planning import Solution, bounds, evaluate_policy, optimality_gap, solve
from tests.reference.planning import policy_values, random_model, value_iteration

DATA = Path(__file__).parents[3] / "shared" / "data" / "optimal_q.npz"
SEEDS = st.integers(0, 2**32 - 1)
ENVIRONMENTS = ["FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4", "CliffWalking-v1", "CliffWalkingSlippery-v1"]


def model_of(env_id: str) -> MDP:
    if env_id not in gymnasium.registry:  # Taxi-v3 before Gymnasium 1.3: the same table
        env_id = "Taxi-v3"
    return MDP.from_gymnasium(env_id)


def loop(*rewards: float, exit_reward: float | None = None) -> MDP:
    """Return a cycle of states paying *rewards*; with an exit, a second action that ends."""
    n = len(rewards)
    state, successor = np.arange(n), (np.arange(n) + 1) % n
    if exit_reward is None:
        return MDP.from_outcomes(state, state * 0, successor, np.ones(n), rewards)
    return MDP.from_outcomes(
        np.tile(state, 2),
        np.repeat([0, 1], n),
        np.tile(successor, 2),
        np.ones(2 * n),
        [*rewards, *[exit_reward] * n],
        np.repeat([False, True], n),
    )


@pytest.mark.skipif(not DATA.exists() and "CI" not in os.environ, reason=f"{DATA} is not here")
@pytest.mark.parametrize("gamma", [0.9, 0.99])
@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_optimal_values_of_the_known_environments(env_id: str, gamma: float) -> None:
    with np.load(DATA) as data:
        values, reachable = data[f"{env_id}|{gamma}|q"], data[f"{env_id}|{gamma}|reachable"]
    model = model_of(env_id)
    assert np.array_equal(model.reachable(), reachable)
    optimal = solve(model, gamma)
    assert np.abs(optimal.values - values)[reachable].max() <= 1e-9
    assert optimal.error <= 1.01e-10
    assert (optimal.lower <= values + 1e-12).all()
    assert (values <= optimal.upper + 1e-12).all()


@given(seed=SEEDS, gamma=st.floats(0.01, 0.98), ends=st.sampled_from([0.0, 0.1, 0.7]))
def test_solve_against_the_reference(seed: int, gamma: float, ends: float) -> None:
    model = random_model(seed, ends=ends)
    optimal, expected = solve(model, gamma), value_iteration(model, gamma)
    assert optimal.error <= 1e-10
    assert np.abs(optimal.values - expected).max() <= optimal.error
    assert np.array_equal(optimal.state_values, optimal.values.max(axis=1))
    assert np.array_equal(optimal.policy, optimal.values.argmax(axis=1))
    assert optimal.residual <= 1e-9


def test_certified_bounds_hold_for_any_table_and_model() -> None:
    random = np.random.default_rng(0)
    for seed in range(400):
        model = random_model(seed, n_states=4, n_actions=2, ends=random.choice([0.0, 0.1, 0.5, 0.95]))
        gamma = float(random.uniform(0.1, 0.97))
        exact = value_iteration(model, gamma)
        scale = 10.0 ** random.uniform(-17, 2)
        for table in (exact + scale * random.normal(size=exact.shape), exact + scale, exact - scale):
            lower, upper, gap = bounds(model, table, gamma)
            assert (lower <= exact).all()
            assert (exact <= upper).all()
            assert gap >= (upper - lower)[model.reachable()].max() - 1e-15
        optimal = solve(model, gamma, tolerance=10.0 ** random.uniform(-16, 0))
        assert (optimal.lower <= exact).all()
        assert (exact <= optimal.upper).all()


def test_bounds_of_an_optimal_table_are_narrow_where_episodes_go() -> None:
    model = model_of("CliffWalking-v1")
    table = solve(model, 0.99).values.copy()
    table[47] = 0.0  # the goal: nobody acts there, so a learner leaves it as it was
    assert bounds(model, table, 0.99).gap < 1e-9
    assert bounds(model, table, 1.0).gap == math.inf


def test_tolerance_that_float64_cannot_reach_ends_with_an_honest_error() -> None:
    model = model_of("Taxi-v4")
    optimal = solve(model, 0.999, tolerance=0.0)
    assert 0.0 < optimal.error < 1e-8
    assert optimal.iterations < 1000


def test_rounding_ends_the_search_soon_where_gamma_is_near_1() -> None:
    """Sweeps alone take thousands to move all values by what a shift of them all does at once."""
    optimal = solve(MDP.garnet(3000, 4, branching=10, seed=0), 0.999, tolerance=1e-10)
    assert optimal.error < 1e-7
    assert optimal.iterations < 50


def walk(side: int, slip: float, seed: int | None = None) -> MDP:
    """Return a square in which each step costs 1 until the last cell, and may go astray; cells in any order."""
    n = side * side
    number = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    row, column = np.divmod(np.arange(n), side)
    ways = [
        number[np.clip(row + down, 0, side - 1) * side + np.clip(column + right, 0, side - 1)]
        for down, right in ((0, -1), (1, 0), (0, 1), (-1, 0))
    ]
    cells = [
        (number, np.full(n, action), ways[(action + turn) % 4], np.full(n, share))
        for action in range(4)
        for turn, share in ((0, 1.0 - 2.0 * slip), (1, slip), (3, slip))
    ]
    state, action, successor, chance = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    return MDP.from_outcomes(
        state, action, successor, chance, np.full(len(state), -1.0), successor == number[-1]
    )


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("slip", [0.0, 0.1])
def test_what_lies_at_the_end_of_a_long_way_is_soon_known_at_its_beginning(
    slip: float, seed: int | None
) -> None:
    """Values travel by one step in a sweep of the usual kind, by a way's whole length in place."""
    model = walk(60, slip, seed)
    optimal = solve(model, 0.99, tolerance=1e-6)
    assert optimal.error <= 1e-6
    assert optimal.iterations < (40 if seed is None else 80)  # 118 steps
    worth = evaluate_policy(model, optimal.policy, 0.99)
    assert np.abs(worth - optimal.state_values).max() <= 3e-6
    if slip == 0.0:
        number = np.arange(3600) if seed is None else np.random.default_rng(seed).permutation(3600)
        row, column = np.divmod(np.arange(3600), 60)
        steps = np.maximum(118 - row - column, 1)
        exact = -(1.0 - 0.99**steps) / 0.01
        np.testing.assert_allclose(optimal.state_values[number[:-1]], exact[:-1], rtol=0, atol=1e-6)


def test_max_iterations_ends_with_an_honest_error() -> None:
    model = random_model(1, ends=0.0)
    exact = value_iteration(model, 0.9)
    for iterations in range(1, 8):
        optimal = solve(model, 0.9, max_iterations=iterations)
        assert optimal.iterations == iterations
        assert np.abs(optimal.values - exact).max() <= optimal.error
    assert optimal.error > 1e-10


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_undiscounted_environments(env_id: str) -> None:
    model = model_of(env_id)
    optimal, nearly = solve(model, 1.0), solve(model, 1.0 - 1e-9, tolerance=1e-3)
    reachable = model.reachable()
    assert np.abs(optimal.values - nearly.values)[reachable].max() < 1e-3
    values = evaluate_policy(model, optimal.policy, 1.0)  # it ends
    np.testing.assert_allclose(values, optimal.state_values, rtol=0, atol=1e-10)
    assert optimal.below < 1e-9
    assert optimal.above < 1e-9


def test_undiscounted_cliff() -> None:
    model = model_of("CliffWalking-v1")
    optimal = solve(model, 1.0)
    assert optimal.state_values[36] == -13.0
    gap = optimality_gap(model, optimal.values, 1.0, optimal)
    assert (gap.policy_value, gap.optimal_value) == (-13.0, -13.0)
    assert gap.gap < 1e-9
    assert optimality_gap(model, np.zeros((48, 4)), 1.0, optimal).gap == math.inf  # walks into the wall


@given(seed=SEEDS)
def test_undiscounted_against_the_reference(seed: int) -> None:
    model = random_model(seed, ends=0.4)
    outcomes = model.terminated, model.offsets[:-1]
    if not np.logical_or.reduceat(*outcomes).all():
        return  # some policy may never end
    optimal, expected = solve(model, 1.0), value_iteration(model, 1.0)
    assert (optimal.lower <= expected).all()
    assert (expected <= optimal.upper).all()
    assert optimal.below < 1e-8


def test_undiscounted_models_above_the_dense_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("FrozenLake8x8-v1")
    dense = solve(model, 1.0)
    monkeypatch.setattr("cdq.mdp.undiscounted._DENSE_STATES", 10)
    swept = solve(model, 1.0)
    np.testing.assert_allclose(swept.values, dense.values, rtol=0, atol=1e-9)
    assert swept.below < 1e-7
    assert np.abs(swept.values - dense.values).max() <= swept.below + dense.below


def test_loops_without_discount() -> None:
    resting = solve(loop(0.0, 0.0, exit_reward=-1.0), 1.0)
    assert resting.values.tolist() == [[0.0, -1.0], [0.0, -1.0]]
    assert resting.policy.tolist() == [0, 0]
    leaving = solve(loop(-1.0, -1.0, exit_reward=-5.0), 1.0)
    assert leaving.values.tolist() == [[-6.0, -5.0], [-6.0, -5.0]]
    assert leaving.above < 1e-12
    assert solve(loop(0.0, 0.0, exit_reward=2.0), 1.0).state_values.tolist() == [2.0, 2.0]
    assert solve(loop(1.0, -1.0, exit_reward=0.0), 1.0).state_values.tolist() == [1.0, 0.0]
    with pytest.raises(ModelError, match=r"a loop that pays begins in state 0: .* unbounded; use gamma < 1"):
        solve(loop(1.0, 0.0, exit_reward=0.0), 1.0)
    for rewards in ((1.0, 0.0), (-1.0, 0.0), (1.0, -1.0)):
        with pytest.raises(ModelError, match="from state 0 no policy surely ends"):
            solve(loop(*rewards), 1.0)


def test_evaluation_of_loops_without_discount() -> None:
    model = loop(0.0, 0.0, exit_reward=-1.0)
    assert evaluate_policy(model, [0, 0], 1.0).tolist() == [0.0, 0.0]
    assert evaluate_policy(model, [1, 0], 1.0).tolist() == [-1.0, -1.0]
    model = loop(-1.0, -1.0, exit_reward=-1.0)
    assert evaluate_policy(model, [0, 1], 1.0).tolist() == [-2.0, -1.0]
    assert evaluate_policy(model, np.full((2, 2), 0.5), 1.0) == pytest.approx([-2.0, -2.0])
    with pytest.raises(ModelError, match="from state 0 the policy never ends"):
        evaluate_policy(model, [0, 0], 1.0)


@given(seed=SEEDS, gamma=st.floats(0.01, 0.98))
def test_evaluate_policy_against_the_reference(seed: int, gamma: float) -> None:
    model = random_model(seed)
    random = np.random.default_rng(seed)
    mixed = random.dirichlet(np.ones(3), size=5)
    np.testing.assert_allclose(
        evaluate_policy(model, mixed, gamma), policy_values(model, mixed, gamma), rtol=0, atol=1e-11
    )
    policy = random.integers(3, size=5)
    expected = policy_values(model, np.eye(3)[policy], gamma)
    np.testing.assert_allclose(evaluate_policy(model, policy, gamma), expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(evaluate_policy(model, np.eye(3)[policy], gamma), expected, rtol=0, atol=1e-11)


@given(seed=SEEDS, gamma=st.floats(0.01, 0.98), one_sweep=st.booleans())
def test_the_optimality_gap_holds(seed: int, gamma: float, one_sweep: bool) -> None:
    model = random_model(seed, ends=0.1)
    random = np.random.default_rng(seed)
    exact = value_iteration(model, gamma)
    table = (exact + random.normal(size=exact.shape) * random.choice([1e-12, 0.1, 3.0])).astype(np.float64)
    true_optimum = model.start @ exact.max(axis=1)
    true_value = model.start @ policy_values(model, np.eye(3)[table.argmax(axis=1)], gamma)
    limit = 0 if one_sweep else gap._SOLVED_OUTCOMES
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gap, "_SOLVED_OUTCOMES", limit)
        found = optimality_gap(model, table, gamma)
    assert found.gap >= true_optimum - true_value - 1e-14
    if one_sweep:
        assert found.policy_value <= true_value + 1e-14
        assert true_optimum <= found.optimal_value
    else:
        assert found.policy_value == pytest.approx(true_value, abs=1e-10)
        assert found.optimal_value == pytest.approx(float(true_optimum), abs=1e-9)
        assert found.gap <= true_optimum - true_value + 1e-9


def test_the_gap_looks_only_where_the_policy_goes() -> None:
    model = model_of("Taxi-v4")
    optimal = solve(model, 1.0)
    table = optimal.values.copy()
    table[~model.reachable()] = 0.0  # never visited, hence never learnt: driving on the spot there
    assert optimality_gap(model, table, 1.0, optimal).gap < 1e-9


@pytest.mark.parametrize("gamma", [-0.5, 1.1, math.nan, 10**400, "0.9", None, True])
def test_gamma_is_checked(gamma: Any) -> None:
    model = loop(1.0)
    for call in (
        lambda: solve(model, gamma),
        lambda: bounds(model, [[0.0]], gamma),
        lambda: evaluate_policy(model, [0], gamma),
        lambda: optimality_gap(model, [[0.0]], gamma),
    ):
        with pytest.raises(ConfigError, match="allowed: 0 to 1"):
            call()


def test_other_arguments_are_checked() -> None:
    model = loop(1.0, 2.0)
    with pytest.raises(ConfigError, match="tolerance is -1"):
        solve(model, 0.9, tolerance=-1.0)
    with pytest.raises(ConfigError, match="tolerance is nan"):
        solve(model, 0.9, tolerance=math.nan)
    with pytest.raises(ConfigError, match="max_iterations is 0"):
        solve(model, 0.9, max_iterations=0)
    with pytest.raises(TableError, match=r"shape \(2, 2\); MDP needs \(2, 1\)"):
        bounds(model, np.zeros((2, 2)), 0.9)
    with pytest.raises(TableError, match="not finite"):
        bounds(model, [[0.0], [math.nan]], 0.9)
    other = solve(loop(1.0), 0.9)
    with pytest.raises(ConfigError, match=r"optimum has shape \(1, 1\); this model has \(2, 1\)"):
        optimality_gap(model, np.zeros((2, 1)), 0.9, other)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ([0], r"policy has shape \(1,\)"),
        ([0.0, 0.0], "dtype float64; allowed"),
        ([0, 2], "policy takes action 2 in state 1; allowed: 0 to 1"),
        ([-1, 0], "policy takes action -1 in state 0"),
        ([[0.5, 0.5]], r"policy has shape \(1, 2\)"),
        ([[0.5, 0.5], [0.5, 0.6]], "in state 1; allowed: at least 0, summing to 1"),
        ([[0.5, 0.5], [-0.5, 1.5]], "in state 1; allowed: at least 0, summing to 1"),
        ([[0.5, 0.5], [math.nan, 1.0]], "in state 1"),
    ],
)
def test_policies_are_checked(policy: list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate_policy(loop(0.0, 0.0, exit_reward=1.0), policy, 0.9)


def test_gamma_too_close_to_one_for_the_probabilities() -> None:
    model = MDP.from_outcomes([0, 0], [0, 0], [0, 0], [0.5, 0.5 + 9e-10], [0.0, 1.0])
    with pytest.raises(ConfigError, match="too close to 1"):
        solve(model, 1.0 - 1e-12)


def maze(side: int) -> MDP:
    """Return an empty square with the goal in a corner, -1 a step."""
    cell = np.arange(side * side)
    row, column = np.divmod(cell, side)
    successors: list[NDArray[np.int64]] = [
        np.clip(row + down, 0, side - 1) * side + np.clip(column + right, 0, side - 1)
        for down, right in ((0, -1), (1, 0), (0, 1), (-1, 0))
    ]
    successor = np.concatenate(successors)
    ends = successor == side * side - 1
    return MDP.from_outcomes(
        np.tile(cell, 4),
        np.repeat(range(4), side * side),
        successor,
        np.ones(len(successor)),
        ends - 1.0,
        ends,
    )


@pytest.mark.parametrize("gamma", [0.999, 1.0])
def test_values_travel_along_paths(gamma: float) -> None:
    side = 60
    optimal = solve(maze(side), gamma)
    steps = 2 * (side - 1) - np.add.outer(np.arange(side), np.arange(side)).ravel() - 1
    expected = -(1 - gamma**steps) / (1 - gamma) if gamma < 1.0 else -steps.astype(float)
    assert np.abs(optimal.state_values - expected)[:-1].max() < 1e-8


def test_a_large_random_model_is_solved_quickly() -> None:
    model = MDP.garnet(100_000, 4, branching=3, seed=1)
    begin = time.perf_counter()
    optimal = solve(model, 0.95, tolerance=1e-6)
    assert time.perf_counter() - begin < 3.0  # takes a tenth of a second
    assert optimal.error <= 1e-6
    assert isinstance(optimal, Solution)
    found = bounds(model, optimal.values, 0.95)
    assert (found.lower <= optimal.upper).all()
    assert (optimal.lower <= found.upper).all()
