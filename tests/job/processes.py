"""A hub as a process of its own, for tests to kill: ``python -m tests.job.processes DIRECTORY URL JSON``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cdq
from cdq.job import local
from cdq.job.hub import Hosting

ENV = "FrozenLake8x8-v1"
ARGUMENTS: dict[str, Any] = {"env": ENV, "num_envs": 4, "seed": 7, "comm": "zmq", "workers": 1}


def see(run: Any) -> None:
    """See a round, so that each takes messages."""


def hold(directory: str, url: str, text: str) -> None:
    """Begin a job, or go on with it, with messages for each round where it is "seen"; print its digest at the end."""
    given = json.loads(text)
    callbacks = [see] if given.pop("seen", False) else []
    if "network" in given:
        given["network"] = cdq.Network(**given["network"])
    steps, hosting = given.pop("steps"), Hosting(url, **given.pop("hosting", {}))
    if any(Path(directory).glob("checkpoint-*")):
        learner = cdq.QLearner.resume(directory, comm="zmq")
        steps = given.get("more")
    else:
        given.pop("more", None)
        learner = cdq.QLearner(**{**ARGUMENTS, **given, "checkpoint": directory})
    learner.learn(steps, hosting=hosting, callbacks=callbacks)
    digest = learner.report(play=False)["digest"] if "network" in given else learner.table.digest()
    print(digest, learner.steps)


START = str(Path(__file__).parents[1] / "start.py")  # runs a module of the tests, or of cdq


class Processes:
    """A hub and its workers; all end with the context."""

    def __init__(self, folder: Path, socket: str, **given: Any) -> None:
        self.directory, self.url = folder / "job", f"zmq+ipc://{socket}"
        self._given = given
        self._started: list[subprocess.Popen[str]] = []

    def hub(self, fault: str = "", **changes: Any) -> subprocess.Popen[str]:
        given = json.dumps({**self._given, **changes})
        command = ["tests.job.processes", str(self.directory), self.url, given]
        return self._start(command, fault, stdout=subprocess.PIPE)

    def worker(
        self, fault: str = "", timeout: float = 60.0, program: str = "cdq.job.join"
    ) -> subprocess.Popen[str]:
        return self._start([program, self.url, str(timeout)], fault)

    def joiner(self) -> subprocess.Popen[str]:
        """Start `cdq join`, which makes environments of what the hub says."""
        return self._start(["cdq", "join", self.url, "--timeout", "60", "--progress", "0"], "")

    def _start(self, command: list[str], fault: str, **more: Any) -> subprocess.Popen[str]:
        root = str(Path(cdq.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": root, local.PARENT: str(os.getpid()), "CDQ_FAULT": fault}
        process = subprocess.Popen(
            [sys.executable, START, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.communicate()


@contextmanager
def processes(folder: Path, **given: Any) -> Iterator[Processes]:
    with tempfile.TemporaryDirectory(
        dir="/tmp", prefix="cdq-"
    ) as short:  # wherever TMPDIR is: room for an address
        made = Processes(folder, f"{short}/hub", **given)
        try:
            yield made
        finally:
            made.end()


if __name__ == "__main__":
    hold(*sys.argv[1:])
