"""Kernels of networks against the same in NumPy: values, rollouts, gradients and updates, bit for bit."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cdq
from cdq.core.network import network as kernels
from cdq.core.network.network import LARGEST_HIDDEN, MOST_HIDDEN, Shape
from tests.reference import network as reference
from tests.small_networks import LAW, Network, network_of, record
from tests.strategies import seeds

START = str(Path(__file__).parents[1] / "start.py")  # runs a module of the tests
WIDTHS = st.lists(st.integers(1, 9).map(lambda units: 8 * units), min_size=1, max_size=3).map(tuple)


def test_tensors_lie_side_by_side() -> None:
    shape = Shape(4, (64, 8), 2)
    assert (shape.inputs, shape.hidden, shape.actions) == (4, (64, 8), 2)
    assert [(name, size) for name, _, size in shape.tensors] == [
        ("layer.0.kernel", (4, 64)),
        ("layer.0.bias", (64,)),
        ("norm.0.gain", (64,)),
        ("norm.0.bias", (64,)),
        ("layer.1.kernel", (64, 8)),
        ("layer.1.bias", (8,)),
        ("norm.1.gain", (8,)),
        ("norm.1.bias", (8,)),
        ("layer.2.kernel", (8, 2)),
        ("layer.2.bias", (2,)),
    ]
    end = 0
    for _, offset, size in shape.tensors:
        assert offset == end
        end += int(np.prod(size))
    assert shape.size == end


@pytest.mark.parametrize("hidden", [(), (8,) * 4, (0,), (4,), (12,), (520,), (8, -8), (64, 7)])
def test_layers_have_eights_of_units(hidden: tuple[int, ...]) -> None:
    assert (MOST_HIDDEN, LARGEST_HIDDEN) == (3, 512)
    with pytest.raises(ValueError, match="hidden layers"):
        Shape(4, hidden, 2)


@settings(max_examples=30)
@given(WIDTHS, st.integers(1, 9), st.integers(1, 20), st.integers(1, 150), seeds)
def test_values_are_those_of_the_definition_to_the_bit(
    hidden: tuple[int, ...], inputs: int, actions: int, n: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    network = network_of(random, Shape(inputs, hidden, actions), int(random.integers(1, 80)))
    x, values = random.normal(size=(n, inputs)), np.zeros((n, actions))
    assert network.q.action_values(x, values) == -1
    assert np.array_equal(values, network.values(x).astype(float) / 0.1)


def test_the_largest_network_is_the_definition() -> None:
    random = np.random.default_rng(0)
    network = network_of(random, Shape(3, (512, 512, 512), 70), 2)
    x, values = random.normal(size=(3, 3)), np.zeros((3, 70))
    assert network.q.action_values(x, values) == -1
    assert np.array_equal(values, network.values(x).astype(float) / 0.1)


def test_inputs_are_scaled_where_there_is_a_scale() -> None:
    """In float64, before they are rounded; one that is too large for float32 is as large as it may be."""
    random = np.random.default_rng(0)
    low, scale = np.array([-1.2, 0.0, 0.1]), np.array([2 / 1.8, 0.0, 2 / 0.2])
    network = network_of(random, Shape(3, (8,), 2), 4, low=low, scale=scale)
    x, values = random.normal(size=(7, 3)), np.zeros((7, 2))
    network.q.action_values(x, values)
    seen = np.where(scale != 0, (x - low) * scale - 1, x)
    assert np.array_equal(values, network.values(seen).astype(float) / 0.1)
    x[:, 1] = [1e300, -1e300, 3.4e38, 1e15, -1e15, 1e14, -1e16]
    assert network.q.action_values(x, values) == -1
    assert np.isfinite(values).all()
    assert values[0, 0] != values[1, 0]


@settings(max_examples=30)
@given(
    WIDTHS,
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 70),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_rollouts_are_learnt_by_the_definition_to_the_bit(
    hidden: tuple[int, ...],
    inputs: int,
    actions: int,
    n: int,
    sweeps: int,
    minibatch: int,
    masked: bool,
    skipping: bool,
    seed: int,
) -> None:
    """Targets, orders, gradients and updates, of two rollouts one after the other."""
    random = np.random.default_rng(seed)
    trace = float(random.choice([0.0, 0.9, 1.0]))
    network = network_of(
        random, Shape(inputs, hidden, actions), n, rollout=sweeps, minibatch=minibatch, trace=trace
    )
    definition = reference.RAdam(network.parameters)
    for _ in range(2):
        rollout = record(random, network, sweeps, masked=masked, skipping=skipping)
        learns = np.flatnonzero(np.array(rollout.learns).reshape(-1)).tolist()
        assert network.q.targets() == len(learns)
        x, y = np.concatenate(rollout.inputs), rollout.targets(trace)
        taken = np.concatenate(rollout.actions)
        for order in reference.orders(rollout.bits, learns, 2):
            network.q.shuffle()
            count = network.q.minibatches()
            assert count == max(sweeps * n // minibatch, 1)
            for i, gradient in enumerate(network.gradients()):
                part = order[len(order) * i // count : len(order) * (i + 1) // count]
                wanted = reference.gradient(network.parameters, network.widths, x[part], taken[part], y[part])
                assert np.array_equal(gradient, wanted)
            network.q.apply([gradient, 3 * gradient, gradient], 1e-2)
            definition.step([wanted, 3 * wanted, wanted], 1e-2)
            assert np.array_equal(network.parameters, definition.parameters)
            assert np.array_equal(network.moments, [definition.first, definition.second])
    assert not network.q.is_divergent


@pytest.mark.parametrize("hidden", [(8,), (16, 8), (8, 24, 16)])
def test_the_definition_is_the_gradient(hidden: tuple[int, ...]) -> None:
    """Finite differences in float64, away from where a unit is about to be cut off."""
    random = np.random.default_rng(3)
    widths = [3, *hidden, 4]
    parameters = random.normal(size=Shape(3, hidden, 4).size) * 0.5
    x, actions, y = random.normal(size=(6, 3)), random.integers(0, 4, 6), random.normal(size=6)
    passed = reference.forward(parameters, widths, x)[1]
    layers = reference.layers(parameters, widths)
    edges = [p.normal * layer.gain + layer.shift for p, layer in zip(passed, layers, strict=False)]
    assert min(np.abs(edge).min() for edge in edges) > 1e-4
    made = reference.gradient(parameters, widths, x, actions, y)
    differences, step = np.zeros_like(made), 1e-6
    for i in range(len(made)):
        for sign in (1, -1):
            moved = parameters.copy()
            moved[i] += sign * step
            differences[i] += sign * reference.loss(moved, widths, x, actions, y) / (2 * step)
    assert np.abs(made - differences).max() <= 1e-6 * np.abs(made).max()


def test_updates_go_on_where_they_ended() -> None:
    """Powers of beta follow from the number of updates, whatever made it; they end above zero, or at it."""
    random = np.random.default_rng(0)
    shape = Shape(2, (8,), 2)
    whole = network_of(random, shape, 1)
    definition = reference.RAdam(whole.parameters)
    gradients = [random.normal(size=shape.size).astype(np.float32) for _ in range(12)]
    for gradient in gradients[:7]:
        whole.q.apply([gradient], 0.1)
        definition.step([gradient], 0.1)
    other = Network(shape, whole.parameters.copy(), 1)
    other.moments[0][:], other.moments[1][:], other.updates[:] = *whole.moments, whole.updates
    for gradient in gradients[7:]:
        other.q.apply([gradient], 0.1)
        definition.step([gradient], 0.1)
    assert np.array_equal(other.parameters, definition.parameters)
    other.updates[:] = 10**12
    other.q.apply([gradients[0]], 0.1)
    assert other.updates == 10**12 + 1
    assert np.isfinite(other.parameters).all()
    other.updates[:] = 0  # back: a roll-back
    other.q.apply([gradients[0]], 0.1)
    assert not other.q.is_divergent


def learnt() -> str:
    """Return a hash of what a network learns, of sizes that are no multiples of a vector."""
    random = np.random.default_rng(5)
    network = network_of(random, Shape(5, (24, 40), 11), 33, rollout=6, minibatch=50)
    for _ in range(4):
        record(random, network, 6, masked=True, skipping=True)
        network.q.targets()
        for _ in range(2):
            network.q.shuffle()
            for i in range(network.q.minibatches()):
                gradient = np.zeros_like(network.parameters)
                network.q.gradient(i, gradient)
                network.q.apply([gradient, gradient * 7], 3e-2)
    assert not network.q.is_divergent
    return hashlib.sha256(network.parameters.tobytes() + b"".join(map(bytes, network.moments))).hexdigest()


def test_all_instruction_sets_give_the_same_bits() -> None:
    """CDQ_BASELINE=1 takes the kernels of every processor, where this one has others."""
    environment = {**os.environ, "CDQ_BASELINE": "1", "PYTHONPATH": str(Path(cdq.__file__).parents[1])}
    told = subprocess.run(
        [sys.executable, START, "tests.core.test_network"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    assert told.stdout.split() == ["baseline", learnt()]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_lane_that_is_not_finite_is_found(bad: float) -> None:
    network = network_of(np.random.default_rng(0), Shape(2, (8,), 3), 4, scale=np.array([0.0, 1.0]))
    x, values = np.zeros((4, 2)), np.zeros((4, 3))
    x[1, 1] = x[3, 0] = bad
    assert network.probe.locate(x) == 1
    assert network.probe.locate(x, True, 2, 2) == 3
    assert network.probe.locate(x, False, 2, 1) == -1
    assert network.q.action_values(x, values) == 1
    x = np.zeros((10, 2))
    x[9, 0] = bad
    assert network.q.action_values(x, np.zeros((10, 3))) == 9
    assert not network.probe.diverged


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tensor", range(10))
def test_parameters_that_are_not_finite_are_divergence(tensor: int, bad: float) -> None:
    random = np.random.default_rng(0)
    network = network_of(random, Shape(3, (8, 16), 2), 2)
    x = random.normal(size=(2, 3))
    network.probe.locate(x)
    assert not network.probe.diverged
    _, offset, size = network.shape.tensors[tensor]
    network.parameters[offset : offset + int(np.prod(size))] = bad
    network.probe.locate(x)
    network.q.targets()  # looks at the parameters themselves, which a unit that is cut off hides
    assert network.probe.diverged


def test_the_rectifier_hides_nothing() -> None:
    network = network_of(np.random.default_rng(0), Shape(3, (8,), 2), 2)
    network.parameters[0] = np.nan
    network.probe.locate(np.ones((2, 3)))
    assert network.probe.diverged


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_gradient_that_is_not_finite_is_divergence_and_not_applied(bad: float) -> None:
    network = network_of(np.random.default_rng(0), Shape(3, (8,), 2), 2)
    before, gradient = network.parameters.copy(), np.zeros_like(network.parameters)
    gradient[-1] = bad
    network.q.apply([gradient, gradient], 1e-3)
    assert network.probe.diverged
    assert network.updates == 0
    assert np.array_equal(network.parameters, before)


def test_the_norm_of_a_gradient_is_clipped() -> None:
    """At 10, of all parameters together."""
    results = []
    for size in (1.0, 1e3, 1e18):
        network = network_of(np.random.default_rng(0), Shape(3, (8,), 2), 2)
        gradient = np.full_like(network.parameters, size)
        network.q.apply([gradient], 1e-3)
        results.append(float(np.linalg.norm(network.moments[0].astype(float))))
    assert results == pytest.approx([0.1 * 66**0.5, 1, 1])


def test_a_short_rollout_is_cut_into_parts_of_its_own() -> None:
    random = np.random.default_rng(0)
    network = network_of(random, Shape(3, (8,), 2), 5, rollout=8, minibatch=16)
    for sweeps, count in ((8, 2), (3, 1), (7, 2), (1, 1)):
        record(random, network, sweeps, masked=False, skipping=False)
        assert network.q.recorded == sweeps
        assert network.q.targets() == 5 * sweeps
        assert (network.q.recorded, network.q.minibatches()) == (0, count)
    assert network.q.targets() == network.q.minibatches() == 0
    network.q.shuffle()


def test_lanes_that_made_no_transition_teach_nothing() -> None:
    """As many minibatches as other workers have, whose lanes did; a mean over none is zero."""
    random = np.random.default_rng(0)
    network = network_of(random, Shape(3, (8,), 2), 8, rollout=4, minibatch=8)
    x, active = random.normal(size=(8, 3)), np.zeros(8, np.uint8)
    for sweep in range(4):
        active[0] = sweep == 2
        network.probe.locate(x)
        network.probe.locate(x, True)
        network.probe.learn(LAW, 0.9, np.zeros(8, np.uint32), np.ones(8), np.zeros(8, np.uint8), None, active)
    assert network.q.targets() == 1
    gradients = network.gradients()
    assert len(gradients) == 4
    assert [bool(gradient.any()) for gradient in gradients] == [False, False, False, True]


def test_what_is_forgotten_is_not_learnt() -> None:
    random, other = np.random.default_rng(0), np.random.default_rng(0)
    ours, theirs = (network_of(r, Shape(3, (8,), 2), 5, rollout=3) for r in (random, other))
    record(np.random.default_rng(1), ours, 2, masked=False, skipping=False)
    ours.q.forget()
    assert ours.q.recorded == ours.q.minibatches() == 0
    for network, r in ((ours, random), (theirs, other)):
        record(r, network, 3, masked=False, skipping=False)
        network.q.targets()
        network.q.shuffle()
    assert np.array_equal(ours.gradients(), theirs.gradients())


def test_a_rollout_has_room_for_so_many_sweeps() -> None:
    network = network_of(np.random.default_rng(0), Shape(3, (8,), 2), 5, rollout=2)
    record(np.random.default_rng(1), network, 2, masked=False, skipping=False)
    assert network.q.recorded == 2
    assert network.probe.room == 0
    with pytest.raises(ValueError, match="2 sweeps"):
        network.q.make_room()
    network.q.targets()
    assert network.probe.room > 0
    network.q.make_room()


def test_memory_of_the_wrong_size_is_refused() -> None:
    random = np.random.default_rng(0)
    shape = Shape(3, (8,), 2)
    network = network_of(random, shape, 2)
    short = np.zeros(shape.size - 1, np.float32)
    wrong: list[dict[str, Any]] = [
        {"parameters": short},
        {"low": np.zeros(2)},
        {"rollout": 0},
        {"minibatch": 0},
        {"trace": 1.5},
        {"trace": np.nan},
        {"reward_scale": 0.0},
        {"reward_scale": np.nan},
        {"n": 0},
        {"rollout": 2**31},
    ]
    for change in wrong:
        with pytest.raises(ValueError, match=r"size|entry|sweeps|trace"):
            Network(**{"shape": shape, "parameters": network.parameters, "n": 2, **change})
    record(random, network, 1, masked=False, skipping=False)
    network.q.targets()
    with pytest.raises(ValueError, match="size"):
        network.q.gradient(0, short)
    with pytest.raises(ValueError, match="minibatch 1 of 1"):
        network.q.gradient(1, np.zeros(shape.size, np.float32))
    with pytest.raises(ValueError, match="size"):
        network.q.apply([network.parameters, short], 0.1)
    with pytest.raises(ValueError, match="no gradient"):
        network.q.apply([], 0.1)
    with pytest.raises(ValueError, match="size"):
        network.q.action_values(np.zeros((2, 3)), np.zeros((2, 3)))


if __name__ == "__main__":
    sys.stdout.write(f"{kernels.KERNELS} {learnt()}")
