"""Cases of the conformance suite, for each rank: functions of a communicator that raise AssertionError.

They are module-level, and take and return plain values, so that a suite may run them in other processes.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from cdq.comm.base import Communicator
from cdq.comm.contribution import Received
from cdq.errors import CommClosed, CommTimeout, ConfigError
from cdq.testing.fold import Fold, SharedFold, fold, mixed_magnitudes


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def payload(seed: object, sender: int, receiver: int, length: int) -> bytes:
    """Return the bytes that `sender` gives to `receiver`, known to all ranks."""
    block = random.Random(f"{seed} {sender} {receiver}").randbytes(min(length, 997))
    return (block * (length // max(len(block), 1) + 1))[:length]


def length_of(kind: int | str, sender: int, receiver: int) -> int:
    """Return a length: the number given, or one that differs between ranks and is 0 for some."""
    return (sender * 1009 + receiver * 31) % 4099 if kind == "unequal" else int(kind)


def message(kind: int | str, sender: int, receiver: int = -1) -> bytes:
    """Return a payload of the kind of length."""
    return payload(kind, sender, receiver, length_of(kind, sender, max(receiver, 0)))


def outcome(function: Callable[[], Any]) -> str:
    """Return the name of the exception that a call raises, or ``"returned"``."""
    try:
        function()
    except Exception as error:
        return type(error).__name__
    return "returned"


def same(got: Sequence[Received], wanted: Sequence[bytes], what: str) -> None:
    """Compare parts, which must be read-only."""
    expect(len(got) == len(wanted), f"{what}: {len(got)} parts instead of {len(wanted)}")
    for rank, (part, right) in enumerate(zip(got, wanted, strict=True)):
        expect(memoryview(part).readonly, f"{what}: the part of rank {rank} can be written to")
        expect(bytes(part) == right, f"{what}: the part of rank {rank} is wrong")


def collectives(comm: Communicator) -> dict[str, Callable[[], Any]]:
    """Return one valid call of each collective."""
    return {
        "alltoall": lambda: comm.alltoall([b"x"] * comm.size),
        "allgather": lambda: comm.allgather(b"x"),
        "broadcast": lambda: comm.broadcast(b"x", 0),
        "barrier": comm.barrier,
        "agree": lambda: comm.agree(True),
        "split": lambda: comm.split(0),
        "merge": lambda: comm.merge(SharedFold(np.ones(3)), "sum"),
    }


# ---- each collective


def identity(comm: Communicator) -> tuple[int, int]:
    """Return rank and size."""
    return comm.rank, comm.size


def barrier_waits(comm: Communicator, late: int) -> float:
    """Return how long this rank waited for the late one, in seconds."""
    comm.barrier()
    if comm.rank == late:
        time.sleep(0.1)
    start = time.monotonic()
    comm.barrier()
    return time.monotonic() - start


def many_barriers(comm: Communicator, times: int) -> None:
    """Pass many barriers."""
    for _ in range(times):
        comm.barrier()


def allgather(comm: Communicator, kind: int | str) -> None:
    """Gather parts of a kind of length."""
    wanted = [message(kind, rank) for rank in range(comm.size)]
    same(comm.allgather(wanted[comm.rank]), wanted, "allgather")
    same(comm.allgather_shared(wanted[comm.rank]), wanted, "allgather_shared")


def alltoall(comm: Communicator, kind: int | str) -> None:
    """Exchange parts of a kind of length, twice, and count them."""
    ranks = range(comm.size)
    parts = [message(kind, comm.rank, rank) for rank in ranks]
    for _ in range(2):
        same(comm.alltoall(parts), [message(kind, rank, comm.rank) for rank in ranks], "alltoall")
    sent = 2 * sum(len(parts[rank]) for rank in ranks if rank != comm.rank)
    expect(comm.bytes_sent == sent, f"bytes_sent is {comm.bytes_sent} instead of {sent}")


def broadcast(comm: Communicator, kind: int | str) -> None:
    """Broadcast from every root; the others give nothing, or something that is ignored."""
    for root in range(comm.size):
        wanted = message(kind, root)
        others = None if comm.rank % 2 else b"ignored"
        same([comm.broadcast(wanted if comm.rank == root else others, root)], [wanted], f"root {root}")


def agree(comm: Communicator) -> list[bool]:
    """Return the votes' results for every combination of the ranks' opinions."""
    return [comm.agree(bool(mask >> comm.rank & 1)) for mask in range(2**comm.size)]


def input_kinds(comm: Communicator) -> None:
    """Give parts of allowed and other kinds: the others are found before anything is sent, so that later calls work."""
    bad: dict[str, tuple[Any, type[Exception]]] = {
        "a strided array": (np.arange(10.0)[::2], ConfigError),
        "a Fortran-ordered array": (np.ones((3, 2)).T, ConfigError),
        "an array of objects": (np.array([None]), ConfigError),
        "text": ("text", TypeError),
        "a number": (3, TypeError),
    }
    for what, (part, error) in bad.items():
        expect(outcome(partial(comm.allgather, part)) == error.__name__, f"{what}: no {error.__name__}")
    wrong: dict[str, Callable[[], Any]] = {
        "too many parts": lambda: comm.alltoall([b""] * (comm.size + 1)),
        "one strided part": lambda: comm.alltoall([memoryview(b"abcd")[::2]] * comm.size),
        "root too large": lambda: comm.broadcast(b"", comm.size),
        "colour too large": lambda: comm.split(2**63),
    }
    for what, call in wrong.items():
        expect(outcome(call) == ConfigError.__name__, f"{what}: no ConfigError")
    grid = np.arange(6.0).reshape(2, 3)
    good: Any
    for good in (grid, grid[:0], bytearray(b"ab"), memoryview(b"cd"), np.float64(2)):
        same(comm.allgather(good), [bytes(good)] * comm.size, f"allgather({good!r})")


def results_stay(comm: Communicator) -> None:
    """Change a part that was sent, and call again: earlier results must not change."""
    ranks = range(comm.size)
    mine = bytearray(message(1001, comm.rank))
    gathered, exchanged = comm.allgather(mine), comm.alltoall([mine] * comm.size)
    sent = comm.broadcast(mine, 0)
    mine[:] = b"\xff" * len(mine)
    for _ in range(4):
        comm.allgather(mine)
        comm.alltoall([mine] * comm.size)
        comm.broadcast(mine, 0)
    wanted = [message(1001, rank) for rank in ranks]
    same([*gathered, *exchanged, sent], [*wanted, *wanted, wanted[0]], "an earlier result")


def random_collectives(comm: Communicator, seed: int, times: int) -> None:
    """Make collectives that a shared seed chooses, and compare each with what it must return."""
    shared = random.Random(seed)
    for step in range(times):
        lengths = [shared.choice((0, 1, 7, 64, 1000)) * shared.randrange(3) for _ in range(comm.size)]
        kind, root = shared.randrange(4), shared.randrange(comm.size)
        parts = [payload(step, rank, 0, length) for rank, length in enumerate(lengths)]
        if kind == 0:
            same(comm.allgather(parts[comm.rank]), parts, f"step {step}")
        elif kind == 1:
            same([comm.broadcast(parts[comm.rank], root)], [parts[root]], f"step {step}")
        elif kind == 2:
            wanted = [payload(step, rank, comm.rank, lengths[comm.rank]) for rank in range(comm.size)]
            mine = [payload(step, comm.rank, rank, lengths[rank]) for rank in range(comm.size)]
            same(comm.alltoall(mine), wanted, f"step {step}")
        else:
            expect(comm.agree(comm.rank != root or step % 2 == 0) == (step % 2 == 0), f"step {step}")


# ---- groups and merges


def gather_ranks(comm: Communicator, number: int) -> list[int]:
    """Return the numbers that all ranks of a communicator give, in rank order."""
    return [part[0] for part in comm.allgather(bytes([number]))]


def split(comm: Communicator) -> None:
    """Split by colour, with keys, with None, and again; use the parent meanwhile."""
    ranks = list(range(comm.size))
    odd = comm.split(comm.rank % 2, key=-comm.rank)
    expect(odd is not None, "a rank with a colour got no communicator")
    if odd is None:
        return
    group = [rank for rank in reversed(ranks) if rank % 2 == comm.rank % 2]
    expect((odd.rank, odd.size) == (group.index(comm.rank), len(group)), "wrong rank or size in the group")
    expect(gather_ranks(odd, comm.rank) == group, "the keys do not order the group")
    expect(gather_ranks(comm, comm.rank) == ranks, "the parent is not usable")
    inner = odd.split(-1 if odd.rank < 2 else None)
    expect((inner is not None) == (odd.rank < 2), "None must give no communicator, a colour one")
    if inner is not None:
        expect(gather_ranks(inner, comm.rank) == group[:2], "wrong group in the group")
        inner.close()
    expect(gather_ranks(odd, comm.rank) == group, "the group is not usable after an inner one was closed")
    odd.close()
    expect(gather_ranks(comm, comm.rank) == ranks, "the parent is not usable after the group was closed")


def merge(comm: Communicator, length: int, shared: bool, rule: str) -> bytes:
    """Merge contributions of mixed magnitudes; the result must be the fold in rank order, bit for bit."""
    wanted = fold([mixed_magnitudes(length, rank, length) for rank in range(comm.size)], rule)
    mine = mixed_magnitudes(length, comm.rank, length)
    segments = comm.share(SharedFold.segment_bytes(length)) if shared else None
    for _ in range(2):
        merged = comm.merge(SharedFold(mine, segments, comm.rank) if shared else Fold(mine), rule)
        expect(merged.tobytes() == wanted.tobytes(), f"{rule} of {length} numbers has other bits")
    return wanted.tobytes()


def share(comm: Communicator, n_bytes: int) -> None:
    """Write to the own part of shared memory, if there is any, and read the others'."""
    segments = comm.share(n_bytes)
    expect(
        comm.agree(segments is None) or comm.agree(segments is not None), "some ranks share memory, some not"
    )
    if segments is None:
        return
    expect(all(not any(segment) for segment in segments), "shared memory is not zeroed")
    expect([segment.nbytes >= n_bytes for segment in segments] == [True] * comm.size, "too little memory")
    comm.barrier()
    segments[comm.rank][:n_bytes] = payload("share", comm.rank, 0, n_bytes)
    comm.barrier()
    same(
        [segment[:n_bytes].toreadonly() for segment in segments],
        [payload("share", rank, 0, n_bytes) for rank in range(comm.size)],
        "shared memory",
    )


def meet(comm: Communicator) -> None:
    """Meet where compiled code of all ranks does, if there is such a place, and bring something there."""
    together = comm.together()
    expect(
        comm.agree(together is None) or comm.agree(together is not None), "some ranks are together, some not"
    )
    if together is None:
        return
    sent, own = comm.bytes_sent, [str(rank) for rank in range(comm.size)]
    expect(together.bring(own[comm.rank], own) == own, "not all that the ranks brought is there")
    missed = together.bring(own[comm.rank] if comm.rank else None, own)
    expect(missed == [None, *own[1:]], "a rank that brings nothing is not told apart")
    expect(comm.bytes_sent == sent, "what ranks bring counts among the bytes sent")
    waits = [together.barrier.wait(comm.rank, comm.timeout) for _ in range(50)]
    expect(waits == [0] * len(waits), "the barrier did not let all pass")
    together.leave(waits[-1], "meetings")


# ---- failures


def differs(comm: Communicator, odd: int, operation: str) -> None:
    """Make another call on rank `odd` than on the others."""
    comm.barrier()
    if operation == "root":
        comm.broadcast(b"x", 1 if comm.rank == odd else 0)
    elif comm.rank == odd:
        collectives(comm)[operation]()
    else:
        comm.allgather(b"x")


def raises(comm: Communicator, culprit: int, slow: bool, grouped: bool) -> None:
    """Raise on one rank, before (not `slow`) or while the others are in a call, of a group if `grouped`."""
    group = comm.split(0) if grouped else comm
    comm.barrier()
    if (comm.rank == culprit) == slow:
        time.sleep(0.05)
    if comm.rank == culprit:
        raise RuntimeError("the culprit raises")
    if group is not None:
        group.allgather(b"x")


def leaves(comm: Communicator, leaver: int) -> None:
    """Return on one rank, which closes it, while the others go on."""
    comm.barrier()
    if comm.rank != leaver:
        comm.allgather(b"x")


def stays_away(comm: Communicator, absent: Sequence[int]) -> tuple[tuple[int, ...], float] | None:
    """Return the ranks that were missing, and the seconds after which that was found."""
    comm.barrier()
    if comm.rank in absent:
        time.sleep(3 * comm.timeout)
        return None
    start = time.monotonic()
    try:
        comm.allgather(b"x")
    except CommTimeout as error:
        return error.missing, time.monotonic() - start
    raise AssertionError("no CommTimeout")


def after_the_end(comm: Communicator, how: str) -> None:
    """Call every collective after the communicator ended; the end may come again."""
    comm.barrier()
    if how == "failure":
        failed = outcome(comm.barrier if comm.rank == 0 else lambda: comm.agree(True))
        expect(failed == "CollectiveMismatch", f"{failed} instead of CollectiveMismatch")
    else:
        end = comm.close if how == "close" else partial(comm.abort, "asked to")
        end()
    for operation, call in collectives(comm).items():
        expect(outcome(call) == CommClosed.__name__, f"{operation} after {how}: no CommClosed")
    for _ in range(2):
        comm.close()
        comm.abort("too late")


def other_thread(comm: Communicator) -> None:
    """Call from a second thread, which must be refused and do no harm."""
    comm.barrier()
    outcomes: list[str] = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome(comm.barrier)))
    thread.start()
    thread.join()
    expect(outcomes == [CommClosed.__name__], f"a second thread got {outcomes[0]}")
    comm.barrier()
