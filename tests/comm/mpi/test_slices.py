"""Merges by messages, slice by slice: bits, memory, and ranks that fail meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.comm.base import Communicator
from cdq.comm.contribution import Received
from cdq.comm.mpi import slices
from cdq.errors import PeerLost
from cdq.testing.fold import Array, Fold, fold, from_bytes, mixed_magnitudes
from tests.mpi import pool


class SlicedFold(Fold):
    """A fold whose slices are packed, of any lengths, and merged in memory that is given."""

    def begin(self, of: int) -> tuple[int, int]:
        return (8 * -(-len(self.values) // of),) * 2

    def pack(self, index: int, of: int, out: memoryview) -> memoryview:
        part = np.array_split(self.values, of)[index]
        out[: part.nbytes] = part.tobytes()
        return out[: part.nbytes]

    def merge_into(self, parts: Sequence[Received], rule: str, index: int, of: int, out: memoryview) -> int:
        merged = fold([from_bytes(part) for part in parts], rule).tobytes()
        out[: len(merged)] = merged
        return len(merged)


def merge(comm: Communicator, lengths: Sequence[int], piece: int) -> list[bytes]:
    with mock.patch.object(slices, "PIECE", piece):
        return [
            comm.merge(SlicedFold(mixed_magnitudes(length, comm.rank, length)), "sum").tobytes()
            for length in lengths
        ]


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("piece", [1 << 10, 1 << 13, 1 << 21])
def test_slices_of_any_length_have_the_bits_of_the_fold(size: int, piece: int) -> None:
    lengths = (30_000, 2100, 30_001, 5000)
    arrays = [[mixed_magnitudes(length, rank, length) for rank in range(size)] for length in lengths]
    expected = [fold(several, "sum").tobytes() for several in arrays]
    assert pool.run(size, partial(merge, lengths=lengths, piece=piece)) == [expected] * size


def merge_for_long(comm: Communicator, merges: int) -> tuple[int, int]:
    """Return the bytes that are kept after a few merges, and after many."""
    kept = []
    for _ in range(2):
        for _ in range(merges):
            comm.merge(SlicedFold(np.ones(1 << 18)), "sum")
        kept.append(sum(array.nbytes for array in comm._kept._arrays))  # type: ignore[attr-defined]
    return kept[0], kept[1]


def test_memory_is_kept_and_does_not_grow() -> None:
    length = 8 << 18
    for few, many in pool.run(2, partial(merge_for_long, merges=5)):
        assert few == many <= 4 * length


@given(st.integers(1, 1 << 45), st.integers(2, 1000))
def test_slices_are_neither_many_nor_longer_than_mpi_can_count(n_bytes: int, size: int) -> None:
    pieces = slices.number_of_pieces(n_bytes, size)
    each = n_bytes / size / pieces
    assert each <= 1 << 29
    assert each > slices.PIECE / 2 or pieces == 1
    on_their_way = 2 * (slices._AHEAD + 1) * size * each  # what is kept beside the merged slices
    assert on_their_way <= max(3 * n_bytes, 6 * size * slices.PIECE) or pieces < slices._AHEAD + 1
    assert pieces <= slices._MOST or each > (1 << 29) * 0.9


class Failing(SlicedFold):
    """Fails on one rank, in the middle of a merge."""

    rank = -1

    def merge_into(self, *arguments: Any) -> int:
        if self.rank == 1 and arguments[2] % arguments[3] > 0:
            raise ValueError("the cause")
        return super().merge_into(*arguments)


def fail(comm: Communicator) -> Array:
    with mock.patch.object(slices, "PIECE", 1 << 10):
        contribution = Failing(np.ones(30_000))
        contribution.rank = comm.rank
        result: Array = comm.merge(contribution, "sum")
        return result


def test_a_rule_that_raises_on_one_rank_ends_the_merge_on_all() -> None:
    results = pool.run(3, fail)
    assert isinstance(results[1], ValueError)
    for rank in (0, 2):
        assert isinstance(results[rank], PeerLost)
        assert "rank 1: ValueError: the cause" in str(results[rank])
