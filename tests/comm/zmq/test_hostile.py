"""G10 to G12 over a socket: what a peer that means harm can do."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cdq.comm.zmq.address import parse
from cdq.comm.zmq.events import Joined, Settings
from cdq.comm.zmq.link import Link
from cdq.comm.zmq.wire import Frame, Kind, Reason, decode, encode, unpack_reason
from cdq.comm.zmq.worker import Connection, status
from tests.comm.zmq.hubs import Worker, running
from tests.comm.zmq.simulation import Disk, Table, delta
from tests.comm.zmq.test_wire import golden, mutated

LIMIT = 64 << 20  # bytes by which the hub's memory may grow


def resident() -> int:
    """Return this process's memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def attacked(url: str, attack: Callable[[], None]) -> tuple[Worker, int]:
    """Let a worker learn while something else happens; return it, and by how much memory grew at most."""
    before, most = resident(), 0
    attacker, worker = threading.Thread(target=attack), Worker(url, 200)
    attacker.start()
    worker.start()
    while attacker.is_alive() or worker.is_alive():
        most = max(most, resident() - before)
        time.sleep(0.01)
    return worker, most


def test_g12_mutated_frames_do_no_harm() -> None:
    shared = random.Random(3)
    frames = [encode(golden(kind)) for kind in Kind]

    def attack() -> None:
        for number in range(2000):
            link.send(mutated(frames[number % len(frames)], shared))

    with running("tcp://127.0.0.1:0", Disk(), Settings()) as url:
        link = Link(parse(url), 5.0)
        worker, grown = attacked(url, attack)
        until = time.monotonic() + 10.0
        while refused(url) < 1500 and time.monotonic() < until:  # others' messages wait for one's turn
            time.sleep(0.05)
        assert 1500 < refused(url) <= 2000
        link.close()
    assert worker.error is None
    assert len(worker.acknowledged) == 200
    assert grown < LIMIT


def refused(url: str) -> int:
    """Return how many frames a hub has refused."""
    counts = status(url)["counts"]
    return sum(count for name, count in counts.items() if name.startswith("refused"))


def flood(raw: socket.socket) -> None:
    """Send parts of a message, each with more to come."""
    for _ in range(100_000):
        raw.sendall((b"\x01\xc8" + bytes(200)) * 500)


def test_g12_a_message_without_end_is_cut() -> None:
    def attack() -> None:
        host, _, port = url.rpartition("//")[2].partition(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.settimeout(1.0)
            raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32))
            greeting = 0
            while greeting < 64:
                greeting += len(raw.recv(64))
            ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
            raw.sendall(bytes([4, len(ready)]) + ready)
            with pytest.raises((ConnectionResetError, BrokenPipeError, TimeoutError)):
                flood(raw)

    with running("tcp://127.0.0.1:0", Disk(), Settings()) as url:
        worker, grown = attacked(url, attack)
    assert worker.error is None
    assert len(worker.acknowledged) == 200
    assert grown < LIMIT


def test_g10_connections_that_say_nothing_stall_nobody() -> None:
    with running("tcp://127.0.0.1:0", Disk(), Settings()) as url:
        host, _, port = url.rpartition("//")[2].partition(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(100)]
        worker, _ = attacked(url, lambda: None)
        for raw in idle:
            raw.close()
    assert worker.error is None


def answer(link: Link, frame: Frame) -> tuple[int, int]:
    """Send a frame, and return the kind of the answer, and the reason if it is a refusal."""
    link.send(encode(frame))
    data = link.receive(time.monotonic() + 0.05)
    if data is None:
        return 0, 0
    found = decode(data)
    return found.kind, unpack_reason(found.payload)[0] if found.kind == Kind.NACK else 0


def test_g11_nobody_speaks_in_another_name() -> None:
    disk = Disk()
    with running("tcp://127.0.0.1:0", disk, Settings()) as url, Connection(url, b"adds") as connection:
        joined = connection.wait(5.0)
        assert isinstance(joined, Joined)
        table: Table = np.frombuffer(bytes(joined.payload), np.int64)
        payload = delta(0, 1, table).tobytes()
        forged = Frame(Kind.CONTRIB, 7, 2, 1, 0, 1, 1, 0, payload)
        link = Link(parse(url), 5.0)
        assert answer(link, forged) == (Kind.WHO, 0)  # another connection
        hello = Frame(Kind.HELLO, payload=bytes(16) + b"adds")
        link.send(encode(hello))
        assert answer(link, forged)[0] in {Kind.NACK, 0}  # a session of its own, or none yet
        connection.submit(payload, joined.version)
        connection.wait(5.0)
        for again in (
            forged,
            forged._replace(sequence=0),
            forged._replace(incarnation=9),
            hello._replace(run=8),
        ):
            kind, reason = answer(link, again)
            assert kind in {0, Kind.NACK, Kind.WELCOME}
            assert reason in {0, Reason.STALE, Reason.RUN, Reason.WAIT}
        link.close()
        counts = status(url)["counts"]
    assert [entry[:2] for entries in disk.log for entry in entries] == [(0, 1)]
    assert counts["refused SESSION"] >= 1
    assert counts["refused STALE"] + counts.get("refused FOREIGN", 0) >= 3
    assert counts["refused RUN"] == 1


@pytest.mark.parametrize(
    "said",
    [
        b"\x01\0\x02\0x",  # ZMTP 1.0: an empty name, and a message
        b"\x01\0\x02\x01x\x02\0y",  # in two parts
        b"\x03\0me\x02\0x",
        b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"\xff" + bytes(8) + b"\x01\x01\x05\0\0\0\x01x",  # ZMTP 2.0
        b"\x16\x03\x01\x02\0\x01",  # TLS
        bytes(1000),
        b"\xff" * 1000,
    ],
)
def test_g12_what_is_no_zmtp_of_today_does_no_harm(said: bytes) -> None:
    with running("tcp://127.0.0.1:0", Disk(), Settings()) as url:
        host, _, port = url.rpartition("//")[2].partition(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(said)
            time.sleep(0.2)
        worker = Worker(url, 5)
        worker.run()
        counts = status(url)["counts"]
    assert worker.error is None
    if said[:1] in {b"\x01", b"\x03"}:
        assert sum(count for name, count in counts.items() if name.startswith("refused")) >= 1


def test_g12_messages_in_parts_are_counted() -> None:
    with running("tcp://127.0.0.1:0", Disk(), Settings()) as url:
        link = Link(parse(url), 5.0)
        link._socket.send_multipart([b"", encode(golden(Kind.PING))])
        worker = Worker(url, 5)
        worker.run()
        assert refused(url) == 1
        link.close()
    assert worker.error is None


def test_one_connection_is_one_worker() -> None:
    """However many it says that it is."""
    with running("tcp://127.0.0.1:0", Disk(), Settings()) as url:
        link = Link(parse(url), 5.0)
        for number in range(500):
            link.send(encode(Frame(Kind.HELLO, payload=number.to_bytes(16, "big") + b"adds")))
        until = time.monotonic() + 5.0
        while refused(url) < 499 and time.monotonic() < until:
            time.sleep(0.05)
        told = status(url)
        link.close()
    assert told["counts"]["refused FOREIGN"] == 499
    assert (told["members"], told["waiting"]) == ([0], [])
