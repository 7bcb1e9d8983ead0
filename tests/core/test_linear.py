from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.linear.linear import MOST_INPUTS, Features, LinearQ
from cdq.core.probe import Probe
from cdq.core.table.rows import Rows
from cdq.features import FourierBasis, PolynomialBasis, TileCoding, action_values
from tests.reference import qfunction as reference
from tests.small_tables import compare, make_table, random_values
from tests.strategies import DTYPES, seeds

LOW, HIGH = np.array([-1.0, 0.0]), np.array([1.0, 3.0])


def probe_of(features: Features, values: Any, n: int) -> Any:
    table = make_table(values, np.zeros(values.shape, np.uint32))
    return table, Probe(LinearQ(table.rows, n, features))


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.sampled_from(DTYPES), st.booleans(), seeds)
def test_tile_coding_learns_by_the_definition_to_the_bit(
    tilings: int, n_actions: int, n: int, dtype: str, masked: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    tiles = (int(random.integers(1, 4)), int(random.integers(1, 4)))
    size = int(random.choice([3, 20, 1000]))
    features = TileCoding(tilings, tiles, size=size).bind(LOW, HIGH)
    values, clock = random_values(random, (features.n_features, n_actions), dtype)
    table = make_table(values, clock)

    def phi(observation: Any) -> list[tuple[int, int]]:
        active = reference.cells(observation, LOW, HIGH, tiles, tilings)
        numbers = [reference.cell_number(*cell, tiles, tilings) for cell in active]
        if tilings * math.prod(n + (tilings > 1) for n in tiles) > size:
            numbers = [(reference.mixed(number) >> 32) * size >> 32 for number in numbers]
        return [(number, 1) for number in numbers]

    compare(
        random,
        Probe(LinearQ(table.rows, n, features)),
        table,
        reference.QFunction(values.copy(), clock, phi),
        lambda: random.uniform(-1.5, 3.5, (n, 2)),
        sweeps=5,
        masked=masked,
        skipping=bool(random.integers(2)),
        law_scale=features.step_scale,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [PolynomialBasis, FourierBasis])
def test_bases_learn_by_the_definition(kind: Any, dtype: str) -> None:
    """To the bit, given the features; these are compared below."""
    random = np.random.default_rng(1)
    for n, n_actions in ((1, 2), (7, 3)):
        features = kind(order=2).bind(LOW, HIGH)
        values, clock = random_values(random, (9, n_actions), dtype)
        table = make_table(values, clock)
        eye = np.eye(9)

        def phi(observation: Any, features: Features = features, eye: Any = eye) -> list[tuple[int, float]]:
            return list(enumerate(action_values(features, eye, observation).tolist()))

        compare(
            random,
            Probe(LinearQ(table.rows, n, features)),
            table,
            reference.QFunction(values.copy(), clock, phi),
            lambda n=n: random.uniform(-1.5, 3.5, (n, 2)),
            sweeps=10,
            masked=n == 7,
            skipping=n == 7,
            law_scale=features.step_scale,
        )


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_bases_are_the_definition(width: int, order: int) -> None:
    random = np.random.default_rng(order)
    low, high = -random.random(width), random.random(width) + 1
    for kind, definition in ((PolynomialBasis, reference.polynomials), (FourierBasis, reference.cosines)):
        features = kind(order=order).bind(low, high)
        eye = np.eye(features.n_features)
        for observation in random.uniform(-2, 3, (20, width)):
            ours = action_values(features, eye, observation)
            np.testing.assert_allclose(ours, definition(observation, low, high, order), rtol=0, atol=1e-12)
            assert (ours**2).sum() * features.step_scale <= 1 + 1e-9


@given(st.integers(1, 40), st.lists(st.integers(1, 9), min_size=1, max_size=5), seeds)
def test_tiles_are_the_definition(tilings: int, tiles: list[int], seed: int) -> None:
    """Also at the bounds and beyond, where inputs are clipped."""
    random = np.random.default_rng(seed)
    low = -random.random(len(tiles)) - 0.1
    high = random.random(len(tiles)) * 10.0 ** random.integers(-3, 4)
    features = TileCoding(tilings, tiles).bind(low, high)
    observations = random.uniform(low - 1, high + 1, (9, len(tiles)))
    observations[0], observations[1] = low, high
    if features.n_features > 100_000:
        return
    weights = np.arange(features.n_features, dtype=float)[:, None]
    for observation, value in zip(observations, action_values(features, weights, observations), strict=True):
        active = reference.cells(observation, low, high, tiles, tilings)
        numbers = [reference.cell_number(*cell, tiles, tilings) for cell in active]
        assert len(set(numbers)) == tilings
        assert value == [sum(numbers)]


def test_every_step_moves_all_tilings_apart() -> None:
    """Of 4 tilings over one input, one changes with every quarter of a tile."""
    features = TileCoding(4, 2, low=0, high=2).bind([0], [2])
    places = np.arange(0, 2, 0.25)[:, None] + 0.01
    active = [tuple(np.flatnonzero(row)) for row in action_values(features, np.eye(12), places)]
    assert [len(set(a) - set(b)) for a, b in itertools.pairwise(active)] == [1] * 7


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("features", [TileCoding(), PolynomialBasis(), FourierBasis()])
def test_the_first_lane_that_is_not_finite_is_found(features: Any, bad: float) -> None:
    bound = features.bind(LOW, HIGH)
    _, probe = probe_of(bound, np.zeros((bound.n_features, 3)), 4)
    observations = np.zeros((4, 2))
    observations[1, 1] = observations[3, 0] = bad
    assert probe.locate(observations) == 1
    assert probe.locate(observations, True, 2, 2) == 3
    assert probe.locate(observations, False, 2, 1) == -1


def learn(probe: Probe, alpha: float, gamma: float, reward: float, times: int, ends: int = 0) -> None:
    dtype = "float32" if probe.q.rows.pair_size == 8 else "float64"
    law = schedules.build_law(schedules.Constant(alpha), 0, 0.3, dtype)
    place = np.zeros((1, 2))
    probe.locate(place)
    probe.locate(place, True)
    for _ in range(times):
        probe.learn(law, gamma, np.zeros(1, np.uint32), np.full(1, reward), np.full(1, ends, np.uint8))


@pytest.mark.parametrize("gamma", [0.9, 0.99, 1.0])
def test_steps_that_are_too_long_diverge(gamma: float) -> None:
    """A law without the features' scale: each update overshoots by a factor of 7."""
    features = TileCoding(8, 4).bind(LOW, HIGH)
    _, probe = probe_of(features, np.zeros((features.n_features, 2)), 1)
    assert not probe.diverged
    learn(probe, 1.0, gamma, 1.0, 3, ends=1)
    assert not probe.diverged
    learn(probe, 1.0, gamma, 1.0, 40, ends=1)
    assert probe.diverged


def test_right_steps_do_not_diverge() -> None:
    features = TileCoding(8, 4).bind(LOW, HIGH)
    table, probe = probe_of(features, np.zeros((features.n_features, 1)), 1)
    learn(probe, 0.125, 0.99, -1.0, 5000)
    assert not probe.diverged
    assert action_values(features, np.ascontiguousarray(table.values), [0, 0]) == pytest.approx([-100])


def test_what_was_large_from_the_start_has_not_diverged() -> None:
    """A learner that goes on with a table may see no reward for long."""
    features = TileCoding(8, 4).bind(LOW, HIGH)
    _, probe = probe_of(features, np.full((features.n_features, 1), 50.0), 1)
    learn(probe, 0.01, 0.99, 0.0, 100)
    assert not probe.diverged


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_a_value_that_is_not_finite_is_divergence(dtype: str, reward: float) -> None:
    """Without a reward nothing tells what is too large; infinity is."""
    features = PolynomialBasis(1).bind(LOW, HIGH)
    table, probe = probe_of(features, np.zeros((4, 2), dtype), 1)
    learn(probe, 0.1, 0.9, reward, 1)
    assert not probe.diverged
    table.values[3, 0] = np.inf
    learn(probe, 0.1, 0.9, reward, 1)
    assert probe.diverged


def test_weights_of_others_who_met_larger_rewards_are_no_divergence() -> None:
    features = TileCoding(8, 4).bind(LOW, HIGH)
    table, probe = probe_of(features, np.zeros((features.n_features, 1)), 1)
    learn(probe, 0.1, 0.5, 0.0, 1)
    table.values[:] = 1e4
    learn(probe, 0.1, 0.5, 0.0, 1)
    learn(probe, 0.1, 0.5, -1.0, 1)
    assert not probe.diverged


def test_not_a_number_is_divergence_and_stays_it() -> None:
    features = TileCoding(2, 2).bind(LOW, HIGH)
    table, probe = probe_of(features, np.zeros((features.n_features, 1)), 1)
    table.values[:] = np.nan
    learn(probe, 0.1, 0.9, 1.0, 1)
    table.values[:] = 0
    learn(probe, 0.1, 0.9, 1.0, 1)
    assert probe.diverged


def test_sizes_are_checked() -> None:
    features = TileCoding(2, 2).bind(LOW, HIGH)
    with pytest.raises(ValueError, match="rows for 18 features"):
        LinearQ(Rows.of_values(np.zeros((17, 2))), 1, features)
    with pytest.raises(ValueError, match="0 lanes"):
        LinearQ(Rows.of_values(np.zeros((18, 2))), 0, features)
    two = np.zeros(2)
    rest: Any = {"step_scale": 1.0, "fingerprint": ""}
    with pytest.raises(ValueError, match="bounds"):
        Features(4, two, two[:1], two, order=1, **rest)
    with pytest.raises(ValueError, match="bounds"):
        Features(4, *[np.zeros(MOST_INPUTS + 1)] * 3, order=1, **rest)
    with pytest.raises(ValueError, match="every product"):
        Features(5, two, two, two, order=1, **rest)
    with pytest.raises(ValueError, match="every product"):
        Features(4, two, two, two, norm=two, order=1, **rest)
    with pytest.raises(ValueError, match="entry per input"):
        Features(4, two, two, two, np.zeros((1, 2)), np.zeros(3, np.uint64), **rest)
    with pytest.raises(ValueError, match="entry per input"):
        Features(4, two, two, two, np.zeros((2, 2)), np.zeros(2, np.uint64), **rest)
