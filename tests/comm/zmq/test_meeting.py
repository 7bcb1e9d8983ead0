"""Ranks whose launcher starts no relay: they find rank 0, or say why not, in time."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

import cdq
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.keys import allow, keygen
from cdq.comm.zmq.ranks.relay import RelayMachine
from tests.comm.zmq import meetings
from tests.comm.zmq.meetings import CONNECT, KINDS, LEARN, Kind, end, free_port, start, torchrun


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    return {"CDQ_KEYS": str(keygen(tmp_path / "keys", job=True).parent)}


def connect(timeout: float = 20.0) -> str:
    return CONNECT.format(timeout=timeout)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_processes_of_every_kind_of_launcher_meet(kind: Kind, encrypted: bool, keys: dict[str, str]) -> None:
    port, more = free_port(), keys if encrypted else {}
    if kind is meetings.aws_batch and not encrypted:  # its main node is reached by the network
        ((status, _, said),) = end([start(connect(), kind(0, 3, port))])
        assert status == 1
        assert "those of other machines reach rank 0 by the network: that needs keys of the job" in said
        return
    results = end([start(connect(), kind(rank, 3, port) | more) for rank in (2, 0, 1)])
    assert results == [(0, f"{rank} [0, 1, 2]\n", "") for rank in (2, 0, 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_they_learn_what_threads_do(kind: Kind, keys: dict[str, str]) -> None:
    port = free_port()
    results = end([start(LEARN, kind(rank, 3, port) | keys) for rank in range(3)])
    table = cdq.QLearner("Taxi-v4", workers=3, seed=0).learn(50_000).table.digest()
    assert [out for _, out, _ in results] == [f"{rank} 3 {table}\n" for rank in range(3)]


def test_rank_0_may_come_last() -> None:
    port = free_port()
    others = [start(connect(), torchrun(rank, 3, port)) for rank in (1, 2)]
    time.sleep(1.0)
    results = end([*others, start(connect(), torchrun(0, 3, port))])
    assert [status for status, _, _ in results] == [0, 0, 0]


@pytest.mark.parametrize("killed", [0, 1])
def test_a_rank_that_is_started_again_before_all_have_come_takes_its_place(killed: int) -> None:
    port = free_port()
    waiting = [start(connect(40.0), torchrun(rank, 3, port)) for rank in (0, 1)]
    wait_for_relay(port)
    time.sleep(1.0)
    end([waiting.pop(killed)], kill=True)
    again = [start(connect(40.0), torchrun(rank, 3, port)) for rank in (killed, 2)]
    results = end([*waiting, *again])
    assert [status for status, _, _ in results] == [0, 0, 0], results


AGAIN = """
import sys, time
from cdq.comm.registry import connect
for number in range(3):
    with connect("auto", timeout=20)[0] as comm:
        comm.barrier()
    time.sleep(0.3 * ((comm.rank + number) % 3))  # another one is the last each time
with connect("auto", timeout=20)[0] as comm:
    sys.stdout.write(f"{len(comm.allgather(b''))}\\n")
"""


def test_ranks_may_meet_again() -> None:
    port = free_port()
    results = end([start(AGAIN, torchrun(rank, 3, port)) for rank in range(3)])
    assert results == [(0, "3\n", "")] * 3


TWICE = """
from cdq.comm.registry import connect
first = connect("auto", timeout=20)[0]
try:
    connect("auto", timeout=2)
finally:
    first.barrier()
"""


def test_a_process_takes_part_once() -> None:
    port = free_port()
    results = end([start(TWICE, torchrun(rank, 2, port)) for rank in range(2)])
    assert [status for status, _, _ in results] == [1, 1]
    assert "this process takes part already; use that communicator, or close it first" in results[0][2]
    assert "rank 1 has come already" in results[1][2]


def test_the_relay_ends_with_its_process_though_nobody_closed() -> None:
    script = "import cdq.comm.registry as it; comm = it.connect('auto', timeout=20)[0]; comm.barrier()"
    port = free_port()
    began = time.monotonic()
    results = end([start(script, torchrun(rank, 3, port)) for rank in range(3)])
    assert results == [(0, "", "")] * 3
    assert time.monotonic() - began < 15.0
    with closing(socket.create_server(("127.0.0.1", port))):
        pass


# ---- nobody comes, or too many


def test_without_rank_0_the_others_say_so_in_time() -> None:
    ((status, _, said),) = end([start(connect(1.0), torchrun(1, 2, free_port()))])
    assert status == 1
    assert re.search(
        r"CommTimeout: zmq\+tcp://127.0.0.1:\d+: no hub answers within .* s; is it running\?; "
        r"this process is rank 1 of 2, by torchrun or its like \(RANK, WORLD_SIZE\), "
        r"and rank 0 hosts the relay: did all start\?",
        said,
    )


def test_rank_0_names_those_that_did_not_come() -> None:
    port = free_port()
    results = end([start(connect(3.0), torchrun(rank, 4, port)) for rank in (0, 2)])
    assert [status for status, _, _ in results] == [1, 1]
    assert re.search(
        r"CommTimeout: torchrun .*: ranks 1, 3 of 4 did not come to port \d+ of rank 0 within 3 s$",
        results[0][2],
    )
    assert re.search("CommTimeout: .*this process is rank 2 of 4", results[1][2])


def test_two_processes_of_rank_0() -> None:
    port = free_port()
    first = start(connect(6.0), torchrun(0, 2, port))
    wait_for_relay(port)
    ((status, _, said),) = end([start(connect(20.0), torchrun(0, 2, port))])
    assert status == 1
    assert "Address already in use" in said
    assert "have two processes rank 0? CDQ_PORT=PORT" in said
    assert end([first, start(connect(6.0), torchrun(1, 2, port))])[0][0] == 0, "the first goes on"


def wait_for_relay(port: int) -> None:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("rank 0 hosts no relay")


def test_a_rank_that_comes_twice_is_refused_and_the_others_go_on() -> None:
    port = free_port()
    processes = [start(connect(), torchrun(rank, 3, port)) for rank in (0, 1)]
    wait_for_relay(port)
    time.sleep(1.0)
    ((status, _, said),) = end([start(connect(), torchrun(1, 3, port))])
    assert status == 1
    assert "ConfigError" in said
    assert "rank 1 has come already; are two processes started with this rank?" in said
    results = end([*processes, start(connect(), torchrun(2, 3, port))])
    assert [status for status, _, _ in results] == [0, 0, 0]


def test_sizes_that_differ_are_refused_before_all_have_come() -> None:
    port = free_port()
    results = end([start(connect(4.0), torchrun(0, 3, port)), start(connect(4.0), torchrun(1, 2, port))])
    assert [status for status, _, _ in results] == [1, 1]
    assert (
        "workers is 2, but the hub has 3 ranks, one worker each (this process is rank 1 of 2" in results[1][2]
    )
    assert results[0][2].endswith(
        "ranks 1, 2 of 3 did not come to port "
        f"{port} of rank 0 within 4 s; refused: workers is 2, but the hub has 3 ranks, one worker each"
    )


# ---- strangers


def test_a_stranger_on_the_port_of_rank_0() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        port = int(door.getsockname()[1])
        results = end([start(connect(1.5), torchrun(rank, 2, port)) for rank in (0, 1)])
    assert [status for status, _, _ in results] == [1, 1]
    assert "ConfigError" in results[0][2]
    assert "Address already in use" in results[0][2]
    assert "no hub answers within" in results[1][2]


def test_a_hub_of_something_else_on_the_port() -> None:
    """A relay of two has come to its ranks: `cdq launch` on a port."""
    stop = threading.Event()
    with Hub("tcp://127.0.0.1:0", RelayMachine(5, 1)) as hub:
        thread = threading.Thread(target=hub.run, args=(stop.is_set,))
        thread.start()
        port = int(hub.url.rpartition(":")[2])
        ((status, _, said),) = end([start(connect(5.0), torchrun(1, 2, port))])
        stop.set()
        thread.join()
    assert status == 1
    assert "ConfigError: zmq+tcp://127.0.0.1" in said
    assert "workers is 2, but the hub has 5 ranks" in said


def test_strangers_at_the_relay_are_not_heard() -> None:
    port = free_port()
    first = start(connect(), torchrun(0, 2, port))
    wait_for_relay(port)
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 40):
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(said)
    results = end([first, start(connect(), torchrun(1, 2, port))])
    assert [status for status, _, _ in results] == [0, 0]


# ---- keys


def test_off_loopback_there_must_be_keys() -> None:
    variables = torchrun(0, 2, free_port()) | {"MASTER_ADDR": "node-0.example.org"}
    for rank in ("0", "1"):
        ((status, _, said),) = end([start(connect(), variables | {"RANK": rank})])
        assert status == 1
        assert (
            "processes, and those of other machines reach rank 0 at node-0.example.org: that needs keys of the job. "
            "Make them once (cdq keygen --job DIR), bring DIR to all machines, and set CDQ_KEYS=DIR" in said
        )


@pytest.mark.parametrize("host", ["a b", "tcp://node-0", "node-0:5555", "", "*", "[::1", "x" * 5000 + "!"])
def test_a_host_that_is_none(host: str) -> None:
    ((status, _, said),) = end([start(connect(), torchrun(1, 2, free_port()) | {"MASTER_ADDR": host})])
    assert status == 1
    assert "ConfigError" in said
    assert "no name or address of a machine" in said or "MASTER_ADDR is not set" in said
    assert len(said) < 600


def test_keys_that_are_not_those_of_a_job(tmp_path: Path) -> None:
    keygen(tmp_path / "hub")
    keygen(tmp_path / "worker")
    allow(tmp_path / "hub", tmp_path / "worker" / "own.public", "worker")
    (tmp_path / "worker" / "hub.public").write_bytes((tmp_path / "hub" / "own.public").read_bytes())
    port = free_port()
    for name, says in (
        ("hub", "hub.public cannot be read"),
        ("worker", "worker holds no keys of a whole job"),
        ("nowhere", "own.secret cannot be read: No such file or directory; cdq keygen makes keys"),
    ):
        for rank in (0, 1):
            variables = torchrun(rank, 2, port) | {"CDQ_KEYS": str(tmp_path / name)}
            ((status, _, said),) = end([start(connect(), variables)])
            assert (status, "ConfigError" in said, says in said) == (1, True, True), said


def test_keys_of_another_job_do_not_open_the_relay(tmp_path: Path, keys: dict[str, str]) -> None:
    port, others = free_port(), {"CDQ_KEYS": str(keygen(tmp_path / "others", job=True).parent)}
    first = start(connect(), torchrun(0, 2, port) | keys)
    wait_for_relay(port)
    ((status, _, said),) = end([start(connect(2.0), torchrun(1, 2, port) | others)])
    assert status == 1
    assert "is hub.public its key, and is this process's key allowed there?" in said
    assert end([first, start(connect(), torchrun(1, 2, port) | keys)])[0][0] == 0


# ---- ranks that die


LONG = """
import sys, cdq
agent = cdq.QLearner("Taxi-v4", seed=0, sync_every=1000)
agent.learn(2000)
sys.stdout.write("learns\\n")
sys.stdout.flush()
agent.learn(10**10)
"""


@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_rank_is_killed_the_others_end_with_an_error(killed: int) -> None:
    port = free_port()
    processes = [start(LONG, torchrun(rank, 3, port)) for rank in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "learns\n"
    began = time.monotonic()
    os.kill(processes[killed].pid, signal.SIGKILL)
    results = end(processes)
    assert time.monotonic() - began < 20.0
    assert results.pop(killed)[0] == -signal.SIGKILL
    assert [status for status, _, _ in results] == [1, 1]
    says = (
        "rank 1: its process cannot be reached: it ended or was cut off"
        if killed
        else "rank 0, which hosts the relay, cannot be reached any more"
    )
    assert [says in said for _, _, said in results] == [True, True], results


RESUMED = """
import sys, cdq
if sys.argv[1] == "first":
    agent = cdq.QLearner("Taxi-v4", seed=0, sync_every=500, checkpoint="run", checkpoint_every=100_000)
    agent.learn(2_000_000)
else:
    agent = cdq.QLearner.resume("run")
    agent.learn()
sys.stdout.write(f"{agent.rank} {agent.steps} {agent.table.digest()}\\n")
"""


def test_a_run_that_is_killed_and_resumed_is_the_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    port = free_port()
    processes = [start(RESUMED, torchrun(rank, 2, port), "first") for rank in range(2)]
    while not list(tmp_path.glob("run/checkpoint-*.safetensors")):
        assert processes[0].poll() is None
        time.sleep(0.01)
    for process in processes:
        process.kill()
    end(processes)
    results = end([start(RESUMED, torchrun(rank, 2, port), "again") for rank in range(2)])
    agent = cdq.QLearner("Taxi-v4", workers=2, seed=0, sync_every=500).learn(2_000_000)
    assert [(s, out) for s, out, _ in results] == [
        (0, f"{rank} 2000000 {agent.table.digest()}\n") for rank in range(2)
    ]
