"""What `Communicator` derives, on the smallest implementation there can be: one rank."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cdq.comm.base import Call, Communicator
from cdq.comm.contribution import as_bytes_view
from cdq.errors import CommClosed, ConfigError, PeerLost
from cdq.testing.fold import Fold


class SoleTable(Communicator):
    """Remembers what it was asked for."""

    API_VERSION = 1

    def __init__(self, timeout: float = 1.0) -> None:
        super().__init__(0, 1, timeout)
        self.calls: list[Call] = []
        self.ends: list[str] = []
        self.fails: BaseException | None = None

    @classmethod
    def connect(cls, url: str, workers: int, timeout: float) -> list[SoleTable]:
        return [cls(timeout)]

    def _alltoall(self, call: Call, parts: Sequence[memoryview]) -> list[bytes]:
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails
        return [bytes(part) for part in parts]

    def _subset(self, members: Sequence[int]) -> SoleTable | None:
        return SoleTable() if members else None

    def _close(self) -> None:
        self.ends.append("closed")

    def _abort(self, reason: str) -> None:
        self.ends.append(reason)


def test_everything_derives_from_one_collective() -> None:
    comm = SoleTable()
    assert comm.alltoall([b"a"]) == [b"a"]
    assert comm.allgather(b"b") == [b"b"]
    assert comm.broadcast(b"c", 0) == b"c"
    comm.barrier()
    assert comm.agree(True)
    assert not comm.agree(False)
    assert comm.split(None) is None
    assert isinstance(comm.split(3), SoleTable)
    assert np.array_equal(comm.merge(Fold(np.arange(3.0)), "sum"), np.arange(3.0))
    assert [call.sequence for call in comm.calls] == list(range(1, 11))
    assert comm.calls[2] == Call("broadcast", 3, root=0)
    assert comm.bytes_sent == 0


def test_only_ends_are_allowed_after_a_failure() -> None:
    comm = SoleTable()
    comm.fails = PeerLost("rank 1 is gone", [1])
    with pytest.raises(PeerLost):
        comm.barrier()
    comm.fails = None
    with pytest.raises(CommClosed, match=r"a call failed \(PeerLost: rank 1 is gone\); connect again"):
        comm.barrier()
    comm.abort("enough")
    comm.close()
    assert comm.ends == ["enough"]


def test_interrupted_call_is_a_failure() -> None:
    comm = SoleTable()
    comm.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        comm.barrier()
    with pytest.raises(CommClosed, match="KeyboardInterrupt"):
        comm.barrier()


def test_context_manager_closes_or_aborts() -> None:
    with SoleTable() as comm:
        child = comm.split(0)
    assert isinstance(child, SoleTable)
    assert comm.ends == child.ends == ["closed"]
    comm = SoleTable()
    child = comm.split(0)
    with pytest.raises(ZeroDivisionError), comm:
        1 / 0  # noqa: B018
    assert isinstance(child, SoleTable)
    assert comm.ends == child.ends == ["ZeroDivisionError: division by zero"]


def test_other_process_or_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    comm = SoleTable()
    thread = threading.Thread(target=comm.barrier)
    thread.start()
    thread.join()
    with pytest.raises(CommClosed, match="belongs to the thread of its first call"):
        comm.barrier()
    forked = SoleTable()
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(CommClosed, match="connected before a fork"):
        forked.barrier()


def test_bad_input_changes_nothing() -> None:
    comm = SoleTable()
    with pytest.raises(ConfigError, match="got 2 parts for 1 ranks"):
        comm.alltoall([b"", b""])
    with pytest.raises(ConfigError, match="root is 1; allowed are the ranks 0 to 0"):
        comm.broadcast(b"", 1)
    with pytest.raises(TypeError, match="the root of a broadcast must give a part"):
        comm.broadcast(None, 0)
    with pytest.raises(ConfigError, match="allowed are 64-bit integers"):
        comm.split(0, key=2**70)
    with pytest.raises(TypeError, match="got 'text'"):
        comm.allgather("text")  # type: ignore[arg-type]
    assert comm.calls == []
    comm.barrier()


@pytest.mark.parametrize(
    "timeout", [0, -1.0, float("nan"), float("inf"), 1e300, 10**400, True, "60", None], ids="{!s:.9}".format
)
def test_timeout_is_above_zero_and_can_be_counted(timeout: Any) -> None:
    with pytest.raises(ConfigError, match="above zero and at most 1e"):
        SoleTable(timeout)


def test_parts_are_viewed_not_copied() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    view = as_bytes_view(array)
    array[1, 2] = -1
    assert view.nbytes == 24
    assert view[-4:] == b"\xff" * 4
    with pytest.raises(ConfigError, match=r"shape \(2, 2\) is not C-contiguous"):
        as_bytes_view(array[:, ::2])
