"""Whole messages, however many, are no reason to cut a connection; for those without end see test_hostile.py."""

from __future__ import annotations

import sys
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
        guard.deliver(file)
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
                    guard.look()
                converse(sender, bound, guard, 1)
    finally:
        guard.close()
        bound.close(0)
    assert caplog.messages == []
