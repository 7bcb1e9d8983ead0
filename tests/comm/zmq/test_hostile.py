"""G10 to G12 over a socket: what a peer that means harm can do."""

from __future__ import annotations

import concurrent.futures
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zmq

import cdq
from cdq.comm.zmq.address import parse
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.link import Link
from cdq.comm.zmq.ranks.communicator import ZmqCommunicator
from cdq.comm.zmq.ranks.relay import RelayMachine
from cdq.comm.zmq.wire import Frame, Kind, Reason, decode, encode, unpack_reason
from cdq.job.membership.connection import Connection, status
from cdq.job.membership.events import HubSettings, Joined
from tests.comm.zmq.hubs import Worker, running
from tests.comm.zmq.simulation import Disk, Table, delta
from tests.comm.zmq.test_wire import golden, mutated
from tests.job import strangers

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

    with running("tcp://127.0.0.1:0", Disk(), HubSettings()) as url:
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


def heads(total: int) -> list[bytes]:
    """Return heads of pieces: of one that begins a message, and of others, that are wrong in some way."""
    fields = [
        (1, 64, total),
        (1, 64 + 1000, total),
        (1, 0, total),
        (2, 64, total),
        (1, total, total),
        (1, 64, 0),
    ]
    more = [(1, 64, 1 << 62), (0, 0, 64), (1, (1 << 64) - 1, 1 << 63)]
    whole = [struct.pack("<4sIQQ", b"CDQP", *numbers) for numbers in fields + more]
    return [*whole, whole[0][:-1], b"", b"CDQQ" + whole[0][4:]]


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_g12_pieces_of_strangers_do_no_harm(scheme: str) -> None:
    """By TCP only those that take part may send pieces; by IPC there are no others than this user's processes."""
    chance = random.Random(8)

    def attack() -> None:
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger, socket.sndtimeo = 0, 5000
            socket.connect(url.removeprefix("zmq+"))
            for _ in range(3000):
                head = chance.choice(heads(chance.choice([65, 1000, 1064, 1 << 20])))
                socket.send_multipart([head, bytes(chance.choice([0, 1, 64, 1000]))])
            for parts in ([b""] * 3, [b"", b""], [heads(1000)[0]] * 5):
                socket.send_multipart(parts)
            while refused(url) < 2000:
                time.sleep(0.05)

    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cdq-") as short:
        place = "tcp://127.0.0.1:0" if scheme == "tcp" else f"zmq+ipc://{short}/hub"
        with running(place, Disk(), HubSettings()) as url:
            worker, grown = attacked(url, attack)
    assert worker.error is None
    assert len(worker.acknowledged) == 200
    assert grown < LIMIT


def test_messages_that_were_never_finished_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cdq-") as short:
        hub = Hub(f"zmq+ipc://{short}/hub", RelayMachine(2, 7), limit=10_000)
        with hub, zmq.Context() as context:
            for _ in range(20):
                with context.socket(zmq.DEALER) as socket:
                    socket.connect(hub.url.removeprefix("zmq+"))
                    socket.send_multipart([heads(5000)[0], bytes(1000)])
            until = time.monotonic() + 10.0
            hub.run(lambda: len(hub._incoming) == 20 or time.monotonic() > until)
            assert len(hub._incoming) == 20
            monkeypatch.setattr("cdq.comm.zmq.hub._UNFINISHED", 0.1)
            hub._done = False
            hub.run(lambda: not hub._incoming or time.monotonic() > until)
            assert not hub._incoming


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

    with running("tcp://127.0.0.1:0", Disk(), HubSettings()) as url:
        worker, grown = attacked(url, attack)
    assert worker.error is None
    assert len(worker.acknowledged) == 200
    assert grown < LIMIT


def test_g10_connections_that_say_nothing_stall_nobody() -> None:
    with running("tcp://127.0.0.1:0", Disk(), HubSettings()) as url:
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
    with running("tcp://127.0.0.1:0", disk, HubSettings()) as url, Connection(url, b"adds") as connection:
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
    with running("tcp://127.0.0.1:0", Disk(), HubSettings()) as url:
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
    with running("tcp://127.0.0.1:0", Disk(), HubSettings()) as url:
        link = Link(parse(url), 5.0)
        link._socket.send_multipart([b"", encode(golden(Kind.PING))])
        worker = Worker(url, 5)
        worker.run()
        assert refused(url) == 1
        link.close()
    assert worker.error is None


def test_one_connection_is_one_worker() -> None:
    """However many it says that it is."""
    with running("tcp://127.0.0.1:0", Disk(), HubSettings()) as url:
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


def test_g12_a_relay_bears_strangers() -> None:
    """Ranks that are there go on; who sends without end before it takes part is cut."""
    machine = RelayMachine(2, 7)
    with Hub("tcp://127.0.0.1:0", machine) as hub:
        thread = threading.Thread(target=hub.run)
        thread.start()
        place = hub.url.rpartition("//")[2].partition(":")[::2]
        for said in (b"\x01\0\x02\0x", b"GET / HTTP/1.1\r\n\r\n", bytes(1000)):
            with socket.create_connection((place[0], int(place[1]))) as raw:
                raw.sendall(said)
        before = resident()
        raw = strangers.connect(hub.url)
        strangers.shake_hands(raw)
        raw.sendall(strangers.message(b"x"))
        with raw, pytest.raises(OSError, match=r"reset|[Bb]roken|timed out"):
            flood(raw)
        assert resident() - before < LIMIT
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda _: ZmqCommunicator.connect(hub.url, 2, 20.0)[0], range(2)))
            strangers.tokens(hub.url, 100)
            parts = np.arange(200_000, dtype=np.float64)
            sums = list(pool.map(lambda comm: comm.allgather(parts), found))
            list(pool.map(lambda comm: comm.close(), found))
        thread.join(20)
    assert [len(one) for one in sums] == [2, 2]
    assert machine.counts["refused SHORT"] >= 1
    assert machine.counts["refused CONTENT"] >= 1


LISTENER = """
import sys, time
from cdq.comm.zmq import sockets
from cdq.comm.zmq.address import parse
made = sockets.dealer(parse(sys.argv[1]), None)
made.poll(5000)
time.sleep(2.0)  # as who learns
print("alive", flush=True)
made.close(0)
"""


def test_who_learns_for_long_outlives_a_hub_that_is_killed() -> None:
    """What came meanwhile, and was not read, is no reason for ZeroMQ to abort the process."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"tcp://127.0.0.1:{door.getsockname()[1]}"
        command = [sys.executable, "-c", LISTENER, url]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(cdq.__file__).parents[1])
        raw, _ = door.accept()
        strangers.shake_hands(raw, b"ROUTER")
        raw.sendall(strangers.message(encode(Frame(Kind.PING))) * 500 + strangers.PING * 3)
        time.sleep(0.3)
        strangers.reset(raw)
    assert worker.communicate(timeout=30)[0] == b"alive\n"
    assert worker.returncode == 0
