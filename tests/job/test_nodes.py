"""A hub's job over several nodes, encrypted: workers are cut off, lost, and come back; nothing counts twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.cli.benchmarks import random_jumps
from cdq.comm.zmq.keys import allow, keygen
from cdq.job.hub import Hosting
from tests import nodes
from tests.comm.zmq.meetings import environment
from tests.job.processes import START
from tests.job.test_chaos import assert_exact, rounds, until, until_member, until_rounds

PORT = 5602
LAKE, LARGE = "FrozenLake8x8-v1", "large"
STEPS = {LAKE: 200_000, LARGE: 4_000_000}


def learner(env: str, comm: str, workers: int, **given: Any) -> cdq.QLearner:
    """Return a learner of a small table, or of one whose contributions travel in pieces."""
    model = random_jumps(50_000, 8, seed=0) if env == LARGE else env
    window = 400_000 if env == LARGE else 2000
    return cdq.QLearner(model, comm=comm, workers=workers, seed=7, sync_every=window, num_envs=64, **given)


def hold(env: str, workers: str, steps: str, directory: str, url: str, grace: str, least: str) -> None:
    """Be a hub; print its table's digest at the end."""
    agent = learner(env, "zmq", int(workers), checkpoint=directory, checkpoint_every=1e6)
    agent.learn(float(steps), hosting=Hosting(url, grace=float(grace), least=int(least)))
    sys.stdout.write(f"{agent.steps} {agent.table.digest()}\n")


class Machines:
    """A hub on the first node, and workers on any."""

    def __init__(self, network: nodes.Network, folder: Path) -> None:
        self.nodes, self.folder, self.directory = network.nodes, folder, folder / "job"
        self.url = f"zmq+curve://{self.nodes[0].address}:{PORT}"
        self._hub_key = keygen(folder / "keys")
        self._started: list[subprocess.Popen[str]] = []

    def hub(
        self, env: str, workers: int, steps: float, grace: float = 5.0, least: int = 1
    ) -> subprocess.Popen[str]:
        arguments = [env, workers, steps, self.directory, self.url, grace, least]
        return self._start(0, "keys", "tests.job.test_nodes", *map(str, arguments))

    def worker(self, number: int) -> subprocess.Popen[str]:
        name = f"worker{len(self._started)}"
        allow(self.folder / "keys", keygen(self.folder / name), name)
        (self.folder / name / "hub.public").write_bytes(self._hub_key.read_bytes())
        return self._start(number, name, "cdq.job.join", self.url, "60")

    def _start(self, number: int, keys: str, *arguments: str) -> subprocess.Popen[str]:
        self._started.append(
            self.nodes[number].start(
                [sys.executable, START, *arguments],
                env=environment({"CDQ_KEYS": str(self.folder / keys)}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return self._started[-1]

    def end(self) -> None:
        for process in self._started:
            process.communicate(timeout=10)


@contextmanager
def machines(number: int, folder: Path) -> Iterator[Machines]:
    made: Machines | None = None
    try:
        with nodes.joined(number) as network:
            made = Machines(network, folder)
            yield made
    finally:
        if made is not None:
            made.end()  # now that the nodes have: a program there holds its pipes


def said(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("env", [LAKE, LARGE])
@pytest.mark.parametrize("places", [[1, 2], [1, 1, 2], [0, 1]], ids=str)
def test_workers_on_other_nodes_learn_what_threads_do(env: str, places: list[int], tmp_path: Path) -> None:
    n = len(places)
    with machines(max(places) + 1, tmp_path) as made:
        hub = made.hub(env, n, STEPS[env], least=n)
        workers = [made.worker(number) for number in places]
        ended = said(hub)
        for worker in workers:
            said(worker)
    threads = learner(env, "inprocess", n)
    threads.learn(STEPS[env])
    assert ended == f"{threads.steps} {threads.table.digest()}\n"
    assert_exact(tmp_path / "job")


@pytest.mark.parametrize("env", [LAKE, LARGE])
def test_a_node_that_is_cut_off_is_lost_and_comes_back(env: str, tmp_path: Path) -> None:
    with machines(3, tmp_path) as made:
        hub = made.hub(env, 2, 1e12, grace=0.5)
        for number in (1, 2):
            made.worker(number)
        until_rounds(made.directory, 3)
        until_member(made.directory, 2)
        for number in (2, 1):
            until_rounds(made.directory, 3)
            made.nodes[number].cut()
            until(made.directory, lambda: len(rounds(made.directory)[-1]["members"]) == 1, seconds=40.0)
            until_rounds(made.directory, 2)
            assert hub.poll() is None
            made.nodes[number].heal()
            until_member(made.directory, 2)
        nodes.send(hub, signal.SIGTERM)
        _, err = hub.communicate(timeout=30)
        assert hub.returncode == 0, err
    assert_exact(tmp_path / "job")


@pytest.mark.parametrize("env", [LAKE, LARGE])
def test_a_short_cut_in_the_middle_of_a_round_costs_nobody_a_window(env: str, tmp_path: Path) -> None:
    with machines(3, tmp_path) as made:
        hub = made.hub(env, 2, 1e12, grace=20.0, least=2)
        for number in (1, 2):
            made.worker(number)
        until_rounds(made.directory, 3)
        until_member(made.directory, 2)
        made.nodes[1].cut()
        time.sleep(1.0)
        before = len(rounds(made.directory))
        time.sleep(0.3)
        assert len(rounds(made.directory)) == before  # all wait
        made.nodes[1].heal()
        until_rounds(made.directory, 5)
        nodes.send(hub, signal.SIGTERM)
        _, err = hub.communicate(timeout=30)
        assert hub.returncode == 0, err
    all_rounds = assert_exact(tmp_path / "job")
    assert {len(entry["members"]) for entry in all_rounds} == {2}


if __name__ == "__main__":
    hold(*sys.argv[1:])
