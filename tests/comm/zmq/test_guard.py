"""Which connections are cut, and which are not; whose descriptors are closed."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cdq.comm.zmq.events import Send
from cdq.comm.zmq.guard import CROWD, ENDLESS, UNREAD, Guard
from cdq.comm.zmq.library import load
from cdq.comm.zmq.outbox import Outbox
from cdq.comm.zmq.wire import Frame, Kind, encode
from tests.running import open_files

LIMIT = 1000
SOURCE = 2  # ZMQ_SRCFD
MESSAGES = 3000  # of the greatest length: more than what may be received without a message

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is cut")


@pytest.fixture
def context() -> Iterator[Any]:
    made = load().Context()
    yield made
    made.destroy(0)


def converse(sender: Any, bound: Any, guard: Guard, messages: int) -> int:
    """Send messages and read each, without a look; return by which connection the last came."""
    file = -1
    for _ in range(messages):
        sender.send(bytes(LIMIT))
        assert bound.poll(5000), "the connection was cut"
        file = bound.recv_multipart(copy=False)[-1].get(SOURCE)
        guard.deliver(file, LIMIT, time.monotonic())
    return file


def test_g12_whole_messages_are_never_cut(context: Any) -> None:
    """Neither those before the first look, nor those of a connection that has the number of one that is gone."""
    zmq = load()
    bound = context.socket(zmq.ROUTER)
    guard = Guard(bound, LIMIT)
    bound.bind("tcp://127.0.0.1:0")
    try:
        for _ in range(2):
            with context.socket(zmq.DEALER) as sender:
                sender.connect(bound.last_endpoint)
                for _ in range(2):
                    assert converse(sender, bound, guard, MESSAGES) >= 0
                    assert guard.look(True, time.monotonic()) == []
                converse(sender, bound, guard, 1)
    finally:
        guard.close()
        bound.close(0)


def endless(url: str) -> socket.socket:
    """Return a connection that began a message and sent more of it than the hub may keep, with more to come."""
    host, _, port = url.rpartition("//")[2].partition(":")
    raw = socket.create_connection((host, int(port)))
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32))
    raw.recv(64, socket.MSG_WAITALL)
    ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
    raw.sendall(bytes([4, len(ready)]) + ready)
    part = b"\x01\xc8" + bytes(200)
    for _ in range(3):
        raw.sendall(part * (1 << 14))
    return raw


def test_g12_one_who_sends_all_the_time_is_no_shelter(context: Any) -> None:
    """A connection is cut also where there is never nothing to be read, and he is not."""
    zmq = load()
    bound = context.socket(zmq.ROUTER)
    guard = Guard(bound, LIMIT)
    bound.bind("tcp://127.0.0.1:0")
    try:
        with context.socket(zmq.DEALER) as sender:
            sender.connect(bound.last_endpoint)
            converse(sender, bound, guard, 1)
            with endless(bound.last_endpoint.decode()) as raw:
                reasons: list[str] = []
                for _ in range(100):
                    converse(sender, bound, guard, 60)
                    reasons += guard.look(False, time.monotonic())
                assert reasons == [ENDLESS]
                raw.settimeout(5.0)
                with contextlib.suppress(ConnectionResetError):
                    while raw.recv(1 << 16):
                        pass
            converse(sender, bound, guard, MESSAGES)
            assert guard.look(False, time.monotonic()) == []
            converse(sender, bound, guard, 1)
    finally:
        guard.close()
        bound.close(0)


def test_a_hub_that_was_stopped_in_a_look_looks_on(context: Any) -> None:
    """What the process slept, in a look or before it, is no reason to leave connections alone for as long."""
    with guarded(context) as (bound, guard):
        slept = 100.0
        assert guard.look(True, time.monotonic() - slept) == []
        with endless(bound.last_endpoint.decode()):
            reasons: list[str] = []
            deadline = time.monotonic() + 20.0
            while not reasons and time.monotonic() < deadline:
                time.sleep(0.01)
                reasons = guard.look(True, time.monotonic())
            assert reasons == [ENDLESS]


# ---- descriptors


@contextlib.contextmanager
def guarded(context: Any, limit: int | None = LIMIT) -> Iterator[tuple[Any, Guard]]:
    """Give a bound socket, and who guards it."""
    bound = context.socket(load().ROUTER)
    guard = Guard(bound, limit)
    bound.bind("tcp://127.0.0.1:0")
    try:
        yield bound, guard
    finally:
        guard.close()
        bound.close(0)


@pytest.mark.parametrize("failing", ["os.fstat", "os.dup", "socket.socket.getsockname"])
def test_a_descriptor_of_others_is_never_closed(
    failing: str, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZeroMQ aborts where one that it owns has been closed."""

    def fail(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")

    ours, theirs = socket.socketpair()
    with ours, theirs, guarded(context) as (_, guard):
        place, _, name = failing.rpartition(".")
        with monkeypatch.context() as patch:
            patch.setattr({"os": os, "socket.socket": socket.socket}[place], name, fail)
            guard._watch(ours.fileno())
        gc.collect()
        os.fstat(ours.fileno())
        ours.send(b"x")
        assert theirs.recv(1) == b"x"


def test_what_is_no_connection_of_the_socket_is_not_watched(context: Any, tmp_path: Path) -> None:
    """The number may be that of something else by the time that it is looked at."""
    before = open_files()
    with guarded(context) as (_, guard), open(tmp_path / "journal", "wb") as file:
        others = socket.socketpair()
        for number in (file.fileno(), others[0].fileno(), 10**6):
            guard._watch(number)
        assert not guard._connections
        for other in others:
            other.close()
        file.write(b"still open")
    context.term()
    assert open_files() <= before


def test_no_descriptor_is_left(context: Any) -> None:
    with guarded(context) as (bound, guard):
        connect(bound).close()
        until(lambda: not guard.look(True, time.monotonic()) and not guard._connections)
        before = open_files()
        for _ in range(300):
            connect(bound).close()
        until(lambda: not guard.look(True, time.monotonic()) and not guard._connections)
        assert open_files() <= before + 2


def connect(bound: Any) -> socket.socket:
    host, _, port = bound.last_endpoint.decode().rpartition("//")[2].partition(":")
    return socket.create_connection((host, int(port)))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---- how many, and how much they take


def test_strangers_make_room_for_others(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that have said something."""
    with guarded(context) as (bound, guard), context.socket(load().DEALER) as known:
        guard._room = 10
        known.connect(bound.last_endpoint)
        converse(known, bound, guard, 1)
        raws = [connect(bound) for _ in range(50)]
        reasons: list[str] = []

        def all_came() -> bool:
            reasons.extend(guard.look(True, time.monotonic()))
            return len(reasons) >= 41

        until(all_came)
        assert set(reasons) == {CROWD}
        assert len(guard._connections) == 10
        converse(known, bound, guard, 1)
        for raw in raws:
            raw.close()


def test_who_takes_nothing_is_cut_and_who_is_slow_is_not(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdq.comm.zmq.guard._PATIENCE", 0.5)
    with guarded(context) as (bound, guard):
        deaf, slow = endless_of(bound, 1), endless_of(bound, 1)
        outbox = Outbox(bound, lambda route: None)
        routes = []
        for _ in (deaf, slow):
            assert bound.poll(5000)
            route, last = bound.recv_multipart(copy=False)
            found = guard.deliver(last.get(SOURCE), len(last), time.monotonic())
            assert found is not None
            outbox.meet(route.bytes, found)
            routes.append(route.bytes)
        large = encode(Frame(Kind.RESULT, payload=bytes(30 << 20)))
        for route in routes:
            outbox.send(Send(route, large))
            outbox.send(Send(route, large))
            assert outbox.unread(route) > 30 << 20
        reasons: list[str] = []
        deadline = time.monotonic() + 20.0
        got = 0
        while got < 60 << 20 and time.monotonic() < deadline:
            got += len(slow.recv(1 << 20))
            time.sleep(0.01)
            reasons += guard.look(True, time.monotonic())
            outbox.flush()
        assert got >= 60 << 20, "the second message went out when the first was taken"
        assert reasons == [UNREAD]
        until(lambda: outbox.flush() == 0)
        deaf.close()
        slow.close()


def endless_of(bound: Any, messages: int) -> socket.socket:
    """Return a connection that said something, and does not read by itself."""
    raw = connect(bound)
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32))
    raw.recv(64, socket.MSG_WAITALL)
    ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
    raw.sendall(bytes([4, len(ready)]) + ready + b"\0\1x" * messages)
    return raw
