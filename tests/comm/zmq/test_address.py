"""Addresses: what is one, for whom; and IPv6."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from cdq.comm.registry import VARIABLE
from cdq.comm.zmq.address import is_loopback, needs_ipv6, parse, temporary_address
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.keys import Keys, allow, keygen
from cdq.comm.zmq.ranks.communicator import RANK_VARIABLE, SIZE_VARIABLE
from cdq.comm.zmq.ranks.relay import RelayMachine
from cdq.errors import ConfigError
from cdq.job.membership.connection import status
from cdq.job.membership.events import HubSettings
from tests.comm.zmq.hubs import Worker, running
from tests.comm.zmq.simulation import Disk

TO_BIND = ["tcp://*:5619", "curve://*:5619", "tcp://127.0.0.1:0", "tcp://[::1]:0"]
NONE = [
    "tcp://::1:5692",
    "tcp://[::1:5692",
    "tcp://[::zz]:5692",
    "tcp://[]:5692",
    "tcp://127.0.0.1:5;127.0.0.2:6",
    "tcp://a b:5692",
    "tcp://me@host:5692",
    "tcp://-:5692",
    "tcp://host:65536",
    "tcp://host:-1",
    "tcp://host:\N{FULLWIDTH DIGIT FIVE}",
    "tcp://host:" + "9" * 5000,
    "tcp://\udcff:5692",
    "tcp://host/x:5692",
    "tcp://:5692",
    "ipc:///a\0b",
]


@pytest.mark.parametrize("url", TO_BIND)
def test_what_only_a_hub_can_be_at(url: str) -> None:
    assert parse(url, bound=True).endpoint
    with pytest.raises(ConfigError, match="is for hubs"):
        parse(url)


@pytest.mark.parametrize("url", NONE)
def test_what_is_no_address(url: str) -> None:
    for bound in (False, True):
        with pytest.raises(ConfigError, match="give a"):
            parse(url, bound)


@pytest.mark.parametrize(
    "url",
    [
        "tcp://host.example.org:1",
        "tcp://node_7:5555",
        "curve://[fe80::1%eth0]:5555",
        "tcp://[::ffff:1.2.3.4]:80",
    ],
)
def test_what_is_one(url: str) -> None:
    assert str(parse(url)) == f"zmq+{url}"


def test_which_need_ipv6() -> None:
    assert needs_ipv6(parse("tcp://[::1]:5555"))
    assert is_loopback(parse("tcp://[::1]:5555"))
    assert not is_loopback(parse("tcp://[::]:5555", bound=True))
    for url in ("tcp://127.0.0.1:5555", "tcp://localhost:5555", "ipc:///run/hub"):
        assert not needs_ipv6(parse(url))


@pytest.mark.parametrize("command", ["join", "status"])
@pytest.mark.parametrize("url", [*TO_BIND, *NONE])
def test_commands_say_so_in_one_line(command: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, url]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("cdq: ")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("tcp://[2001:db8::1]:0", "an address of this machine"),
        ("tcp://192.0.2.1:0", "an address of this machine"),
    ],
)
def test_a_hub_that_is_to_be_elsewhere(url: str, why: str) -> None:
    with (
        pytest.warns(RuntimeWarning, match="insecure"),
        pytest.raises(ConfigError, match=why),
        Hub(url, RelayMachine(1, 1), insecure=True),
    ):
        pass


# ---- IPv6

needs_loopback = pytest.mark.skipif(
    not Path("/proc/net/if_inet6").exists() or not Path("/proc/net/if_inet6").read_text(),
    reason="this machine has no IPv6",
)


@needs_loopback
@pytest.mark.parametrize("scheme", ["tcp", "curve"])
def test_a_hub_and_a_worker_by_ipv6(scheme: str, tmp_path: Path) -> None:
    for name in ("hub", "worker"):
        keygen(tmp_path / name)
    (tmp_path / "worker" / "hub.public").write_bytes((tmp_path / "hub" / "own.public").read_bytes())
    allow(tmp_path / "hub", tmp_path / "worker" / "own.public", "worker")
    keys = Keys(tmp_path / "worker")
    with running(f"{scheme}://[::1]:0", Disk(), HubSettings(), Keys(tmp_path / "hub")) as url:
        assert url.startswith(f"zmq+{scheme}://[::1]:")
        worker = Worker(url, 5, keys)
        worker.run()
        assert worker.error is None
        told = status(url, keys=keys)
    assert told["counts"]["applied"] >= 5


RANK = "import cdq; print(cdq.QLearner('FrozenLake-v1', seed=0).learn(20_000).table.digest())"


@needs_loopback
def test_ranks_by_ipv6_whose_hub_the_environment_names() -> None:
    machine = RelayMachine(2, 7)
    with Hub("tcp://[::1]:0", machine) as hub:
        thread = threading.Thread(target=hub.run)
        thread.start()
        ranks = [
            subprocess.Popen(
                [sys.executable, "-c", RANK],
                env={**os.environ, VARIABLE: hub.url, SIZE_VARIABLE: "2", RANK_VARIABLE: str(rank)},
                stdout=subprocess.PIPE,
                encoding="utf-8",
            )
            for rank in range(2)
        ]
        said = [rank.communicate(timeout=60)[0].strip() for rank in ranks]
        thread.join(30)
    wanted = cdq.QLearner("FrozenLake-v1", workers=2, seed=0).learn(20_000).table.digest()
    assert said == [wanted, wanted]


@pytest.mark.parametrize("length", [0, 40, 65, 66, 200])
def test_a_temporary_address_is_bound_wherever_temporary_directories_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cdq-") as short:  # of 17 characters
        folder = Path(short, "x" * length)
        folder.mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        with temporary_address() as url, Hub(url, RelayMachine(2, 1)):
            path = Path(parse(url).place)
            assert path.exists()
            assert path.is_relative_to(folder) == (length < 66)
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not path.parent.exists()
