from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from cdq.errors import ConfigError
from cdq.errors.checks import shown
from cdq.features import (
    MOST_TILES,
    FourierBasis,
    PolynomialBasis,
    TileCoding,
    action_values,
    from_config,
    initial_weight,
    to_config,
)

LOW, HIGH = [-1.2, -0.07], [0.6, 0.07]
KINDS = [TileCoding, PolynomialBasis, FourierBasis]


@pytest.mark.parametrize(
    "features",
    [
        TileCoding(),
        TileCoding(16, (4, 8), low=-1, high=(None, 2.0), size=512),
        PolynomialBasis(2, low=[0.0, 1]),
        FourierBasis(np.int64(5), high=np.array([1.0, 2.0])),
        TileCoding(np.int8(4), np.array([2, 3]), size=np.int32(9)),
    ],
)
def test_features_come_back_from_their_description(features: Any) -> None:
    text = json.dumps(to_config(features))
    assert from_config(json.loads(text)) == features
    assert hash(from_config(json.loads(text))) == hash(features)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "unknown features None"),
        ({"kind": "tile-codign"}, "Did you mean 'tile-coding'"),
        ({"kind": "tile-coding", "tiels": 3}, "tiels"),
        ({"kind": "tile-coding", "tilings": "8"}, "tilings is '8'"),
        ({"kind": "fourier-basis", "order": 1.5}, "order is 1.5"),
        ({"kind": "fourier-basis", "low": ["x"]}, "low is"),
    ],
)
def test_a_description_is_read_strictly(config: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_config(config)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tilings": 0}, "tilings is 0; allowed: an integer from 1"),
        ({"tilings": True}, "tilings is True"),
        ({"tilings": 2.0}, "tilings is 2.0"),
        ({"tiles": 0}, "tiles is 0"),
        ({"tiles": ()}, r"tiles is \(\)"),
        ({"tiles": "88"}, "tiles is '88'"),
        ({"tiles": (8, 0)}, "tiles of an input is 0"),
        ({"size": 0}, "size is 0"),
        ({"low": np.nan}, "low is nan; allowed: a finite number"),
        ({"high": (1, np.inf)}, "high is"),
        ({"high": "12"}, "high is '12'"),
        ({"low": ()}, "low is"),
    ],
)
def test_arguments_are_checked(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TileCoding(**arguments)


def test_a_hundred_tilings_of_a_million_tiles_are_hashed() -> None:
    features = TileCoding(100, 100).bind(np.zeros(4), np.ones(4))
    assert features.n_features == MOST_TILES
    assert features.n_active == 100
    assert TileCoding(8, 8, size=1000).bind(LOW, HIGH).n_features == 8 * 9 * 9
    assert TileCoding(8, 8, size=100).bind(LOW, HIGH).n_features == 100


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_are_those_of_the_space_where_none_are_given(kind: Any) -> None:
    whole = kind(low=LOW, high=HIGH).bind([-9, -np.inf], [9, np.inf])
    parts = kind(low=(None, -0.07), high=(0.6, None)).bind([-1.2, -np.inf], [7, 0.07])
    eye = np.eye(whole.n_features)
    for observation in ([-0.5, 0.01], [-7, 3]):
        assert (action_values(whole, eye, observation) == action_values(parts, eye, observation)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", [np.inf, np.finfo(np.float32).max])
def test_an_unbounded_space_wants_bounds(kind: Any, bound: float) -> None:
    with pytest.raises(
        ConfigError, match=r"input 1 .*; give low and high, a finite number for each of the 2 inputs"
    ):
        kind().bind([-1, -bound], [1, bound])


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_fit_the_observation(kind: Any) -> None:
    with pytest.raises(ConfigError, match="low has 3 numbers; the observation has 2 inputs"):
        kind(low=(0, 0, 0)).bind(LOW, HIGH)
    with pytest.raises(ConfigError, match="low must be below high"):
        kind(low=1).bind(LOW, HIGH)
    with pytest.raises(ConfigError, match="1025 inputs; allowed: 1 to 1024"):
        kind().bind(np.zeros(1025), np.ones(1025))
    with pytest.raises(ConfigError, match="0 inputs"):
        kind().bind([], [])


def test_tiles_fit_the_observation() -> None:
    with pytest.raises(ConfigError, match="tiles has 3 numbers; the observation has 2 inputs"):
        TileCoding(tiles=(1, 2, 3)).bind(LOW, HIGH)


def test_a_basis_of_too_many_functions_is_refused() -> None:
    with pytest.raises(ConfigError, match="order 9 makes 1,000,000 features of 6 inputs"):
        FourierBasis(9).bind(np.zeros(6), np.ones(6))


def test_fingerprints_tell_features_and_bounds_apart() -> None:
    several = [
        TileCoding(),
        TileCoding(16),
        TileCoding(low=-2),
        PolynomialBasis(),
        FourierBasis(),
        FourierBasis(4),
    ]
    prints = [features.bind(LOW, HIGH).fingerprint for features in several]
    prints.append(TileCoding().bind(LOW, [0.6, 0.08]).fingerprint)
    assert len(set(prints)) == len(prints)
    assert all(len(one) == 64 for one in prints)
    assert TileCoding().bind(LOW, HIGH).fingerprint == prints[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_action_values_of_one_observation_and_of_many(dtype: Any) -> None:
    features = TileCoding(4, 4).bind(LOW, HIGH)
    weights = np.random.default_rng(0).normal(size=(features.n_features, 3)).astype(dtype)
    observations = np.random.default_rng(1).uniform(-1, 1, (5, 2))
    many = action_values(features, weights, observations)
    assert many.shape == (5, 3)
    assert (many[2] == action_values(features, weights, observations[2])).all()
    assert (many == action_values(features, np.asfortranarray(weights), observations.astype(float))).all()
    assert action_values(features, weights, np.zeros((0, 2))).shape == (0, 3)


def test_an_observation_is_finite_and_has_the_right_length() -> None:
    features = TileCoding(4, 4).bind(LOW, HIGH)
    weights = np.zeros((features.n_features, 3))
    with pytest.raises(ConfigError, match=r"the observation \[nan, 0.0\] is not finite"):
        action_values(features, weights, [np.nan, 0])
    with pytest.raises(ConfigError, match=r"shape \(3,\); allowed: 2 numbers"):
        action_values(features, weights, [0, 0, 0])


def test_initial_weights_add_up() -> None:
    features = TileCoding(8, 4).bind(LOW, HIGH)
    weights = np.full((features.n_features, 1), initial_weight(features, 3.0))
    assert action_values(features, weights, [0, 0]) == pytest.approx([3])
    basis = FourierBasis().bind(LOW, HIGH)
    assert initial_weight(basis, 0.0) == 0
    with pytest.raises(ConfigError, match=r"initial_value is 3.0; allowed with a basis: 0"):
        initial_weight(basis, 3.0)


def test_one_tiling_is_a_partition_into_bins() -> None:
    """Also where a bin begins, and at the highest number."""
    features = TileCoding(1, (4, 3)).bind([0, -1e6], [4, 1e6])
    assert features.n_features == 12
    places = [(i, y) for y in (-1e6, 0.0, 1e6) for i in (0, 1, 2, 3.5)]
    assert (action_values(features, np.eye(12), places) == np.eye(12)).all()
    assert (action_values(features, np.eye(12), [9, 1e7]) == np.eye(12)[11]).all()


@pytest.mark.parametrize("value", [10**400, 10**5000, math.inf, "1", True], ids=shown)
def test_numbers_beyond_any_float_are_refused(value: Any) -> None:
    for make in (
        lambda: TileCoding(low=value),
        lambda: TileCoding(high=[1.0, value]),
        lambda: TileCoding(tilings=value),
        lambda: TileCoding(tiles=[2, value]),
        lambda: PolynomialBasis(order=value),
    ):
        with pytest.raises(ConfigError, match="allowed"):
            make()


RANGES = [
    (0.0, 3e-9),
    (-1e-200, 1e-200),
    (1e9, 1e9 + 1),
    (-1e9 - 1, -1e9),
    (1e16, 1e16 + 8),
    (-1e25, 1e25),
    (0.1, 0.7),
    (-4.8, 4.8),
    (1 / 3, 2 / 3),
]


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("bins", [1, 2, 3, 4, 7, 10])
def test_bins_of_any_range_are_all_visited(low: float, high: float, bins: int) -> None:
    """An absolute tolerance, or bounds in float32, would lose those of narrow or distant ranges."""
    coding = TileCoding(1, bins).bind([low], [high])
    centres = low + (high - low) * (np.arange(bins) + 0.5) / bins
    found = action_values(coding, np.eye(bins), centres[:, None]).argmax(axis=1)
    fits = high - low > 8 * bins * np.spacing(max(abs(low), abs(high)))
    assert found.tolist() == list(range(bins)) if fits else (np.diff(found) >= 0).all()
    ends = action_values(coding, np.eye(bins), [[low], [high], [-np.finfo(float).max], [np.finfo(float).max]])
    assert ends.argmax(axis=1).tolist() == [0, bins - 1, 0, bins - 1]


def test_the_highest_of_few_numbers_is_in_the_highest_bin() -> None:
    """Between 1e16 and 1e16 + 2 there is no other float64."""
    coding = TileCoding(1, 4).bind([1e16], [1e16 + 2])
    assert action_values(coding, np.eye(4), [[1e16], [1e16 + 2]]).argmax(axis=1).tolist() == [0, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_that_float64_cannot_scale_are_refused(kind: Any) -> None:
    for low, high in ((-1.7e308, 1.7e308), (0.0, 5e-324), (0.0, 1e-300)):
        with pytest.raises(ConfigError, match=r"input 0 .* has the bounds .*another unit"):
            kind(low=low, high=high).bind([-1], [1])
    with pytest.raises(ConfigError, match=r"bounds 1e\+09 and 1e\+09; low must be below high"):
        kind().bind(np.float32([1e9]), np.float32([1e9 + 1]))


def test_bounds_of_ones_own_may_be_as_large_as_float64_can_scale() -> None:
    coding = TileCoding(1, 4, low=-1e300, high=1e300).bind([-np.inf], [np.inf])
    places = [[-1e300], [-1e299], [1e299], [1e300]]
    assert action_values(coding, np.eye(4), places).argmax(axis=1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("tilings", "tiles"), [(1, 4), (8, 7), (1, 8), (4, 3)])
def test_every_input_counts_where_there_are_more_tiles_than_64_bits_number(tilings: int, tiles: int) -> None:
    """Products of even numbers would be 0 modulo 2^64 from some input on."""
    width = 70
    coding = TileCoding(tilings, tiles).bind(np.zeros(width), np.ones(width))
    weights = np.random.default_rng(0).random((coding.n_features, 1))
    values = action_values(coding, weights, np.vstack([np.zeros(width), np.eye(width)]))
    assert len(np.unique(values)) == width + 1
