"""Random transitions for Q-functions, and a table that the kernels and the definition both hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cdq import schedules
from cdq.core.probe import Probe
from cdq.core.table.rows import Rows, row_size
from tests.reference.qfunction import QFunction
from tests.reference.schedules import Law

STEP_SIZES = [schedules.Constant(0.3), schedules.RescaledLinear(0.9), schedules.Polynomial(0.77)]


@dataclass
class Table:
    """Memory of a table: views of what a row holds."""

    rows: Rows
    values: Any
    counts: Any


def make_table(values: Any, clock: Any) -> Table:
    n_rows, n_actions = values.shape
    data = np.zeros((n_rows, row_size(n_actions, values.itemsize)), np.uint8)
    end = n_actions * values.itemsize
    held = data[:, :end].view(values.dtype)
    counts = data[:, end : end + 4 * n_actions].view(np.uint32)
    held[:], counts[:] = values, clock
    base, steps = values.reshape(-1).copy(), np.ascontiguousarray(clock, np.uint32).reshape(-1)
    return Table(
        Rows(data, np.zeros(values.size + 1, np.uint32), base, steps, n_actions),
        held,
        counts,
    )


def random_values(random: np.random.Generator, shape: tuple[int, int], dtype: str) -> tuple[Any, Any]:
    """Return values, of which many are equal, and clocks."""
    values = random.choice([0.0, 1.0, -1.0, float(random.normal())], shape).astype(dtype)
    return values, random.integers(0, 5000, shape).astype(np.uint32)


def random_mask(random: np.random.Generator, shape: tuple[int, int]) -> Any:
    """Return masks, some of them of zeros; what is allowed is any number but 0."""
    return (random.random(shape) < random.random()).astype(np.uint8) * random.choice([1, 255], shape).astype(
        "u1"
    )


def compare(
    random: np.random.Generator,
    probe: Probe,
    table: Table,
    other: QFunction,
    observe: Any,
    *,
    sweeps: int,
    masked: bool,
    skipping: bool,
    law_scale: float = 1.0,
) -> None:
    """Run sweeps of random transitions through both, and compare to the bit after each; *observe* draws for all."""
    n, n_actions, dtype = probe.q.n, probe.q.n_actions, table.values.dtype
    step_size = STEP_SIZES[random.integers(len(STEP_SIZES))]
    law = schedules.build_law(step_size, 0, 0.3, str(dtype), law_scale)
    definition = Scaled(step_size, law_scale, dtype)
    observations = observe()
    assert probe.locate(observations) == -1
    for _ in range(sweeps):
        masks = random_mask(random, (n, n_actions)) if masked else None
        actions = chosen(random, probe, other, observations, masks)
        actions[actions == n_actions] = (
            0  # no action was allowed: what a loop makes of that is another matter
        )
        successors, rewards = observe(), random.choice([0.0, 1.0, -0.3, random.normal()], n)
        terminated = (random.random(n) < 0.3).astype(np.uint8)
        active = (random.random(n) < 0.7).astype(np.uint8) if skipping else None
        assert probe.locate(successors, True) == -1
        probe.learn(law, 0.9, actions, rewards, terminated, masks, active)
        steps = [
            None if active is not None and not active[i] else
            (observations[i], actions[i], rewards[i], successors[i], terminated[i], None if masks is None else masks[i])
            for i in range(n)
        ]  # fmt: skip
        other.learn(definition, 0.9, steps)
        assert_same(table, other)
        probe.advance()
        observations = successors


class Scaled(Law):
    """A law times a number, as one by definition."""

    def __init__(self, step_size: Any, scale: float, dtype: Any) -> None:
        super().__init__(step_size, 0, 0.3, dtype)
        self.scale = scale

    def exact(self, count: float) -> float:
        return super().exact(count) * self.scale


def chosen(random: np.random.Generator, probe: Probe, other: QFunction, observations: Any, masks: Any) -> Any:
    """Return the actions that both choose, after comparing them."""
    n = probe.q.n
    actions, bits = np.zeros(n, np.uint32), random.integers(0, 2**64, n, np.uint64)
    threshold = int(random.choice([0, 2**32, 2**31]))
    of = [None] * n if masks is None else masks
    probe.greedy(masks, actions)
    assert actions.tolist() == [other.greedy(*pair) for pair in zip(observations, of, strict=True)]
    probe.choose(threshold, bits, masks, actions)
    assert actions.tolist() == [
        other.choose(observation, threshold, word, mask)
        for observation, word, mask in zip(observations, bits, of, strict=True)
    ]
    return actions


def assert_same(table: Table, other: QFunction) -> None:
    """Compare values, counts and log to the bit."""
    assert table.values.tobytes() == other.values.tobytes()
    assert (table.counts & 0x7FFFFFFF).tolist() == other.counts.tolist()
    assert np.asarray(table.rows.log)[: table.rows.touched].tolist() == other.log
    touched = np.zeros(other.values.size, bool)
    touched[other.log] = True
    assert (table.counts >> 31).reshape(-1).tolist() == touched.astype(int).tolist()
