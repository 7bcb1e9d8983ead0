from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cdq.comm import registry
from cdq.comm.base import Communicator
from cdq.comm.zmq.keys import allow, keygen
from cdq.comm.zmq.ranks.communicator import ZmqCommunicator
from cdq.errors import CollectiveMismatch, CommTimeout, ConfigError, PeerLost
from cdq.testing import CommunicatorConformance, cases
from cdq.testing.fold import Fold, SharedFold, mixed_magnitudes
from tests.comm.zmq import pool


class TestZmq(CommunicatorConformance):
    def run(self, size: int, function: Callable[[Communicator], Any], *, timeout: float = 10.0) -> list[Any]:
        return pool.run(size, function, timeout)

    @pytest.mark.parametrize("operation", ["barrier", "alltoall", "broadcast", "split", "merge", "root"])
    def test_g14_calls_that_differ_fail_on_all_ranks(self, operation: str) -> None:
        results = self.run(3, partial(cases.differs, odd=2, operation=operation))
        assert [type(result) for result in results] == [CollectiveMismatch] * 3


def merge_in_all_ways(comm: Communicator, length: int) -> set[bytes]:
    """Merge from bytes and from shared memory, and return the results."""
    values = mixed_magnitudes(5, comm.rank, length)
    segments = comm.share(SharedFold.segment_bytes(length))
    contributions = [Fold(values), SharedFold(values), SharedFold(values, segments, comm.rank)]
    return {comm.merge(one, "sum").tobytes() for one in contributions}


@pytest.mark.parametrize("length", [50, 50_000])
@pytest.mark.parametrize("url", ["", "zmq+tcp://127.0.0.1:0"])
def test_every_way_of_merging_gives_the_same_bits(url: str, length: int) -> None:
    results = pool.run(3, partial(merge_in_all_ways, length=length), url=url)
    assert results == [results[0]] * 3
    assert len(results[0]) == 1


def is_killed(comm: Communicator) -> None:
    comm.barrier()
    if comm.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    comm.allgather(b"x")


def test_a_rank_that_is_killed_is_lost_soon() -> None:
    began = time.monotonic()
    results = pool.run(3, is_killed, timeout=30.0)
    assert isinstance(results.pop(1), EOFError)
    for result in results:
        assert isinstance(result, PeerLost)
        assert result.ranks == (1,)
    assert time.monotonic() - began < 10.0


def is_stopped(comm: Communicator) -> float:
    """Return after how many seconds a rank that is stopped was missed."""
    comm.barrier()
    began = time.monotonic()
    if comm.rank == 1:
        time.sleep(5.0)
        return 0.0
    with pytest.raises((CommTimeout, PeerLost)) as caught:
        comm.allgather(np.ones(3))
    assert getattr(caught.value, "missing", getattr(caught.value, "ranks", ())) == (1,)
    return time.monotonic() - began


def test_g13_who_does_not_come_is_named_in_time() -> None:
    waited = pool.run(3, is_stopped, timeout=0.5)
    assert [seconds < 4.0 for seconds in waited] == [True] * 3, waited


# ---- how it is reached


def test_the_environment_tells_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDQ_SIZE", "5")
    assert registry.ranks("zmq+ipc:///x/y") == 5
    assert registry.ranks("zmq+ipc:///x/y", 3) == 3
    monkeypatch.delenv("CDQ_SIZE")
    with pytest.raises(ConfigError, match="give workers"):
        registry.ranks("zmq+ipc:///x/y")


@pytest.mark.parametrize("url", ["zmq", "zmq://"])
def test_an_address_is_needed(url: str) -> None:
    with pytest.raises(ConfigError, match="give the hub's address, one of"):
        registry.connect(url, 2)


def test_another_number_of_workers_than_the_hub_has() -> None:
    with (
        pool.hub(1) as url,
        pytest.raises(ConfigError, match="workers is 2, but the hub has 1 rank, one worker each"),
    ):
        ZmqCommunicator.connect(url, 2, 5.0)


def test_ranks_with_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public = keygen(tmp_path / "keys")
    allow(tmp_path / "keys", public, "ranks")
    (tmp_path / "keys" / "hub.public").write_bytes(public.read_bytes())
    monkeypatch.setenv("CDQ_KEYS", str(tmp_path / "keys"))
    with pool.hub(1, "zmq+curve://127.0.0.1:0") as url, registry.connect(url, 1, 5.0)[0] as comm:
        assert url.startswith("zmq+curve://127.0.0.1:")
        assert comm.allgather(b"x" * 10**6) == [b"x" * 10**6]


def test_one_rank_too_many() -> None:
    with pool.hub(1) as url, ZmqCommunicator.connect(url, 1, 5.0)[0] as comm:
        with pytest.raises(ConfigError, match="the 1 ranks of this hub have come already"):
            ZmqCommunicator.connect(url, 1, 5.0)
        assert comm.allgather(b"x") == [b"x"]


def test_a_rank_that_never_comes() -> None:
    with pool.hub(2) as url, pytest.raises(CommTimeout, match="not all ranks connected within 0.3 s"):
        ZmqCommunicator.connect(url, 2, 0.3)


def test_a_hub_that_ends_is_noticed() -> None:
    with pool.hub(1) as url:
        comm = ZmqCommunicator.connect(url, 1, 30.0)[0]
        comm.barrier()
    with comm, pytest.raises(PeerLost, match="the hub cannot be reached any more"):
        comm.barrier()


def test_a_communicator_may_be_dropped_without_closing() -> None:
    """A script whose communicator goes out of scope is not warned of its socket."""
    script = "import sys; from cdq.comm import registry; registry.connect(sys.argv[1], 1, 5.0)[0].barrier()"
    with pool.hub(1) as url:
        command = [sys.executable, "-W", "error", "-c", script, url]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
