from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdq.comm.base import Communicator
from cdq.comm.contribution import Received
from cdq.comm.mpi import ends, pieces
from cdq.comm.mpi.communicator import MPICommunicator
from cdq.errors import BackendUnavailable, CollectiveMismatch, CommClosed, CommTimeout, PeerLost
from cdq.testing import CommunicatorConformance
from cdq.testing.cases import message, same
from cdq.testing.fold import Array, Fold, SharedFold, mixed_magnitudes
from tests.mpi import jobs, pool


class TestMPI(CommunicatorConformance):
    def run(self, size: int, function: Callable[[Communicator], Any], *, timeout: float = 10.0) -> list[Any]:
        return pool.run(size, function, timeout)


# ---- long parts


def move_in_pieces(comm: Communicator, chunk: int) -> bytes:
    """Move parts of unequal lengths, with another limit of a step."""
    usual, pieces.CHUNK = pieces.CHUNK, chunk
    try:
        ranks = range(comm.size)
        mine = [message("unequal", comm.rank, rank) * (1 + comm.rank) for rank in ranks]
        theirs = [message("unequal", rank, comm.rank) * (1 + rank) for rank in ranks]
        same(comm.alltoall(mine), theirs, "alltoall")
        alike = [message("unequal", rank) * 3 for rank in ranks]
        same(comm.allgather(alike[comm.rank]), alike, "allgather")
        for root in ranks:
            same([comm.broadcast(alike[comm.rank], root)], [alike[root]], f"broadcast from {root}")
        merged: Array = comm.merge(Fold(mixed_magnitudes(0, comm.rank, 20_000)), "sum")
        return merged.tobytes()
    finally:
        pieces.CHUNK = usual


@pytest.mark.parametrize("size", [2, 3, 7])
def test_pieces_of_any_length_give_the_same(size: int) -> None:
    results = [pool.run(size, partial(move_in_pieces, chunk=chunk)) for chunk in (1000, 1 << 10, 1 << 30)]
    assert results == [[results[0][0]] * size] * 3


# ---- merges


class DivergenceGuard(SharedFold):
    """Tells how it was merged."""

    def __init__(self, values: Array, *memory: Any) -> None:
        super().__init__(values, *memory)
        self.ways: list[str] = []

    def merge(self, parts: Sequence[Received], rule: str, index: int, size: int) -> Array:
        self.ways.append(f"{size} slices")
        return super().merge(parts, rule, index, size)

    def merge_shared(self, contributions: Sequence[Any], rule: str, rank: int) -> None:
        self.ways.append("shared")
        super().merge_shared(contributions, rule, rank)


def merge_in_all_ways(comm: Communicator, length: int) -> tuple[list[str], set[bytes], int]:
    """Merge from bytes and from shared memory; return the ways taken, the results and the bytes sent since."""
    values = mixed_magnitudes(5, comm.rank, length)
    segments = comm.share(SharedFold.segment_bytes(length))
    sent = comm.bytes_sent
    watched = [DivergenceGuard(values), DivergenceGuard(values, segments, comm.rank)]
    results = {comm.merge(one, "sum").tobytes() for one in watched}
    return [way for one in watched for way in one.ways], results, comm.bytes_sent - sent


@pytest.mark.parametrize(
    ("length", "ways"), [(50, ["1 slices", "1 slices"]), (50_000, ["3 slices", "shared"])]
)
def test_every_way_of_merging_gives_the_same_bits(length: int, ways: list[str]) -> None:
    results = pool.run(3, partial(merge_in_all_ways, length=length))
    assert [result[0] for result in results] == [ways] * 3
    assert {bits for result in results for bits in result[1]} == results[0][1]
    assert len(results[0][1]) == 1
    if (
        length > 1000
    ):  # two thirds of the slices, the merged third twice; two thirds are what sharing stands for
        assert all(
            result[2] == pytest.approx(8 * length * (2 / 3 + 2 / 3 + 2 / 3), rel=0.01) for result in results
        )


def merge_unequal(comm: Communicator) -> float:
    """Merge contributions of which one is small and one cannot be shared."""
    length = 10 if comm.rank == 0 else 50_000
    total: Array = comm.merge(Rectangular(np.full(length, 1.0 + comm.rank)), "sum")
    return float(total.sum())


class Rectangular(Fold):
    """As long as it has to be when it is cut: as those whose size depends on what was touched."""

    def cut(self, size: int) -> Sequence[Array]:
        return np.array_split(np.resize(self.values, 100), size)


def test_small_and_large_contributions_merge() -> None:
    assert pool.run(3, merge_unequal) == [600.0] * 3


def merge_by_two_rules(comm: Communicator) -> None:
    comm.merge(Fold(np.ones(3)), "max" if comm.rank else "sum")


def test_rules_that_differ_are_a_mismatch() -> None:
    for result in pool.run(2, merge_by_two_rules):
        assert isinstance(result, CollectiveMismatch)
        assert str(result).endswith("rank 0: merge by sum (call 1); rank 1: merge by max (call 1)")


# ---- failures and the end


def misses(comm: Communicator) -> None:
    if comm.rank == 0:
        comm.broadcast(b"", 0)
    time.sleep(0.4)
    comm.barrier()


def test_messages_tell_what_happened() -> None:
    timed_out, gave_up = pool.run(2, misses, timeout=0.1)
    assert isinstance(timed_out, CommTimeout)
    assert str(timed_out).startswith(
        "broadcast from rank 0 (call 1): rank 1 did not come within 0.1 s; raise"
    )
    assert isinstance(gave_up, PeerLost)
    assert str(gave_up) == "barrier (call 1): rank 0: gave up waiting for rank 1"
    assert gave_up.ranks == (0,)


def waits_and_is_aborted(comm: Communicator) -> None:
    if comm.rank == 1:
        time.sleep(0.3)
    stop = threading.Timer(0.1, comm.abort, ["stopped"])
    if comm.rank == 0:
        stop.start()
    try:
        comm.barrier()
    finally:
        stop.cancel()


def test_abort_from_another_thread_ends_a_pending_call() -> None:
    own, other = pool.run(2, waits_and_is_aborted)
    assert isinstance(own, CommClosed)
    assert isinstance(other, PeerLost)
    assert str(other) == "barrier (call 1): rank 0: stopped"


def fails_in_a_group(comm: Communicator) -> None:
    """Fail in one of two groups: the other group, waiting in the parent, is to hear of the culprit alone."""
    group = comm.split(comm.rank % 2)
    assert group is not None
    if comm.rank % 2:
        with comm:
            if comm.rank == 1:
                raise RuntimeError("the culprit raises")
            group.barrier()
    comm.barrier()


def test_victims_are_not_named() -> None:
    results = pool.run(4, fails_in_a_group)
    assert isinstance(results.pop(1), RuntimeError)
    for result in results:
        assert isinstance(result, PeerLost)
        assert "the culprit raises" in str(result)
    assert results[0].ranks == results[1].ranks == (1,)


def closes_at_its_own_time(comm: Communicator) -> tuple[int, bool]:
    """Close early on one rank and late on the others; return what was kept of it, and whether it was freed at once."""
    kept = len(ends.kept)
    group = comm.split(0)
    assert group is not None
    time.sleep(0.0 if comm.rank == 0 else 1.0)
    started = time.monotonic()
    group.close()
    at_once = time.monotonic() - started < 0.5
    comm.barrier()
    while ends.leaving and time.monotonic() < started + 5.0:
        ends.tend()
    return len(ends.kept) - kept + len(ends.leaving), at_once


@pytest.mark.alone
def test_closing_waits_for_nobody_and_leaves_nothing() -> None:
    assert pool.run(3, closes_at_its_own_time) == [(0, True)] * 3


def shared_mappings(comm: Communicator) -> int:
    """Share memory and let it go; return how much of it is still mapped."""
    segments = comm.share(1 << 22)
    assert segments is not None
    comm.barrier()
    del segments
    return Path("/proc/self/maps").read_text().count("/memfd:cdq")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is shared on Linux")
def test_shared_memory_goes_with_its_last_user() -> None:
    assert pool.run(3, shared_mappings) == [0] * 3


# ---- connecting


def connect_with(comm: Communicator, url: str, workers: int | None) -> None:
    MPICommunicator.ranks(url, workers)


@pytest.mark.parametrize(
    ("url", "workers", "why"),
    [
        (
            "mpi",
            3,
            r"workers is 3, but mpiexec started 2 ranks, one worker each: leave workers out, or start 3",
        ),
        ("mpi://hub:7000", None, "mpiexec knows the addresses; give 'mpi'"),
    ],
)
def test_what_mpi_cannot_do(url: str, workers: int | None, why: str) -> None:
    for result in pool.run(2, partial(connect_with, url=url, workers=workers)):
        with pytest.raises(ValueError, match=why):
            raise result


def connected_alone(code: str, **environment: str) -> str:
    """Return what a single process says that connects over MPI."""
    code = f"{code}\nfrom cdq.comm import registry\nprint(registry.connect('mpi')[0].allgather(b'alone'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=jobs.environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr.strip().rpartition("\n")[2]


def test_a_single_process_is_one_rank() -> None:
    jobs.mpiexec()
    files = jobs.shared_files()
    assert connected_alone("") == "[b'alone']\n"
    assert not jobs.left_over("", files)


def test_without_mpi4py() -> None:
    said = connected_alone("import sys; sys.modules['mpi4py'] = None")
    assert said.startswith(
        f"cdq.errors.{BackendUnavailable.__name__}: communicator 'mpi': import of mpi4py halted"
    )
    assert "pip install 'cdq[mpi-local]'" in said


def test_without_a_library() -> None:
    said = connected_alone("", MPI4PY_LIBMPI="/nowhere/libmpi.so")
    assert "BackendUnavailable: communicator 'mpi': cannot load MPI library" in said
    assert "/nowhere/libmpi.so: cannot open shared object file" in said
    assert "pip install 'cdq[mpi-local]'" in said


def test_an_mpiexec_of_another_mpi() -> None:
    command = jobs.mpiexec()
    said = connected_alone("", SLURM_STEP_NUM_TASKS="4", SLURM_PROCID="1", OMPI_MCA_btl="self")
    assert "BackendUnavailable: communicator 'mpi': srun started 4 processes, but the MPI library" in said
    assert "sees 1: it is " in said
    assert f"Either start with {command[0]}" in said
