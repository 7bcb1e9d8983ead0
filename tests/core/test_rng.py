from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.mdp.model import MDP
from cdq.schedules import Constant, build_law
from cdq.workers.worker import EVALUATION, LEARNING, streams
from tests.reference.rng import Xoshiro
from tests.strategies import make_worker

ENDLESS = MDP.from_outcomes([0], [0], [0], [1.0], [0.0])


def test_reference_gives_the_published_sequence() -> None:
    stream = Xoshiro([1, 2, 3, 4])
    assert [stream.next() for _ in range(6)] == [
        41943041,
        58720359,
        3588806011781223,
        3591011842654386,
        9228616714210784205,
        9973669472204895162,
    ]


@given(st.integers(0, 2**63), st.integers(1, 9), st.integers(0, 40))
def test_every_lane_draws_two_words_a_sweep_of_its_own_stream(seed: int, lanes: int, sweeps: int) -> None:
    worker = make_worker(ENDLESS, seed=seed, num_envs=lanes)
    references = [Xoshiro(words) for words in streams(seed, (LEARNING, 0, 0), lanes).T]
    worker.run(build_law(Constant(0.1), 0, 0.3, "float64"), sweeps, 0.1, 0.1)
    for lane, reference in enumerate(references):
        for _ in range(1 + 2 * sweeps):  # one for the first reset
            reference.next()
        assert worker._lanes.words[:, lane].tolist() == reference.words


def test_streams_are_numpys_spawned_seed_sequences() -> None:
    words = streams(7, (LEARNING, 0, 3), 5)
    assert words.shape == (4, 5)
    for lane in range(5):
        expected = np.random.SeedSequence(7, spawn_key=(LEARNING, 0, 3, lane)).generate_state(4, np.uint64)
        np.testing.assert_array_equal(words[:, lane], expected)


def test_no_two_streams_of_a_seed_are_the_same() -> None:
    keys = [
        (use, session, rank) for use in (LEARNING, EVALUATION) for session in range(3) for rank in range(5)
    ]
    every = {tuple(column) for seed in (0, 1) for key in keys for column in streams(seed, key, 9).T.tolist()}
    assert len(every) == 2 * len(keys) * 9


def test_bits_are_uniform() -> None:
    """Words of many spawned streams: each bit is 1 half the time."""
    model = MDP.from_outcomes([0], [0], [0], [1.0], [0.0])
    worker = make_worker(model, num_envs=2000)
    bits = np.unpackbits(worker._lanes.words.view(np.uint8)).reshape(-1, 64)
    assert abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(len(bits))


@pytest.mark.parametrize("lanes", [1, 5])
def test_saved_streams_go_on_where_they_were(lanes: int) -> None:
    worker = make_worker(MDP.garnet(5, 3, branching=2, seed=1), num_envs=lanes)
    law = build_law(Constant(0.1), 0, 0.3, "float64")
    worker.run(law, 17, 0.5, 0.5)
    saved = worker._lanes.memory.copy()
    worker.run(law, 9, 1.0, 1.0)
    after = worker._lanes.memory.copy()
    worker._lanes.memory[:] = saved
    worker.run(law, 9, 1.0, 1.0)  # always exploring: the lanes do not depend on the table
    np.testing.assert_array_equal(worker._lanes.memory, after)
