from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from cdq.comm.base import Communicator
from cdq.comm.contribution import Received
from cdq.comm.inprocess import InProcessCommunicator, connect
from cdq.errors import CollectiveMismatch, CommClosed, PeerLost
from cdq.testing import CommunicatorConformance, run_in_threads
from cdq.testing.fold import Array, Fold, SharedFold, mixed_magnitudes


class TestInProcess(CommunicatorConformance):
    def run(self, size: int, function: Callable[[Communicator], Any], *, timeout: float = 10.0) -> list[Any]:
        return run_in_threads(connect(size, timeout), function)


@pytest.mark.parametrize("size", range(1, 8))
def test_both_ways_of_merging_give_the_same_bits(size: int) -> None:
    def both(comm: Communicator) -> list[bytes]:
        values = mixed_magnitudes(5, comm.rank, 1001)
        return [comm.merge(kind(values), "sum").tobytes() for kind in (Fold, SharedFold)]

    results = run_in_threads(connect(size), both)
    assert {part for result in results for part in result} == {results[0][0]}


def test_shared_merge_copies_no_contribution() -> None:
    class Counted(SharedFold):
        nbytes = 800

        def merge(self, parts: Sequence[Received], rule: str, index: int, size: int) -> Array:
            raise AssertionError("merged from bytes")

    comms = connect(4)
    results = run_in_threads(comms, lambda comm: comm.merge(Counted(np.ones(100)), "sum"))
    assert all(np.array_equal(merged, np.full(100, 4.0)) for merged in results)
    assert [comm.bytes_sent for comm in comms] == [600] * 4


def test_shared_items_are_those_of_the_others_themselves() -> None:
    def share(comm: Communicator) -> tuple[Array, list[Array]]:
        assert isinstance(comm, InProcessCommunicator)
        own = np.full(100, comm.rank, np.float32)
        return own, comm.allgather_shared(own)

    comms = connect(3)
    results = run_in_threads(comms, share)
    for _, items in results:
        assert [item is own for item, (own, _) in zip(items, results, strict=True)] == [True] * 3
    assert [comm.bytes_sent for comm in comms] == [800] * 3


def test_shared_items_and_parts_are_different_calls() -> None:
    comms = connect(2)

    def differ(comm: InProcessCommunicator) -> Any:
        part = np.zeros(3, np.float32)
        return comm.allgather_shared(part) if comm.rank else comm.allgather(part)

    for error in run_in_threads(comms, differ):
        assert isinstance(error, CollectiveMismatch)
        assert "allgather_shared" in str(error)


def test_contributions_that_differ_in_kind_are_a_mismatch() -> None:
    def mixed(comm: Communicator) -> None:
        comm.merge((SharedFold if comm.rank else Fold)(np.ones(3)), "sum")

    assert [type(result) for result in run_in_threads(connect(2), mixed)] == [CollectiveMismatch] * 2


def test_a_merge_that_raises_aborts_the_others() -> None:
    class Broken(SharedFold):
        def merge_shared(self, contributions: Sequence[Any], rule: str, rank: int) -> None:
            if rank == 1:
                raise FloatingPointError("not finite")
            super().merge_shared(contributions, rule, rank)

    lost, cause, also_lost = run_in_threads(connect(3), lambda comm: comm.merge(Broken(np.ones(3)), "sum"))
    assert isinstance(cause, FloatingPointError)
    assert lost.ranks == also_lost.ranks == (1,)
    assert "rank 1: FloatingPointError: not finite" in str(lost)


def test_messages_tell_what_happened() -> None:
    def misses(comm: Communicator) -> None:
        if comm.rank == 0:
            comm.broadcast(b"", 0)
        time.sleep(0.2)
        comm.barrier()

    timed_out, gave_up = run_in_threads(connect(2, timeout=0.05), misses)
    assert str(timed_out).startswith("rank 1 did not come to broadcast from rank 0 (call 1) within 0.05 s")
    assert str(gave_up) == "barrier (call 1): rank 0 gave up waiting for rank 1"
    assert gave_up.ranks == (0,)
    mismatch = run_in_threads(connect(2), lambda comm: comm.agree(True) if comm.rank else comm.barrier())[0]
    assert str(mismatch).endswith("rank 0: barrier (call 1); rank 1: agree (call 1)")


def test_abort_from_another_thread_ends_a_pending_call() -> None:
    def waits(comm: Communicator) -> None:
        if comm.rank == 1:
            time.sleep(0.2)
        comm.barrier()

    comms = connect(2)
    stop = threading.Timer(0.05, comms[0].abort, ["stopped"])
    stop.start()
    own, other = run_in_threads(comms, waits)
    stop.join()
    assert isinstance(own, CommClosed)
    assert isinstance(other, PeerLost)
    assert "rank 0: stopped" in str(other)


def test_the_memory_of_a_run_is_freed() -> None:
    class Big:
        """Something that can be referred to weakly."""

    def hand_over(comm: Communicator) -> None:
        assert isinstance(comm, InProcessCommunicator)
        things = comm._pass("things", Big())
        references.extend(weakref.ref(thing) for thing in things)

    references: list[weakref.ref[Big]] = []
    comms = connect(2)
    run_in_threads(comms, hand_over)
    assert [reference() for reference in references] == [None] * 4
    assert len(comms) == 2
