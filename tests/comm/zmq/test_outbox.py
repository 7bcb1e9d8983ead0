"""The hub's outbox: large messages to peers that are slow, leave, or never read."""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zmq

from cdq.comm.kept import Kept
from cdq.comm.zmq import sockets
from cdq.comm.zmq.address import parse
from cdq.comm.zmq.events import Send
from cdq.comm.zmq.link import Link
from cdq.comm.zmq.outbox import Outbox
from cdq.comm.zmq.pieces import Incoming
from cdq.comm.zmq.wire import Assembled, Body, Frame, Kind, Message, decode, encode

MB = 1 << 20


@contextmanager
def peers() -> Iterator[tuple[Outbox, Any, bytes, list[bytes]]]:
    """Give an outbox, a peer's socket, the route to it, and the routes that are lost."""
    lost: list[bytes] = []
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cdq-") as short, zmq.Context() as context:
        address = parse(f"zmq+ipc://{short}/hub")
        bound, peer = sockets.router(context, address, None, None), context.socket(zmq.DEALER)
        with bound, peer:
            sockets.bind(bound, address)
            peer.linger, peer.rcvhwm = 0, 2
            peer.connect(address.endpoint)
            peer.send(b"here")
            assert bound.poll(5000)
            yield Outbox(bound, lost.append), peer, bound.recv_multipart()[0], lost


def take(peer: Any, incoming: Incoming, outbox: Outbox) -> Assembled | bytes:
    """Return the next message that a peer reads, slowly, while the hub ticks."""
    until = time.monotonic() + 20.0
    while time.monotonic() < until:
        outbox.flush()
        if not peer.poll(10):
            continue
        frames = peer.recv_multipart()
        if len(frames) == 1:
            return bytes(frames[0])
        whole = incoming.take(*frames, None)
        if whole is not None:
            return whole
    raise AssertionError("nothing comes any more")


def test_small_and_large_messages_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdq.comm.zmq.sockets._QUEUE", 4)
    body = Body(bytes(100), random.Random(9).randbytes(3 * MB), bytes(7))
    with peers() as (outbox, peer, route, lost):
        for sequence in range(40):
            frame = Frame(Kind.RESULT, sequence=sequence)
            outbox.send(Send(route, Message(frame, body) if sequence % 5 == 0 else encode(frame)))
        incoming = Incoming(Kept())
        for sequence in range(40):
            frame = decode(take(peer, incoming, outbox))
            assert frame.sequence == sequence
            assert frame.payload == (b"" if sequence % 5 else b"".join(body.parts))
        assert not lost


def test_a_message_that_does_not_fit_goes_on_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdq.comm.zmq.sockets._QUEUE", 4)
    body = Body(random.Random(1).randbytes(40 * MB))
    with peers() as (outbox, peer, route, lost):
        for sequence in range(3):
            outbox.send(Send(route, Message(Frame(Kind.RESULT, sequence=sequence), body)))
        assert outbox._queues[route]
        assert outbox.unread(route) >= 2 * len(body.parts[0])
        incoming = Incoming(Kept())
        for sequence in range(3):
            frame = decode(take(peer, incoming, outbox))
            assert (frame.sequence, frame.payload) == (sequence, body.parts[0])
        assert not lost
        assert outbox.flush() == 0
        assert not outbox._begun


def test_a_peer_that_leaves_in_the_middle_is_lost_and_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cdq.comm.zmq.sockets._QUEUE", 4)
    with peers() as (outbox, peer, route, lost):
        outbox.send(Send(route, Message(Frame(Kind.RESULT), Body(bytes(40 * MB)))))
        peer.close()
        until = time.monotonic() + 10.0
        while not lost and time.monotonic() < until:
            with contextlib.suppress(zmq.Again):  # looking for messages, ZeroMQ finds out that somebody left
                outbox._bound.recv(zmq.NOBLOCK)
            outbox.flush()
        assert lost == [route]
        assert not outbox._queues
        assert not outbox._begun
        assert outbox.flush() == 0


def test_a_link_waits_for_room_and_gives_up_when_nobody_takes_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cdq.comm.zmq.sockets._QUEUE", 4)
    monkeypatch.setattr("cdq.comm.zmq.link._PATIENCE", 0.3)
    payload = random.Random(2).randbytes(40 * MB)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cdq-") as short, zmq.Context() as context:
        address = parse(f"zmq+ipc://{short}/hub")
        with context.socket(zmq.ROUTER) as bound:
            bound.rcvhwm = 2
            sockets.bind(bound, address)
            link = Link(address, 5.0)
            assert not link.offer(Message(Frame(Kind.CONTRIB), Body(payload)))
            incoming = Incoming(Kept())
            while bound.poll(500):
                assert incoming.take(*bound.recv_multipart()[1:], None) is None  # the last one never comes
            reader = threading.Thread(target=read_all, args=(bound, incoming, found := []))
            reader.start()
            assert link.offer(Message(Frame(Kind.CONTRIB), Body(payload)))
            reader.join(10.0)
            link.close()
    assert [decode(whole).payload for whole in found] == [payload]


def read_all(bound: Any, incoming: Incoming, found: list[Assembled]) -> None:
    """Read until a message is whole."""
    while not found and bound.poll(5000):
        whole = incoming.take(*bound.recv_multipart()[1:], None)
        found += [whole] if whole is not None else []
