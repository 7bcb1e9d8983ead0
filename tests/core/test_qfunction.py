from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.probe import Probe
from cdq.core.table.qfunction import TableQ
from cdq.core.table.rows import Rows
from tests.reference.qfunction import QFunction
from tests.small_tables import compare, make_table, random_values
from tests.strategies import DTYPES, seeds


@given(
    st.integers(1, 6),
    st.integers(1, 12),
    st.integers(1, 9),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_a_table_is_the_definition_to_the_bit(
    n_states: int, n_actions: int, n: int, dtype: str, masked: bool, skipping: bool, seed: int
) -> None:
    """With few states, lanes meet: pairs repeat in a batch, and each counts."""
    random = np.random.default_rng(seed)
    values, clock = random_values(random, (n_states, n_actions), dtype)
    table = make_table(values, clock)
    compare(
        random,
        Probe(TableQ(table.rows, n)),
        table,
        QFunction(values.copy(), clock, lambda state: [(int(state), 1)]),
        lambda: random.integers(0, n_states, n),
        sweeps=8,
        masked=masked,
        skipping=skipping,
    )


def test_lanes_in_one_state_each_count() -> None:
    table = make_table(np.zeros((1, 1)), np.zeros((1, 1)))
    probe = Probe(TableQ(table.rows, 2))
    states, ones = np.zeros(2, np.int64), np.ones(2)
    assert probe.locate(states) == probe.locate(states, True) == -1
    law = schedules.build_law(schedules.Constant(0.5), 0, 0.3, "float64")
    probe.learn(law, 1.0, np.zeros(2, np.uint32), ones, np.ones(2, np.uint8))
    assert table.values[0, 0] == 0.75
    assert table.rows.touched == 1


@pytest.mark.parametrize("wrong", [-1, 5, 2**40, -(2**62)])
def test_a_state_out_of_range_is_found(wrong: int) -> None:
    table = make_table(np.zeros((5, 2)), np.zeros((5, 2)))
    probe = Probe(TableQ(table.rows, 4))
    states = np.array([0, 4, wrong, 1])
    assert probe.locate(states) == 2
    assert probe.locate(states, True, 0, 2) == -1
    assert probe.locate(states, False, 3, 1) == -1


def test_tables_have_room_and_do_not_diverge() -> None:
    probe = Probe(TableQ(make_table(np.full((1, 1), np.nan), np.zeros((1, 1))).rows, 1))
    assert probe.room == 2**63 - 1
    assert not probe.diverged
    assert probe.q.make_room() is None
    assert (probe.q.n, probe.q.n_actions, probe.q.width, probe.q.continuous) == (1, 1, 1, False)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_read_in_place(dtype: str) -> None:
    values = np.random.default_rng(0).normal(size=(9, 5)).astype(dtype)
    values.flags.writeable = False
    probe = Probe(TableQ(Rows.of_values(values), 9))
    actions = np.zeros(9, np.uint32)
    assert probe.locate(np.arange(9)) == -1
    probe.greedy(None, actions)
    assert actions.tolist() == values.argmax(axis=1).tolist()


def test_values_to_read_are_a_table_of_reals() -> None:
    for wrong in (np.zeros(4), np.zeros((2, 2), np.int64), np.zeros((0, 2)), np.zeros((2, 2), np.float16)):
        with pytest.raises(ValueError, match="values are"):
            Rows.of_values(wrong)
    with pytest.raises((ValueError, TypeError, BufferError)):
        Rows.of_values(np.zeros((4, 4))[:, ::2])


def test_a_table_needs_lanes() -> None:
    with pytest.raises(ValueError, match="0 lanes"):
        TableQ(Rows.of_values(np.zeros((1, 1))), 0)
