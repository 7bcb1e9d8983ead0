"""Ranks on several nodes, which share no memory: the bits of threads, and nodes that are cut off."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests import nodes
from tests.mpi import functions, jobs, on_nodes

BY = 60.0  # seconds, for what takes three
WAITS = 1.5  # seconds that a node is off the network


@contextmanager
def job(network: nodes.Network, ranks: Sequence[int], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program of `tests.mpi.on_nodes`, so many ranks of it on each node; it ends with the context."""
    started = subprocess.Popen(
        [*network.mpiexec(ranks), sys.executable, jobs.START, "tests.mpi.on_nodes", *arguments],
        env=jobs.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    late = threading.Timer(2 * BY, jobs.kill, (started,))  # ends what a test waits for
    late.start()
    try:
        yield started
    finally:
        late.cancel()
        late.join()
        jobs.kill(started)
        started.communicate()


def lines_until(pipe: object, said: str) -> list[str]:
    """Return what was printed until a line that has a text in it."""
    lines: list[str] = []
    for line in pipe:  # type: ignore[attr-defined]
        lines.append(line)
        if said in line:
            return lines
    raise AssertionError(f"nothing said {said!r}: {''.join(lines)}")


def left(node: nodes.Node) -> list[str]:
    """Wait for the ranks of a node to end, as mpiexec does not; return the commands of those that still run."""
    until = time.monotonic() + 10.0
    while found := [command for command in node.commands() if "on_nodes" in command]:
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return found


def threads_digest() -> str:
    agent = on_nodes.long_learner(comm="inprocess", workers=2)
    for _ in range(on_nodes.TIMES):
        agent.learn(on_nodes.STEPS)
    return agent.table.digest()


@pytest.mark.parametrize("ranks", [(1, 1), (1, 1, 1), (2, 1)], ids=str)
def test_ranks_on_nodes_learn_the_table_of_threads(ranks: tuple[int, ...]) -> None:
    with nodes.joined(len(ranks)) as network, job(network, ranks, "learn_all") as ran:
        out, err = ran.communicate(timeout=2 * BY)
        assert ran.returncode == 0, err
    threads = [
        functions.learn(case, comm="inprocess", workers=sum(ranks)).everything for case in on_nodes.CASES
    ]
    expected = [digest for digest in threads for _ in on_nodes.WAYS]
    for node, n in zip(network.nodes, ranks, strict=True):
        found = [line.split()[1] for line in out.splitlines() if line.startswith(node.name)]
        assert sorted(found) == sorted(expected * n)


def test_a_node_that_is_cut_off_and_healed_in_a_round_changes_nothing() -> None:
    with nodes.joined(2) as network, job(network, (1, 1), "go_on", str(BY)) as ran:
        lines_until(ran.stdout, "learnt 1")
        network.nodes[1].cut()
        time.sleep(WAITS)
        assert ran.poll() is None
        network.nodes[1].heal()
        out, err = ran.communicate(timeout=BY)
        assert ran.returncode == 0, err
    assert f"learnt {on_nodes.TIMES - 1}" in out
    assert [line.split()[1] for line in out.splitlines() if "digest" in line] == [threads_digest()] * 2


def test_a_node_that_stays_cut_off_is_named_in_time() -> None:
    """The launcher itself ends when it reaches the node again."""
    with nodes.joined(2) as network, job(network, (1, 1), "go_on", str(WAITS)) as ran:
        lines_until(ran.stdout, "learnt 1")
        cut = time.monotonic()
        network.nodes[1].cut()
        said = lines_until(ran.stderr, "CommTimeout")[-1]
        assert f"rank 1 did not come within {WAITS:g} s" in said
        assert time.monotonic() - cut < WAITS + 10.0
        network.nodes[1].heal()
        ran.communicate(timeout=BY)
        assert ran.returncode != 0


@pytest.mark.parametrize("culprit", [0, 1])
def test_a_rank_that_is_killed_on_its_node_ends_the_job(culprit: int) -> None:
    with nodes.joined(2) as network, job(network, (1, 1), "go_on", str(BY)) as ran:
        node = network.nodes[culprit]
        said = lines_until(ran.stdout, "learnt 1")
        (pid,) = [line.split()[1] for line in said if line.startswith(node.name)]
        node.run(["kill", "-KILL", pid])
        out, err = ran.communicate(timeout=BY)
        assert ran.returncode != 0, err
        assert "digest" not in out
        for other in network.nodes:
            assert left(other) == []
