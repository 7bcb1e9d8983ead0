"""The records without MPI: ranks that put theirs together by hand."""

from __future__ import annotations

from cdq.comm.base import Call
from cdq.comm.mpi.records import Records


def meet(ranks: list[Records], calls: list[Call], parts: list[bytes]) -> list[list[int] | None]:
    """Write a record each, gather them, and return what each rank reads of the lengths."""
    for records, call, part in zip(ranks, calls, parts, strict=True):
        records.write(call, len(part), memoryview(part))
    for records in ranks:
        records.incoming[:] = b"".join(other.outgoing for other in ranks)
    return [records.lengths() for records in ranks]


def test_short_parts_come_with_the_records() -> None:
    ranks = [Records(3) for _ in range(3)]
    parts = [b"", b"abc", bytes(range(64))]
    assert meet(ranks, [Call("allgather", 1)] * 3, parts) == [[0, 3, 64]] * 3
    assert [records.parts([0, 3, 64]) for records in ranks] == [parts] * 3


def test_any_difference_of_the_calls_is_seen() -> None:
    call = Call("broadcast", 7, 2)
    for other in (Call("broadcast", 8, 2), Call("broadcast", 7, 1), Call("allgather", 7, 2)):
        ranks = [Records(2) for _ in range(2)]
        assert meet(ranks, [call, other], [b"", b""]) == [None, None]
        assert [records.calls() for records in ranks] == [[call, other]] * 2


def test_long_names_are_cut() -> None:
    ranks = [Records(2) for _ in range(2)]
    assert meet(ranks, [Call("é" * 60, 1)] * 2, [b"", b""]) == [[0, 0]] * 2


def test_room_follows_what_came_after_such_a_call() -> None:
    records = Records(2)
    rooms = []
    for _ in range(3):
        for operation, longest in (("merge", 5000), ("agree", 1), ("gather", 10**9)):
            rooms.append((operation, records.room))
            records.learn(operation, longest)
    assert rooms[6:] == [("merge", 8192), ("agree", 64), ("gather", 64)]


def test_room_shrinks_again_but_slowly() -> None:
    records = Records(2)
    rooms = []
    for longest in [4096, 4096] + [10] * 60:
        records.learn("merge", longest)
        rooms.append(records.room)
    assert rooms[:3] == [64, 4096, 4096]
    assert rooms[-1] == 64
    assert rooms[1:] == sorted(rooms[1:], reverse=True)


def test_the_records_of_many_ranks_stay_small() -> None:
    assert Records(2).largest_room == 1 << 14
    for size in (64, 1000, 5000):
        assert Records(size).largest_room * size <= max(1 << 18, 64 * size)
