"""A worker that has a table of its own beside the common one learns by the definition, to the bit."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.linear.linear import LinearQ
from cdq.core.probe import Probe
from cdq.core.table.qfunction import TableQ
from cdq.features import TileCoding
from cdq.mdp import pack_model
from cdq.mdp.model import MDP
from cdq.qfunctions.merged import MergedTable
from cdq.workers.worker import LEARNING, Worker, streams
from tests.core.test_rollout import RATES, STEP_SIZES, assert_same
from tests.core.test_rules import probe_sweeps
from tests.reference import personal, qfunction
from tests.reference.schedules import Law
from tests.small_tables import make_table, random_values
from tests.strategies import DTYPES, models, seeds

PRIORS = [0.0, 0.5, 100.0, sys.float_info.max]


class OwnTask:
    """A packed model whose workers have rows of their own."""

    def __init__(self, packed: Any, own: int, prior: float, memory: float) -> None:
        self._packed, self._own = packed, (own, prior, memory)
        self.own_bytes, self.resumable = packed.own_bytes, packed.resumable

    def loop(self, rows: Any, *args: Any) -> Any:
        rows.keep_own(*self._own)
        return self._packed.loop(rows, *args)


@given(
    models(),
    st.sampled_from(DTYPES),
    st.integers(1, 5),
    st.sampled_from(STEP_SIZES),
    st.lists(st.tuples(st.integers(0, 25), RATES), min_size=1, max_size=3),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from(PRIORS),
    st.sampled_from([3.0, sys.float_info.max]),
    st.integers(1, 3),
    seeds,
)
def test_windows_are_the_definition_to_the_bit(
    model: MDP,
    dtype: str,
    lanes: int,
    step_size: Any,
    windows: Any,
    gamma: float,
    prior: float,
    memory: float,
    place: int,
    seed: int,
) -> None:
    n_rows, own = model.n_states * (place + 1), model.n_states * place
    merged = MergedTable(n_rows, model.n_actions, dtype, 0.0)
    worker = Worker(
        OwnTask(pack_model(model, dtype), own, prior, memory),
        merged,
        is_keeper=True,
        gamma=gamma,
        seed=seed,
        rank=0,
        session=0,
        num_envs=lanes,
        stop=np.zeros(1, np.int32),
    )
    words = streams(seed, (LEARNING, 0, 0), lanes)
    other = personal.Learner(own, prior, memory, model, gamma, dtype, words)
    steps = 0
    for sweeps, rates in windows:
        worker.run(schedules.build_law(step_size, steps, 0.3, dtype), sweeps, *rates)
        theirs = other.run(Law(step_size, steps, 0.3, dtype), sweeps, *rates)
        assert_same(worker, other, theirs.log)
        worker.commit_alone()
        other.commit()
        steps += sweeps * lanes


@given(
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.booleans(),
    st.sampled_from(PRIORS),
    seeds,
)
def test_a_stepped_table_is_the_definition_to_the_bit(
    n_states: int, n_actions: int, n: int, dtype: str, masked: bool, skipping: bool, prior: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    values, clock = random_values(random, (3 * n_states, n_actions), dtype)
    own = (n_states * (1 + seed % 2), prior, 40.0)
    table = make_table(values, clock)
    table.rows.keep_own(*own)
    other = personal.QFunction(*own, values.copy(), clock, lambda state: [(int(state), 1)])
    observe = lambda: random.integers(0, n_states, n)  # noqa: E731
    probe_sweeps(random, Probe(TableQ(table.rows, n)), table, other, observe, masked, skipping)


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.booleans(),
    st.sampled_from(PRIORS),
    seeds,
)
def test_a_linear_function_is_the_definition_to_the_bit(
    n_actions: int, n: int, dtype: str, masked: bool, skipping: bool, prior: float, seed: int
) -> None:
    random, tilings = np.random.default_rng(seed), 4
    features = TileCoding(tilings, 3).bind(np.zeros(2), np.ones(2))
    values, clock = random_values(random, (3 * features.n_features, n_actions), dtype)
    own = (features.n_features * (1 + seed % 2), prior, 40.0)
    table = make_table(values, clock)
    table.rows.keep_own(*own)

    def phi(observation: Any) -> Any:
        active = qfunction.cells(observation, np.zeros(2), np.ones(2), (3, 3), tilings)
        return [(qfunction.cell_number(t, at, (3, 3), tilings), 1) for t, at in active]

    other = personal.QFunction(*own, values.copy(), clock, phi)
    observe = lambda: random.random((n, 2))  # noqa: E731
    probe_sweeps(random, Probe(LinearQ(table.rows, n, features)), table, other, observe, masked, skipping)


@pytest.mark.parametrize("own", [0, -1, 4])
def test_own_rows_are_rows_of_the_table(own: int) -> None:
    table = make_table(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="there are no rows of a worker's own"):
        table.rows.keep_own(own, 1.0, 1.0)
