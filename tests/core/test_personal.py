"""A worker that has a table of its own beside the common one learns by the definition, to the bit."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.mdp import pack_model
from cdq.mdp.model import MDP
from cdq.qfunctions.merged import MergedTable
from cdq.workers.worker import LEARNING, Worker, streams
from tests.core.test_rollout import RATES, STEP_SIZES, assert_same
from tests.reference import personal
from tests.reference.schedules import Law
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
