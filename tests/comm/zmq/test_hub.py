"""Hub and workers over real sockets, in threads."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cdq.comm.zmq.address import parse
from cdq.comm.zmq.events import Done, HubAction, HubEvent, Received, Send, Stop, Unreachable
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.keys import Keys, allow, keygen
from cdq.comm.zmq.link import Link
from cdq.comm.zmq.wire import Frame, Kind, decode, encode
from cdq.errors import CommError, CommTimeout, ConfigError
from cdq.job.membership.connection import Connection, status
from cdq.job.membership.events import HubSettings, Joined
from cdq.job.membership.hub_machine import HubMachine
from tests.comm.zmq.hubs import Worker, running, work
from tests.comm.zmq.simulation import Adding, Disk, Table, delta


@pytest.mark.parametrize("place", ["zmq+ipc://{}/hub", "tcp://127.0.0.1:0"])
def test_rounds_over_a_socket(place: str, short_path: Path) -> None:
    disk = Disk()
    with running(place.format(short_path), disk, HubSettings(min_members=3, max_members=3)) as url:
        workers = work(url, 3, 20)
    assert all(len(worker.acknowledged) == 20 and worker.joined == 1 for worker in workers)
    assert [len(entries) for entries in disk.log[:20]] == [3] * 20
    assert list(short_path.iterdir()) == []


def test_status(short_path: Path) -> None:
    with running(f"ipc://{short_path}/hub", Disk(), HubSettings()) as url:
        told = status(url)
    assert told["members"] == []
    assert told["service"] == {"rounds": 0}


def test_a_hub_that_starts_again_goes_on(short_path: Path) -> None:
    disk, settings = Disk(), HubSettings(min_members=2, max_members=2)
    url = f"zmq+ipc://{short_path}/hub"
    threads = [Worker(url, 10**6) for _ in range(2)]
    for _ in range(3):
        wanted = len(disk.log) + 15
        with running(url, disk, settings):
            for thread in threads:
                if not thread.ident:
                    thread.start()
            while len(disk.log) < wanted:
                time.sleep(0.01)
    with running(url, disk, settings):
        for thread in threads:
            thread.rounds = 0
        for thread in threads:
            thread.join()
    logged = {entry[:2] for entries in disk.log for entry in entries}
    for thread in threads:
        assert thread.error is None
        assert thread.acknowledged <= logged
    assert len(logged) == sum(map(len, disk.log))


def test_a_worker_that_is_refused_hears_why(short_path: Path) -> None:
    with (
        running(f"zmq+ipc://{short_path}/hub", Disk(), HubSettings()) as url,
        Connection(url, b"something else") as connection,
        pytest.raises(CommError, match="adds not"),
    ):
        connection.wait(10.0)


class Pinging:
    """A machine that pings a peer without end, and later sends it something."""

    def __init__(self) -> None:
        self.route = b""
        self.sent = self.lost = 0

    def step(self, event: HubEvent) -> list[HubAction]:
        if isinstance(event, Received):
            self.route = event.route
        elif isinstance(event, Unreachable):
            self.lost += 1
        elif isinstance(event, Stop):
            return [Done()]
        elif self.route and self.sent < 4000:
            self.sent += 1000
            return [Send(self.route, encode(Frame(Kind.PING)))] * 1000 + [
                Send(self.route, encode(Frame(Kind.RESULT, sequence=self.sent)))
            ]
        return []


def test_a_peer_that_does_not_read_for_long_is_not_lost(short_path: Path) -> None:
    machine, ended = Pinging(), threading.Event()
    with Hub(f"zmq+ipc://{short_path}/hub", machine) as hub:
        thread = threading.Thread(target=hub.run, args=(ended.is_set,), name="hub")
        thread.start()
        link = Link(parse(hub.url), 5.0)
        link.send(encode(Frame(Kind.HELLO)))
        while machine.sent < 4000:
            time.sleep(0.01)
        results = []
        until = time.monotonic() + 5.0
        while len(results) < 4 and time.monotonic() < until:
            data = link.receive(until)
            if data is not None and decode(data).kind == Kind.RESULT:
                results.append(decode(data).sequence)
        link.close()
        ended.set()
        thread.join()
    assert results == [1000, 2000, 3000, 4000]
    assert machine.lost == 0


class Generous:
    """A machine that answers everything with a large message."""

    def step(self, event: HubEvent) -> list[HubAction]:
        if isinstance(event, Received):
            return [Send(event.route, encode(Frame(Kind.RESULT, payload=bytes(3 * SECOND))))]
        return [Done()] if isinstance(event, Stop) else []


SECOND = 1 << 20  # bytes that `slowed` lets through in one


@contextmanager
def slowed(url: str) -> Iterator[str]:
    """Give an address behind which a hub is, but what it says takes long."""
    host, _, port = url.rpartition("//")[2].partition(":")
    with socket.create_server(("127.0.0.1", 0)) as door:

        def pump(source: socket.socket, sink: socket.socket, pause: float) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(SECOND // 20):
                    sink.sendall(data)
                    time.sleep(pause)
                sink.shutdown(socket.SHUT_RDWR)

        def serve() -> None:
            near = door.accept()[0]
            with near, socket.create_connection((host, int(port))) as far:
                back = threading.Thread(target=pump, args=(far, near, 0.05))
                back.start()
                pump(near, far, 0.0)
                back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{door.getsockname()[1]}"
        thread.join()


def test_a_message_that_takes_long_arrives() -> None:
    """Heartbeats wait behind it, and that is no silence."""
    ended = threading.Event()
    with Hub("tcp://127.0.0.1:0", Generous(), limit=1000) as hub:
        thread = threading.Thread(target=hub.run, args=(ended.is_set,))
        thread.start()
        with slowed(hub.url) as url:
            link = Link(parse(url), 5.0)
            link.send(encode(Frame(Kind.HELLO)))
            until, data = time.monotonic() + 15.0, None
            while data is None and time.monotonic() < until:
                data = link.receive(until)
            link.close()
        ended.set()
        thread.join()
    assert data is not None, "the connection was cut, again and again"
    assert len(decode(data).payload) == 3 * SECOND


class Slow:
    """A machine that takes long over each message, and notes what comes."""

    def __init__(self) -> None:
        self.came: list[type[HubEvent]] = []

    def step(self, event: HubEvent) -> list[HubAction]:
        self.came.append(type(event))
        if isinstance(event, Received):
            time.sleep(0.005)
        return [Done()] if isinstance(event, Stop) or self.came.count(Received) == MESSAGES else []


MESSAGES = 200


def test_the_clock_goes_on_while_messages_wait(short_path: Path) -> None:
    """However many there are: members are looked after, and a request to stop is heard."""
    machine = Slow()
    with Hub(f"zmq+ipc://{short_path}/hub", machine) as hub:
        thread = threading.Thread(target=hub.run, name="hub")
        thread.start()
        link = Link(parse(hub.url), 5.0)
        for _ in range(MESSAGES):
            link.send(encode(Frame(Kind.PING)))
        thread.join()
        link.close()
    between = "".join("m" if kind is Received else "t" for kind in machine.came).split("t")
    assert max(map(len, between)) <= 20, between


# ---- addresses


def test_no_hub_there(short_path: Path) -> None:
    with pytest.raises(CommTimeout, match=r"no hub answers within 0.2 s; is it running\?"):
        Connection(f"zmq+ipc://{short_path}/hub", b"", timeout=0.2)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("zmq+udp://1:2", "no address of a hub; allowed are"),
        ("zmq+ipc://relative", "absolute path"),
        ("zmq+ipc:///" + "x" * 200, "at most 100 bytes"),
        ("zmq+tcp://127.0.0.1", "give a host and a port"),
        ("zmq+tcp://0.0.0.0:0", "anybody who can reach it .* keygen"),
    ],
)
def test_addresses_that_are_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why), running(url, Disk(), HubSettings()):
        pass


def test_insecure_is_warned_of() -> None:
    machine = HubMachine(Adding(Disk(), lambda: False), HubSettings(), 7)
    with pytest.warns(RuntimeWarning, match="insecure"), Hub("tcp://0.0.0.0:0", machine, insecure=True):
        pass


def test_a_directory_that_others_may_enter(short_path: Path) -> None:
    short_path.chmod(0o755)
    with (
        pytest.raises(ConfigError, match=r"others may enter .*755.*chmod 700"),
        running(f"zmq+ipc://{short_path}/hub", Disk(), HubSettings()),
    ):
        pass


@pytest.mark.parametrize("place", ["zmq+ipc://{}/hub", "tcp://127.0.0.1:0"])
def test_an_address_that_is_taken(place: str, short_path: Path) -> None:
    with (
        running(place.format(short_path), Disk(), HubSettings()) as url,
        pytest.raises(ConfigError, match="another hub"),
        running(url, Disk(), HubSettings()),
    ):
        pass


def test_a_file_that_a_dead_hub_left_is_no_hindrance(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(short_path / "hub"))
    with running(f"zmq+ipc://{short_path}/hub", Disk(), HubSettings()) as url:
        assert status(url)["members"] == []


# ---- keys


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Keys]:
    """Return the keys of a hub, of a worker that it allows, and of one that it does not."""
    for name in ("hub", "worker", "stranger"):
        keygen(tmp_path / name)
        (tmp_path / name / "hub.public").write_bytes((tmp_path / "hub" / "own.public").read_bytes())
    allow(tmp_path / "hub", tmp_path / "worker" / "own.public", "worker")
    return {name: Keys(tmp_path / name) for name in ("hub", "worker", "stranger")}


def test_g10_only_listed_keys_come_in(keys: dict[str, Keys]) -> None:
    disk = Disk()
    with running("zmq+curve://127.0.0.1:0", disk, HubSettings(), keys["hub"]) as url:
        worker = Worker(url, 5, keys["worker"])
        worker.run()
        assert worker.error is None
        with pytest.raises(CommTimeout, match="is this process's key allowed there"):
            Connection(url, b"adds", timeout=0.5, keys=keys["stranger"])
        with pytest.raises(CommTimeout):
            Connection(url.replace("curve", "tcp"), b"adds", timeout=0.5)
        again = Worker(url, 5, keys["worker"])
        again.run()
        assert again.error is None
    logged = [entry[:2] for entries in disk.log for entry in entries]
    assert logged == [(0, number) for number in range(1, len(logged) + 1)]  # the number is kept for the key
    assert worker.acknowledged | again.acknowledged <= set(logged)


def test_a_key_that_has_just_been_allowed_comes_in(
    keys: dict[str, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was refused before; who is refused does not try again, so it cannot wait for the next look."""
    monkeypatch.setattr("cdq.comm.zmq.gate._REREAD", 1e9)
    with running("zmq+curve://127.0.0.1:0", Disk(), HubSettings(), keys["hub"]) as url:
        with pytest.raises(CommTimeout, match="is this process's key allowed there"):
            Connection(url, b"adds", timeout=0.5, keys=keys["stranger"])
        allow(keys["hub"].directory, keys["stranger"].directory / "own.public", "stranger")
        worker = Worker(url, 5, keys["stranger"])
        worker.run()
    assert worker.error is None


def test_g10_a_dead_gate_lets_nobody_in(keys: dict[str, Keys]) -> None:
    ended = threading.Event()
    machine = HubMachine(Adding(Disk(), lambda: False), HubSettings(), 7)
    with Hub("zmq+curve://127.0.0.1:0", machine, keys=keys["hub"]) as hub:
        assert hub._gate is not None
        hub._gate.close()
        hub._gate = None
        thread = threading.Thread(target=hub.run, args=(ended.is_set,))
        thread.start()
        try:
            for name in ("stranger", "worker"):
                with pytest.raises(CommTimeout):
                    Connection(hub.url, b"adds", timeout=0.5, keys=keys[name])
        finally:
            ended.set()
            thread.join()
    assert machine.counts["frames"] == 0


def test_a_revoked_key_ends_its_session(keys: dict[str, Keys]) -> None:
    with (
        running("zmq+curve://127.0.0.1:0", Disk(), HubSettings(), keys["hub"]) as url,
        Connection(url, b"adds", timeout=1.0, keys=keys["worker"]) as connection,
    ):
        joined = connection.wait(5.0)
        assert isinstance(joined, Joined)
        (keys["hub"].directory / "allowed" / "worker.public").unlink()
        time.sleep(1.3)
        table: Table = np.frombuffer(bytes(joined.payload), np.int64)
        connection.submit(delta(0, 1, table).tobytes(), joined.version)
        with pytest.raises(CommTimeout):
            connection.wait(3.0)


def test_keys_are_kept_safe(tmp_path: Path) -> None:
    keygen(tmp_path / "own")
    secret = tmp_path / "own" / "own.secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.read_text().strip() not in repr(Keys(tmp_path / "own"))
    with pytest.raises(ConfigError, match="is there already"):
        keygen(tmp_path / "own")
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Keys(tmp_path / "own")
    with pytest.raises(ConfigError, match="cdq keygen makes keys"):
        Keys(tmp_path / "nowhere")
