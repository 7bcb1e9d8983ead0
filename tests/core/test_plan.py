from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.core.planning import certify, graph, plan
from cdq.mdp.bellman import Backups, Chain, chain_of, fold, mixture
from cdq.mdp.model import MDP
from tests.reference.planning import dense, random_model

SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS, gamma=st.floats(0.1, 0.99), ahead=st.sampled_from([0, 2, 9]))
def test_a_sweep_of_value_iteration(seed: int, gamma: float, ahead: int) -> None:
    model = random_model(seed)
    rewards, onward = dense(model)
    values = np.random.default_rng(seed).normal(size=model.n_states)
    expected = (rewards + gamma * (onward @ values)).astype(float).reshape(model.n_states, -1)
    folded = fold(model, gamma)
    arrays = folded.offsets, folded.next_state, folded.weight, folded.reward
    backed_up, policy = np.empty(model.n_states), np.empty(model.n_states, np.int32)
    low, high, mean = plan.improve(*arrays, gamma, ahead, values, backed_up, policy)
    np.testing.assert_allclose(backed_up, expected.max(axis=1), rtol=0, atol=1e-14)
    delta = backed_up - values
    assert (low, high) == (delta.min(), delta.max())
    assert mean == pytest.approx(delta.mean())
    table = np.empty(model.n_pairs)
    error = np.empty(model.n_pairs)
    greatest = certify.action_values(*arrays, folded.size, gamma, ahead, values, table, error)
    assert greatest == error.max()
    assert (np.abs(table - (rewards + gamma * (onward @ values))) <= error).all()
    np.testing.assert_allclose(table, expected.ravel(), rtol=0, atol=1e-14)
    assert np.array_equal(policy, table.reshape(expected.shape).argmax(axis=1))


@given(seed=SEEDS, n_actions=st.integers(1, 4))
def test_sweeps_of_a_chain_and_of_its_model(seed: int, n_actions: int) -> None:
    """Improving leaves the chain of the greedy policy behind; sweeps in place take each state's best."""
    model = random_model(seed, n_actions=n_actions)
    rewards, onward = (part.astype(float) for part in dense(model))
    values = np.random.default_rng(seed).normal(size=5)
    folded = fold(model, 0.9)
    chain, out, policy = Chain(folded), np.empty(5), np.empty(5, np.int32)
    assert chain.improve(0.9, values, out) == folded.improve(0.9, values, np.empty(5), policy)
    expected = values.copy()
    chain.evaluate(0.9, expected, in_place=True, sweeps=2, until=0.0)
    selected, ours = Chain(folded), values.copy()
    selected.select(policy)
    selected.evaluate(0.9, ours, in_place=True, sweeps=2, until=0.0)
    assert np.array_equal(ours, expected)
    in_place = values.copy()
    assert chain.iterate(0.9, in_place) == 2
    for state in (*range(5), *reversed(range(5))):
        pairs = slice(state * n_actions, (state + 1) * n_actions)
        values[state] = (rewards[pairs] + 0.9 * onward[pairs] @ values).max()
    np.testing.assert_allclose(in_place, values, rtol=0, atol=1e-14)


def test_the_lowest_of_equal_actions_is_greedy() -> None:
    model = MDP.from_outcomes([0, 0, 0], [0, 1, 2], [0, 0, 0], [1.0] * 3, [1.0, 2.0, 2.0])
    policy = np.empty(1, np.int32)
    fold(model, 0.9).improve(0.9, np.zeros(1), np.empty(1), policy)
    assert policy[0] == 1


@pytest.mark.parametrize("ahead", [0, 1, 4])
@pytest.mark.parametrize("in_place", [False, True])
def test_sweeps_of_policy_evaluation(in_place: bool, ahead: int) -> None:
    model = random_model(7)
    rewards, onward = (part.astype(float) for part in dense(model))
    random = np.random.default_rng(0)
    policy = random.integers(3, size=5).astype(np.int32)
    pairs = np.arange(5) * 3 + policy
    values = random.normal(size=5)
    expected = values.copy()
    folded = fold(model, 0.9)
    chain = chain_of(folded, policy, np.arange(5))
    done = plan.evaluate(*chain.arrays, 0.9, ahead, values, np.empty(5), in_place, 3, 0.0)
    assert done == 4  # rounded up
    for sweep in range(4):
        source = expected if in_place else expected.copy()
        for state in range(5)[:: -1 if in_place and sweep % 2 else 1]:
            expected[state] = rewards[pairs[state]] + 0.9 * onward[pairs[state]] @ source
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-14)


def test_evaluation_stops_when_the_changes_are_alike() -> None:
    model = MDP.from_outcomes([0, 1], [0, 0], [1, 0], [1.0, 1.0], [1.0, 1.0])
    folded = fold(model, 0.5)
    values = np.zeros(2)
    chain = Chain(folded)
    chain.select(np.zeros(2, np.int32))
    assert chain.evaluate(0.5, values, in_place=False, sweeps=10, until=1e-9) == 2


@given(seed=SEEDS)
def test_chains_of_policies(seed: int) -> None:
    folded = fold(random_model(seed), 1.0)
    random = np.random.default_rng(seed)
    policy = random.integers(3, size=5)
    one = chain_of(folded, policy, np.arange(5))
    mixed = mixture(folded, np.eye(3)[policy])
    values = random.normal(size=5)
    expected = np.take_along_axis(folded.action_values(0.9, values), policy[:, None], axis=1)
    assert np.array_equal(one.action_values(0.9, values), expected)
    np.testing.assert_allclose(mixed.action_values(0.9, values), expected, rtol=0, atol=1e-15)
    for flags in ("ends", "quiet"):
        assert np.array_equal(getattr(one, flags), getattr(mixed, flags))


def corridor() -> Backups:
    """Return states 0 - 1 - 2 - 3: go on or stay; 3 ends; 0 has a one-way door to 4, which has no exit."""
    state = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    successor = [1, 4, 2, 1, 3, 2, 3, 3, 4, 4]
    reward = [-1.0, -1.0, -1.0, 0.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]
    terminated = [False] * 6 + [True, True, False, False]
    return fold(MDP.from_outcomes(state, [0, 1] * 5, successor, [1.0] * 10, reward, terminated), 1.0)


def test_rest_and_ending() -> None:
    folded = corridor()
    assert folded.ends is not None
    assert folded.quiet is not None
    arrays = folded.offsets, folded.next_state, folded.weight
    resting, policy = np.empty(5, np.uint8), np.zeros(5, np.int32)
    graph.rest(*arrays, folded.quiet, resting, policy)
    assert resting.tolist() == [0, 1, 0, 0, 0]
    assert policy[1] == 1
    within, reached = np.ones(5, np.uint8), np.empty(5, np.uint8)
    policy[:] = -1
    graph.ending(*arrays, folded.ends, np.zeros(5, np.uint8), within, reached, policy)
    assert within.tolist() == [1, 1, 1, 1, 0]
    assert policy[:3].tolist() == [0, 0, 0]
    within[:] = 1
    graph.ending(*arrays, folded.ends, resting, within, reached, policy)
    assert within.tolist() == [1, 1, 1, 1, 0]


def test_largest() -> None:
    assert plan.largest(np.array([1.0, -3.0, 2.0])) == 3.0
    assert plan.largest(np.zeros(0)) == 0.0
    assert plan.largest(np.array([1.0, np.nan])) == np.inf
    assert plan.largest(np.array([-np.inf, 1.0])) == np.inf


@given(seed=SEEDS, gamma=st.sampled_from([0.0, 0.5, 0.95]), ahead=st.sampled_from([0, 2]))
def test_shifts_make_values_bounds(seed: int, gamma: float, ahead: int) -> None:
    model = random_model(seed)
    rewards, onward = dense(model)
    values = np.random.default_rng(seed).normal(size=model.n_states)
    folded = fold(model, gamma)
    low, high = np.empty((2, model.n_states))
    excess, most = certify.certify(*folded.arrays, folded.size, gamma, ahead, values, low, high)
    delta = (rewards + gamma * (onward @ values)).reshape(model.n_states, -1) - values[:, None]
    ends = 1 - gamma * onward.sum(axis=1).reshape(delta.shape)
    np.testing.assert_allclose(low, (delta / ends).max(axis=1).astype(float), rtol=1e-12)
    np.testing.assert_allclose(high, (delta / ends).max(axis=1).astype(float), rtol=1e-12)
    assert (low <= (delta / ends).max(axis=1)).all()
    assert ((delta / ends).max(axis=1) <= high).all()
    assert onward.sum(axis=1).max() <= most <= onward.sum(axis=1).max() + 1e-14
    assert excess > 1.0


def test_rounding_is_bounded_where_a_discounted_probability_underflows() -> None:
    model = MDP.from_outcomes([0, 0, 1], [0, 0, 0], [0, 1, 1], [1e-10, 1.0 - 1e-10, 1.0], [0.0, 0.0, 1e290])
    values = np.array([1e300, 0.0])
    table, error = fold(model, 1e-300).rounded_action_values(1e-300, values)
    exact = float(Fraction(1e-300) * Fraction(1e-10) * Fraction(1e300))
    assert 0.0 < error[0, 0] < 1e-20
    assert abs(table[0, 0] - exact) <= error[0, 0]


def test_shifts_where_the_weight_may_be_one() -> None:
    """Without discount a pair that goes on for sure allows nearly any shift on one side, and none on the other."""
    model = MDP.from_outcomes([0, 1], [0, 0], [1, 0], [1.0, 1.0], [1.0, -1.0])
    folded = fold(model, 1.0)
    low, high = np.empty((2, 2))
    certify.certify(*folded.arrays, folded.size, 1.0, 0, np.array([2.0, 2.0]), low, high)
    assert low[0] > 1e14
    assert low[1] == -np.inf
    assert high[0] == np.inf
    assert high[1] < -1e14


@given(seed=SEEDS)
def test_the_chain_of_a_policy(seed: int) -> None:
    folded = fold(random_model(seed), 0.9)
    random = np.random.default_rng(seed)
    policy, values = random.integers(3, size=5), random.normal(size=5)
    expected = values.copy()
    plan.evaluate(
        *chain_of(folded, policy, np.arange(5)).arrays, 0.9, 0, expected, np.empty(5), True, 6, -1.0
    )
    chain = Chain(folded)
    chain.select(policy.astype(np.int32))
    chain.evaluate(0.9, values, in_place=True, sweeps=6, until=-1.0)
    assert np.array_equal(values, expected)


def test_what_never_pays_counts_as_ended() -> None:
    """States 1 and 2 go round for ever unpaid; 3 is worth something; 4 leads there."""
    model = MDP.from_outcomes(
        [0, 1, 2, 3, 4], [0] * 5, [1, 2, 1, 1, 3], [1.0] * 5, [-1.0, 0.0, 0.0, 2.0, 0.0]
    )
    assert fold(model, 0.9).weight.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert fold(model, 1.0, absorb=False).weight.tolist() == [1.0] * 5


@given(seed=SEEDS)
def test_strongly_connected_components(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 7
    arrows = random.random((n, n)) < random.choice([0.1, 0.2, 0.4])
    first = np.concatenate([[0], np.cumsum(arrows.sum(axis=1))])
    successor = np.nonzero(arrows)[1].astype(np.int32)
    component, scratch = np.empty(n, np.int32), np.empty((5, n), np.int64)
    counts = np.ones(len(successor), np.uint8)
    found = graph.components(first, successor, counts, component, scratch)
    ways = np.linalg.matrix_power(np.eye(n, dtype=int) + arrows, n) > 0
    assert np.array_equal(component[:, None] == component, ways & ways.T)
    assert sorted(set(component.tolist())) == list(range(found))
    assert (component[:, None] >= component)[arrows].all()


def test_the_greedy_choice() -> None:
    values = np.array([[1.0, 2.0, 2.0], [-np.inf, 0.5, 0.0], [1.0, 1.0 + 1e-12, 0.0]])
    best, policy = np.empty(3), np.empty(3, np.int64)
    alike = np.broadcast_to(1e-9, values.shape)
    assert not plan.choose(values, alike, alike, 1e-9, best, policy)
    assert best.tolist() == [2.0, 0.5, 1.0 + 1e-12]
    assert policy.tolist() == [1, 1, 0]
    assert plan.choose(values, alike, alike, 0.0, best, policy)
    assert policy.tolist() == [1, 1, 1]


def test_a_choice_lies_within_the_margins_of_its_pairs() -> None:
    values, below, above = (np.array([part]) for part in ([1.0, 1.5, 2.0], [0.0, 0.0, 0.4], [0.5, 0.2, 0.0]))
    best, policy = np.empty(1), np.empty(1, np.int64)
    for tie, chosen in ((9.0, 1), (0.5, 1), (0.4, 2)):
        assert plan.choose(values, below, above, tie, best, policy) == (chosen == 2)
        assert policy.tolist() == [chosen]
    below[:] = 1.0
    assert not plan.choose(values, below, above, 9.0, best, policy)
    assert policy.tolist() == [0]
