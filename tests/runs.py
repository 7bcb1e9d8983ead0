"""Runs with checkpoints, for tests to cut short, and programs that do: ``python tests/start.py tests.runs NAME``."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cdq
from cdq.storage.directory import CheckpointDirectory
from cdq.training.checkpoints import Checkpoints
from tests.strategies import random_model

MODEL = random_model(30, 4, seed=8, time_limit=50)
STEPS, EVERY = 12_000, 600

_LATE = {"steps": 400_000, "checkpoint_every": 5000}  # the first measurement is after 28,200 steps

# How runs differ in what must be kept to go on exactly. The last two end by their condition, before their steps.
WAYS: dict[str, dict[str, Any]] = {
    "alone": {"workers": 1, "sync_every": 100},
    "fixed windows": {"workers": 2, "sync_every": 70},
    "automatic windows": {"workers": 3, "sync_every": cdq.AutoWindow(floor=20), "dtype": "float32"},
    "schedules": {
        "workers": 2,
        "sync_every": cdq.AutoWindow(floor=30),
        "step_size": cdq.LinearDecay(0.5, 0.01, STEPS),
        "exploration": cdq.ExponentialDecay(1.0, 0.01, STEPS),
        "merge": "mean",
    },
    "overlapped": {"workers": 2, "sync_every": 60, "overlap": True, "dtype": "float32"},
    "overlapped, automatic windows": {
        "workers": 3,
        "sync_every": cdq.AutoWindow(floor=20),
        "step_size": cdq.ExponentialDecay(0.5, 0.01, STEPS),
        "exploration": cdq.LinearDecay(1.0, 0.05, STEPS),
        "overlap": True,
    },
    "Expected SARSA": {"workers": 3, "sync_every": 70, "rule": "expected-sarsa"},
    "SARSA": {"workers": 3, "sync_every": 70, "rule": "sarsa"},
    "Double Q": {
        "workers": 3,
        "sync_every": cdq.AutoWindow(floor=20),
        "rule": "double-q",
        "dtype": "float32",
    },
    "workers that differ": {
        "workers": 4,
        "sync_every": cdq.AutoWindow(floor=20),
        "per_worker": {
            "exploration": [0.05, "linear:1:0.05:6e3", 0.3, 1.0],
            "step_size": ["exponential:0.5:0.01:1e4", "rescaled-linear:0.9", 0.2, 0.1],
        },
        "federation": cdq.Federation(participation=0.75, dropped=0.3, corrupted={2: 0.01}),
    },
    "until optimal": {"workers": 2, "sync_every": 200, "until": cdq.OptimalWithin(0.05), **_LATE},
    "until a return": {
        "workers": 3,
        "sync_every": 200,
        "until": cdq.MeanReturn(41.0),
        "overlap": True,
        **_LATE,
    },
}


def arguments_of(way: str) -> dict[str, Any]:
    """Return what a learner is made with to learn in one of the ways."""
    return {"num_envs": 3, "seed": 5, "gamma": 0.9, "checkpoint_every": EVERY, **WAYS[way]}


def begin(directory: Path, way: str, **changes: Any) -> cdq.QLearner:
    """Learn in one of the ways, from nothing; checkpoints go to the directory."""
    arguments = arguments_of(way) | changes
    steps, until = arguments.pop("steps", STEPS), arguments.pop("until", None)
    return cdq.QLearner(MODEL, checkpoint=directory, **arguments).learn(steps, until=until)


def resume(directory: Path, **changes: Any) -> cdq.QLearner:
    """Return the learner of the directory's newest checkpoint."""
    return cdq.QLearner.resume(directory, MODEL, **changes)


def kept(directory: Path) -> dict[str, Any]:
    """Return all that the newest checkpoint holds but what tells the time."""
    checkpoint = CheckpointDirectory(directory).newest()
    assert checkpoint is not None, f"no checkpoint in {directory}"
    tensors = {
        name: (str(data.dtype), data.shape, data.tobytes()) for name, data in checkpoint.tensors.items()
    }
    del tensors["history.seconds"]
    return {**tensors, **checkpoint.header}


def differing(one: Path, other: Path, *ignored: str) -> list[str]:
    """Return the names of what the newest checkpoints of two directories hold and is not the same to the bit."""
    first, second = kept(one), kept(other)
    names = {*first, *second} - {*ignored}
    return sorted(name for name in names if first.get(name) != second.get(name))


@contextmanager
def copied(to: Path) -> Iterator[list[Path]]:
    """Copy the directory of each checkpoint that this process writes, as a kill after it would leave it."""
    copies: list[Path] = []
    write = Checkpoints.write

    def writing(checkpoints: Checkpoints, steps: int, tensors: Any, header: Any) -> None:
        write(checkpoints, steps, tensors, header)
        assert checkpoints._directory is not None
        copies.append(to / f"{len(copies)}-{steps}")
        shutil.copytree(checkpoints._directory.path, copies[-1])

    Checkpoints.write = writing  # type: ignore[method-assign]
    try:
        yield copies
    finally:
        Checkpoints.write = write  # type: ignore[method-assign]


def begin_or_resume(directory: Path, way: str) -> None:
    """Do what a job's script does that a queue starts again and again."""
    if any(directory.glob("checkpoint-*")):
        resume(directory).learn()
    else:
        begin(directory, way)


def is_killed_until_finished(base: str, way: str, first: str, last: str) -> None:
    """Kill a run at random times, and go on, until it has finished; print for each seed how often it was."""
    for seed in range(int(first), int(last)):
        chance = random.Random(seed)
        directory = Path(base) / str(seed)
        kills = 0
        # Longer each time: on a machine that is busy, too, it gets somewhere.
        while not _ended_within(
            partial(begin_or_resume, directory, way), chance.uniform(0, 0.03 * (kills + 1))
        ):
            kills += 1
        print(json.dumps({"seed": seed, "kills": kills}), flush=True)


def _ended_within(work: Callable[[], None], seconds: float) -> bool:
    """Work in a forked process, and kill it if it takes longer; return whether it ended."""
    child = os.fork()
    if child == 0:
        work()
        sys.stderr.flush()
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)  # one that has ended is still there to be waited for
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"status {status}"
    return status == 0


def is_terminated(directory: str, ranks: str) -> None:
    """Send SIGTERM to some ranks of a job that learns."""
    agent = cdq.QLearner("FrozenLake-v1", seed=0, checkpoint=directory, checkpoint_every=1e6)
    sys.stdout.write(f"pid: {os.getpid()}\n")  # at once: print writes in parts, and other ranks come between
    sys.stdout.flush()
    if str(agent.rank) in ranks.split(","):
        threading.Thread(target=_send_sigterm_to_the_run).start()
    agent.learn(1e12)
    sys.stdout.write("not ended\n")


def _send_sigterm_to_the_run() -> None:
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGTERM)


PROGRAMS: dict[str, Callable[..., None]] = {
    program.__name__: program for program in (is_killed_until_finished, is_terminated)
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
