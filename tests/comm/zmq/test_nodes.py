"""ZeroMQ ranks on several nodes, encrypted: the bits of threads, also over a cable that is pulled and put back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import cdq
from cdq.comm.zmq.keys import keygen
from tests import nodes
from tests.comm.zmq.meetings import environment, torchrun
from tests.start import __file__ as START

PORT = 5601
TAXI, LARGE = "Taxi-v4", "large"


def learner(env: str, comm: str, workers: int | None = None) -> cdq.QLearner:
    """Return a learner of a small table, or of one whose rounds travel in pieces."""
    if env == LARGE:
        from cdq.cli.benchmarks import random_jumps

        model = random_jumps(50_000, 8, seed=0)
        return cdq.QLearner(model, comm=comm, workers=workers, seed=0, sync_every=400_000, num_envs=64)
    return cdq.QLearner(env, comm=comm, workers=workers, seed=0, sync_every=500)


def steps(env: str) -> tuple[int, int]:
    """Return the steps of a first call of learn, and of a second, which goes on while a cable is pulled."""
    return (800_000, 24_000_000) if env == LARGE else (10_000, 2_000_000)


def main(env: str, timeout: str) -> None:
    """Be a rank: ``tests/start.py tests.comm.zmq.test_nodes ENVIRONMENT TIMEOUT``; tell when the first call is over."""
    agent = learner(env, f"zmq+env://?timeout={timeout}")
    first, second = steps(env)
    agent.learn(first, verbose=0)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    agent.learn(second, verbose=0)
    sys.stdout.write(f"{agent.steps} {agent.table.digest()}\n")


def what_threads_say(env: str, workers: int) -> str:
    agent = learner(env, "inprocess", workers)
    for n in steps(env):
        agent.learn(n)
    return f"{agent.steps} {agent.table.digest()}\n"


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    return {"CDQ_KEYS": str(keygen(tmp_path / "keys", job=True).parent)}


Start = Callable[..., list[subprocess.Popen[str]]]


@pytest.fixture
def start(keys: dict[str, str]) -> Iterator[Start]:
    """Give what starts a rank on each of some nodes, which may be the same ones; rank 0 is on the first."""
    started: list[subprocess.Popen[str]] = []

    def start(
        placement: Sequence[nodes.Node], env: str, timeout: float = 60.0
    ) -> list[subprocess.Popen[str]]:
        for rank, node in enumerate(placement):
            variables = torchrun(rank, len(placement), PORT) | {"MASTER_ADDR": placement[0].address} | keys
            command = [sys.executable, "-W", "error", START, "tests.comm.zmq.test_nodes", env, str(timeout)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            started.append(node.start(command, env=environment(variables), **pipes))
        return started

    yield start
    for rank in started:  # those that are left ended with their nodes
        rank.communicate(timeout=10)


def until_begun(ranks: Sequence[subprocess.Popen[str]]) -> None:
    for rank in ranks:
        assert rank.stdout is not None
        assert rank.stdout.readline() == "begun\n", rank.communicate()[1]


def ends(ranks: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return status, output and the last line of the errors of each rank, when all have ended."""
    said = [rank.communicate(timeout=60) for rank in ranks]
    return [
        (rank.returncode, out, (["", *err.splitlines()])[-1])
        for rank, (out, err) in zip(ranks, said, strict=True)
    ]


@pytest.mark.parametrize(
    ("env", "placement"),
    [(TAXI, [0, 1]), (TAXI, [0, 0, 1]), (TAXI, [0, 1, 2]), (LARGE, [0, 1]), (LARGE, [1, 0, 0])],
    ids=str,
)
def test_ranks_on_nodes_learn_what_threads_do(env: str, placement: list[int], start: Start) -> None:
    with nodes.joined(max(placement) + 1) as network:
        ranks = start([network.nodes[number] for number in placement], env)
        until_begun(ranks)
        ended = ends(ranks)
    assert ended == [(0, what_threads_say(env, len(ranks)), "")] * len(ranks)


@pytest.mark.parametrize("env", [TAXI, LARGE])
@pytest.mark.parametrize("who", [0, 1], ids=["of the relay", "without the relay"])
def test_a_node_that_is_cut_off_and_healed_in_time_changes_no_bit(env: str, who: int, start: Start) -> None:
    with nodes.joined(2) as network:
        ranks = start([network.nodes[number] for number in (0, 0, 1)], env)
        until_begun(ranks)
        network.nodes[who].cut()
        time.sleep(1.0)
        assert [rank.poll() for rank in ranks] == [None] * 3
        network.nodes[who].heal()
        ended = ends(ranks)
    assert ended == [(0, what_threads_say(env, 3), "")] * 3


def test_a_node_that_stays_cut_off_ends_the_run_everywhere_with_a_clear_error(start: Start) -> None:
    with nodes.joined(2) as network:
        ranks = start([network.nodes[number] for number in (0, 0, 1)], TAXI, timeout=3.0)
        until_begun(ranks)
        network.nodes[1].cut()
        ended = ends(ranks)
    for status, out, error in ended:
        assert (status, out) == (1, "")
        assert "within 3 s" in error or "rank 2" in error, error
    assert "rank 2 did not come within 3 s" in ended[0][2]


def test_a_node_that_crashes_ends_the_run_everywhere_with_a_clear_error(start: Start) -> None:
    with nodes.joined(2) as network:
        ranks = start([network.nodes[number] for number in (0, 0, 1)], TAXI, timeout=3.0)
        until_begun(ranks)
        network.nodes[1].crash()
        ended = ends(ranks)
    for status, _, error in ended[:2]:
        assert status == 1
        assert "rank 2" in error, error


if __name__ == "__main__":
    main(*sys.argv[1:])
