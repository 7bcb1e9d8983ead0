"""Certificates of planning against exact fractions, on rewards of every scale."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.errors import ModelError
from cdq.mdp.bellman import Backups, Certificate, fold
from cdq.mdp.discounted import discounted
from cdq.mdp.model import MDP
from cdq.mdp.planning import Solution, bounds, evaluate_policy, optimality_gap, solve
from tests.reference import exact

SEEDS = st.integers(0, 2**32 - 1)
SCALES = {
    "ordinary": [0.0, 1.0, -1.0, 0.5],
    "a heavy loss": [0.0, -1.0, -1e15],
    "a loss near the end of float64": [0.0, -1.0, 0.3, -1e300],
    "a heavy gain": [0.0, 1.0, 1e12],
    "a gain near the end of float64": [0.0, 1.0, 1e300],
    "mostly nothing": [0.0, 0.0, 0.0, 1.0],
    "all scales": [0.0, 1.0, -1.0, 1e-9, 1e9, -1e6],
    "tiny": [1e-200, -1e-201, 0.0],
}


def check(model: MDP, found: Solution, gamma: float) -> None:
    true = exact.optimum(model, gamma)
    lower, upper = found.lower, found.upper
    assert math.isfinite(found.below)
    assert math.isfinite(found.above) or gamma == 1.0  # there, loops that come to nothing
    for state in range(model.n_states):
        for action, value in enumerate(true[state]):
            if value is None:
                assert found.values[state, action] == -math.inf
                continue
            assert (
                found.error == math.inf
                or abs(Fraction(float(found.values[state, action])) - value) <= found.error
            )
            assert Fraction(float(lower[state, action])) <= value
            assert found.above == math.inf or value <= Fraction(float(upper[state, action]))
        best = max(value for value in true[state] if value is not None)
        chosen = true[state][found.policy[state]]
        assert chosen is not None
        scale = max(1.0, abs(float(best)))
        assert abs(Fraction(float(found.state_values[state])) - best) <= 1e-9 * scale
        assert best - chosen <= 1e-9 * scale


@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("scale", SCALES)
@given(seed=SEEDS, ends=st.sampled_from([0.0, 0.3]))
def test_discounted(scale: str, gamma: float, seed: int, ends: float) -> None:
    model = exact.dyadic_model(seed, n_states=3, rewards=SCALES[scale], ends=ends)
    check(model, solve(model, gamma), gamma)


@pytest.mark.parametrize("scale", SCALES)
@given(seed=SEEDS)
def test_without_discount(scale: str, seed: int) -> None:
    model = exact.dyadic_model(seed, n_states=3, rewards=SCALES[scale], ends=0.4)
    try:
        found = solve(model, 1.0)
    except ModelError:
        return  # unbounded, or no policy ends; see test_planning
    check(model, found, 1.0)


@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("scale", SCALES)
@given(seed=SEEDS)
def test_bounds_and_gap_of_any_table(scale: str, gamma: float, seed: int) -> None:
    model = exact.dyadic_model(seed, n_states=3, rewards=SCALES[scale], ends=0.2)
    true = exact.optimum(model, gamma)
    random = np.random.default_rng(seed)
    table = random.normal(size=(3, 2)) * 10.0 ** random.integers(-5, 20)
    lower, upper, _ = bounds(model, table, gamma)
    for state, action in product(range(3), range(2)):
        value = true[state][action]
        assert value is not None
        assert Fraction(float(lower[state, action])) <= value <= Fraction(float(upper[state, action]))
    policy = table.argmax(axis=1)
    values = exact.values_of(model, tuple(policy.tolist()), Fraction(gamma))
    assert values is not None
    loss = sum((max(row) - value) * Fraction(1, 3) for row, value in zip(true, values, strict=True))  # type: ignore[type-var,operator]
    assert optimality_gap(model, table, gamma).gap * (1 + 1e-15) >= float(loss) * (1 - 1e-15)


@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("scale", SCALES)
@given(seed=SEEDS)
def test_evaluation_is_measured_by_what_the_policy_meets(scale: str, gamma: float, seed: int) -> None:
    model = exact.dyadic_model(seed, n_states=3, rewards=SCALES[scale], ends=0.4)
    policy = np.random.default_rng(seed).integers(2, size=3)
    true = exact.values_of(model, tuple(policy.tolist()), Fraction(gamma))
    try:
        found = evaluate_policy(model, policy, gamma)
    except ModelError:
        assert gamma == 1.0
        return
    assert true is not None
    for state in range(3):
        scale_of = max(met(model, policy, state), abs(float(true[state])))
        assert abs(Fraction(float(found[state])) - true[state]) <= 1e-11 * scale_of


def met(model: MDP, policy: np.ndarray, state: int) -> float:  # type: ignore[type-arg]
    """Return the largest reward that the policy may meet from a state on."""
    seen, queue, largest = {state}, [state], 0.0
    while queue:
        at = queue.pop()
        for k in range(*model.offsets[at * 2 + policy[at] :][:2]):
            largest = max(largest, abs(model.reward[k]))
            if not model.terminated[k] and model.next_state[k] not in seen:
                seen.add(int(model.next_state[k]))
                queue.append(int(model.next_state[k]))
    return largest


def test_a_cycle_of_rounding_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rounding keeps values from settling they are told as they are, with what is certain of them."""
    certify = Backups.certify

    def unsettled(self: Backups, gamma: float, values: np.ndarray) -> Certificate:
        return certify(self, gamma, values)._replace(excess=1.2)

    monkeypatch.setattr(Backups, "certify", unsettled)
    outcomes = [0, 1], [0, 0], [1, 0], [1.0, 1.0], [1.0, 0.3], [False, False]
    found = discounted(fold(MDP.from_outcomes(*outcomes), 0.99), 0.99, 0.0, 100_000)
    assert found.iterations < 1000
    assert not found.settled
    low, high = found.certificate.margin
    true = np.array([(1.0 + 0.99 * 0.3) / (1.0 - 0.99**2), (0.3 + 0.99) / (1.0 - 0.99**2)])
    assert (found.values + low - 1e-12 <= true).all()
    assert (true <= found.values + high + 1e-12).all()
