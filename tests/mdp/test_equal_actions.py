"""Policies of actions that are taken for equal: as good as the certified error, and ending."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from cdq.mdp.model import MDP
from cdq.mdp.planning import evaluate_policy, optimality_gap, solve
from tests.mdp.test_planning_inputs import gambler
from tests.reference import exact


def slow(seed: int) -> MDP:
    """Return a small random model whose rewards are eighths."""
    random = np.random.default_rng(seed)
    onward = np.zeros((4, 2, 4))
    for state, action in np.ndindex(4, 2):
        for _ in range(4):
            onward[state, action, random.integers(0, 4)] += 0.25
    return MDP.from_arrays(onward, -np.abs(np.round(random.normal(size=(4, 2)) * 8) / 8), layout="SAS")


def loss(model: MDP, policy: np.ndarray, gamma: float) -> float:  # type: ignore[type-arg]
    """Return by how much a policy falls short of the best, in exact fractions."""
    best = exact.optimum(model, gamma)
    values = exact.values_of(model, tuple(policy.tolist()), Fraction(gamma))
    assert values is not None
    return max(
        float(max(q for q in row if q is not None) - value) for row, value in zip(best, values, strict=True)
    )


@pytest.mark.parametrize("gamma", [1 - 1e-6, 1 - 1e-9, 1 - 1e-12])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_policy_is_as_good_as_the_error(gamma: float, seed: int) -> None:
    model = slow(seed)
    found = solve(model, gamma, max_iterations=2000)
    assert loss(model, found.policy, gamma) <= 5.0 * found.error


@pytest.mark.parametrize("tolerance", [1e-10, 1e-4, 0.1])
def test_a_coarse_tolerance_still_bounds_the_loss(tolerance: float) -> None:
    model = MDP.from_arrays(np.ones((2, 1, 1)), [[-1.0 - 2e-10, -1.0]], layout="ASS")
    found = solve(model, 0.9999, tolerance=tolerance)
    assert loss(model, found.policy, 0.9999) <= 5.0 * found.error


def test_truly_equal_actions_stay_equal_near_one() -> None:
    model = MDP.from_arrays(np.ones((2, 1, 1)), [[-0.3, -0.3]], layout="ASS")
    assert solve(model, 1 - 1e-9, max_iterations=2000).policy.tolist() == [0]


def test_the_losses_of_many_stages_add_up_to_no_more_than_the_error() -> None:
    model = MDP.from_arrays(np.ones((2, 1, 1)), [[1.0 - 1e-9, 1.0]], layout="ASS")
    found = solve(model, horizon=20_000)
    lost = 1e-9 * float((found.policy == 0).sum())
    assert lost <= 5.0 * found.error


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1"])
@pytest.mark.parametrize("gamma", [0.99, 1.0])
def test_the_gap_of_a_solution_is_that_of_its_own_policy(env_id: str, gamma: float) -> None:
    model = MDP.from_gymnasium(env_id)
    optimal = solve(model, gamma)
    found = optimality_gap(model, optimal, gamma)
    assert found.gap < 1e-8
    assert found.policy_value == pytest.approx(found.optimal_value, abs=1e-8)


def test_a_solution_of_another_discount_is_judged_by_its_policy() -> None:
    model = MDP.from_gymnasium("CliffWalking-v1")
    assert optimality_gap(model, solve(model, 0.9), 1.0).policy_value == -13.0


@pytest.mark.parametrize("goal", [16, 100])
@pytest.mark.parametrize("heads", [0.5, 0.25])
def test_the_lowest_of_equal_actions_that_ends(goal: int, heads: float) -> None:
    model = gambler(goal, heads)
    found = solve(model, 1.0)
    policy = found.policy
    np.testing.assert_allclose(evaluate_policy(model, policy, 1.0), found.state_values, rtol=0, atol=1e-12)
    if heads == 0.5:  # every stake is as good, and none at all never ends
        assert policy.tolist() == [0, *[1] * (goal - 1), 0]
    for capital in range(1, goal):  # a lower action is worse, or none at all
        lower = found.values[capital, 1 : policy[capital]]
        assert (lower < found.state_values[capital] - 1e-9).all()


def test_ways_to_the_end_that_go_on_high_actions_are_found() -> None:
    """A corridor whose action 0 stays, 1 goes back and 2 goes on: all equal, since only the end pays."""
    rows = [
        (state, action, max(0, state + (0, -1, 1)[action]), 1.0, float(state == 5 and action == 2))
        for state, action in np.ndindex(6, 3)
    ]
    state, action, successor, probability, reward = (list(column) for column in zip(*rows, strict=True))
    ends = [to == 6 for to in successor]
    successor = [min(to, 5) for to in successor]
    model = MDP.from_outcomes(state, action, successor, probability, reward, ends)
    found = solve(model, 1.0)
    assert found.policy.tolist() == [2] * 6
    assert evaluate_policy(model, found.policy, 1.0).tolist() == [1.0] * 6
