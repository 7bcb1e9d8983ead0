"""What workers that train a network bring to a round."""

from __future__ import annotations

import numpy as np
import pytest

from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.errors import DivergenceError
from cdq.qfunctions import Parameters
from cdq.testing import run_in_threads
from cdq.workers import NetworkContribution, Summary


def parameters(n: int, rank: int) -> Parameters:
    own = Parameters(n)
    random = np.random.default_rng(rank)
    for array in (own.values, own.first, own.second):
        array[:] = random.normal(size=n)
    own.count[:] = 7
    return own


def bring(comm: Communicator, own: Parameters, *, averages: bool) -> list[Summary]:
    contribution = NetworkContribution(own, averages=averages)
    contribution.summary = Summary(comm.rank, comm.rank, 0.5, 0, 0, bytes(64))
    slices, summaries = comm.merge(contribution, "mean")
    assert slices == []
    return summaries


@pytest.mark.parametrize(("size", "n"), [(1, 5), (2, 8), (3, 7), (4, 3)])
def test_the_mean_is_that_of_all_ranks_in_their_order(size: int, n: int) -> None:
    own = [parameters(n, rank) for rank in range(size)]
    expected = []
    for name in ("values", "first", "second"):
        total = getattr(own[0], name).copy()
        for other in own[1:]:
            total = total + getattr(other, name)
        expected.append(total / np.float32(size))
    found = run_in_threads(connect(size), lambda comm: bring(comm, own[comm.rank], averages=True))
    for one in own:
        for array, mean in zip(one.arrays, expected, strict=False):
            assert array.tobytes() == mean.tobytes()
    assert [[summary.episodes for summary in summaries] for summaries in found] == [list(range(size))] * size
    assert [len(summaries[0].tallies) for summaries in found] == [64] + [0] * (size - 1)


def test_equal_parameters_stay_as_they_are() -> None:
    own = [parameters(9, 0) for _ in range(3)]
    before = own[0].checksum()
    run_in_threads(connect(3), lambda comm: bring(comm, own[comm.rank], averages=False))
    assert [one.checksum() for one in own] == [before] * 3


@pytest.mark.parametrize("what", ["values", "first", "second", "count"])
def test_a_network_that_differs_in_a_bit_is_named(what: str) -> None:
    own = [parameters(9, 0) for _ in range(3)]
    getattr(own[2], what).view(np.uint8)[0] ^= 1
    found = run_in_threads(connect(3), lambda comm: bring(comm, own[comm.rank], averages=False))
    assert [type(error) for error in found] == [DivergenceError] * 3
    assert [error.ranks for error in found] == [(2,)] * 3
    assert "rank 2 against the others" in str(found[0])


def test_other_numbers_of_steps_are_not_averaged() -> None:
    own = [parameters(9, 0) for _ in range(2)]
    own[1].count[:] = 8
    found = run_in_threads(connect(2), lambda comm: bring(comm, own[comm.rank], averages=True))
    assert [type(error) for error in found] == [DivergenceError] * 2
