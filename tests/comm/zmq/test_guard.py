"""Whole messages, however many, are no reason to cut a connection; for those without end see test_hostile.py."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cdq.comm.zmq.guard import Guard
from cdq.comm.zmq.sockets import load

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


def test_g12_whole_messages_are_never_cut(context: Any, caplog: pytest.LogCaptureFixture) -> None:
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
                    guard.look(True, time.monotonic())
                converse(sender, bound, guard, 1)
    finally:
        guard.close()
        bound.close(0)
    assert caplog.messages == []


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


def test_g12_one_who_sends_all_the_time_is_no_shelter(context: Any, caplog: pytest.LogCaptureFixture) -> None:
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
                looks = 0
                while not caplog.messages and looks < 100:
                    converse(sender, bound, guard, 60)
                    guard.look(False, time.monotonic())
                    looks += 1
                assert caplog.messages == ["a connection is cut: it sends without end"]
                raw.settimeout(5.0)
                with contextlib.suppress(ConnectionResetError):
                    while raw.recv(1 << 16):
                        pass
            converse(sender, bound, guard, MESSAGES)
            guard.look(False, time.monotonic())
            converse(sender, bound, guard, 1)
    finally:
        guard.close()
        bound.close(0)
    assert len(caplog.messages) == 1
