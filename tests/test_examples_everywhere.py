"""Two examples with threads, with ranks, and by the workers of a hub that are killed and come back: the same table."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdq.job import replay
from cdq.learner.members import task_of
from tests.test_examples import ENVIRONMENT, EXAMPLES, MPIEXEC

CDQ = "import sys; from cdq.cli import main; sys.exit(main())"
# Learners of the examples: by ranks, and as the examples have them with the workers of a hub.
BY_RANKS = {
    "traffic": "learn('shared', 1_000, workers={workers})",
    "fleet_of_poles": "learner({workers}, m.WAYS['beside all'], 0).learn(5_000, verbose=0)",
}
BY_HUB = {
    "traffic": ("", []),
    "fleet_of_poles": ("learner(3, m.WAYS['beside all'], 0).learn(20_000, verbose=0)", ["3"]),
}
# A worker that is killed in its second window, and one that is killed when it has delivered that.
KILLED = ("worker:before_submit@2:kill", "worker:after_submit@2:kill")


def tables(name: str, learnt: str, *launcher: str) -> set[str]:
    """Return the digests of the tables that the processes of a program come to."""
    program = (
        f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import {name} as m; "
        f"print('table', m.{learnt}.table.digest())"
    )
    found = subprocess.run(
        [*launcher, sys.executable, "-c", program],
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=True,
    )
    return set(re.findall(r"table (\w{64})", found.stdout))


@pytest.mark.parametrize("name", BY_RANKS)
def test_ranks_come_to_the_table_of_threads(name: str) -> None:
    learnt = BY_RANKS[name].format(workers=4)
    (threads,) = tables(name, learnt)
    assert tables(name, learnt, MPIEXEC, "-n", "4") == {threads}


@contextmanager
def started(directory: Path, *arguments: str, fault: str = "") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=directory,
        env={**ENVIRONMENT, "CDQ_FAULT": fault},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("name", BY_HUB)
def test_a_hub_whose_workers_are_killed_and_come_back(name: str, tmp_path: Path, short_path: Path) -> None:
    learnt, given = BY_HUB[name]
    url = f"zmq+ipc://{short_path}/hub"
    join = ("-c", CDQ, "join", url)
    with (
        started(tmp_path, str(EXAMPLES / f"{name}.py"), *given, url) as hub,
        started(tmp_path, *join) as stays,
    ):
        with (
            started(tmp_path, *join, fault=KILLED[0]) as one,
            started(tmp_path, *join, fault=KILLED[1]) as two,
        ):
            assert [one.wait(100), two.wait(100)] == [-9, -9]
        with started(tmp_path, *join) as third, started(tmp_path, *join) as fourth:
            said, _ = hub.communicate(timeout=150)
            assert [process.wait(30) for process in (stays, third, fourth)] == [0, 0, 0]
    assert hub.returncode == 0
    (digest,) = re.findall(r"table (\w{64})", said)
    assert replay(tmp_path / f"{name}.job", make=task_of).digest() == digest
    if (
        given
    ):  # of a fleet a worker has the number, and so the environment and the streams, that another one left
        assert tables(name, learnt) == {digest}
