"""Files and rooms of cdq in which a function ran during a call: what somebody opens who follows it.

``python -m tests.benchmarks.files_entered`` prints a line per call, and with ``--list`` the files.
"""

from __future__ import annotations

import inspect
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import cdq

PACKAGE = Path(cdq.__file__).parent
STEPS = 20_000
# Comprehensions are functions of their own, also in the body of a module or a class, which is run by an import.
_COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


def files_of(call: Callable[[], object]) -> list[str]:
    """Return the files of cdq in which a function ran during *call*, in any thread; imports do not count."""
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        is_function = code.co_flags & inspect.CO_OPTIMIZED  # no module, no body of a class
        if event == "call" and is_function and code.co_name not in _COMPREHENSIONS:
            entered.add(code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    inside = [Path(name) for name in entered if Path(name).is_relative_to(PACKAGE)]
    return sorted(path.relative_to(PACKAGE).as_posix() for path in inside)


def learner(**settings: Any) -> cdq.QLearner:
    """Return a learner of a model, with two threads."""
    return cdq.QLearner(cdq.MDP.garnet(50, 3, branching=3, seed=0), workers=2, seed=0, **settings)


def of_log() -> Callable[[], object]:
    """Return a call that learns from a log."""
    agent, random = learner(), np.random.default_rng(0)
    states, next_states = random.integers(0, 50, (2, 100))
    actions, rewards, ends = random.integers(0, 3, 100), np.ones(100), np.zeros(100, bool)
    return lambda: agent.learn_from(states, actions, rewards, next_states, ends)


def calls(directory: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the calls to follow, and their names; one goes on from another's checkpoint."""
    agent, checkpoint = learner(), directory / "checkpoints"
    yield "learn, a model in threads", lambda: agent.learn(STEPS)
    yield "learn_from", of_log()
    writing = learner(checkpoint=checkpoint, checkpoint_every=5000)
    yield "learn with checkpoints", lambda: writing.learn(STEPS)
    yield "resume, and learn", lambda: cdq.QLearner.resume(checkpoint, agent.model).learn(STEPS)
    yield "a learner of FrozenLake, made", lambda: cdq.QLearner("FrozenLake-v1", workers=2, seed=0)
    hub = learner(comm="zmq")
    yield "learn with a hub's processes, in the hub", lambda: hub.learn(STEPS)


def main() -> None:
    """Print the table."""
    learner().learn(STEPS)  # whatever happens once
    print("| call | rooms | files |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        for name, call in calls(Path(directory)):
            files = files_of(call)
            print(f"| {name} | {len({file.split('/')[0] for file in files})} | {len(files)} |")
            if "--list" in sys.argv:
                print("\n".join(f"    {file}" for file in files))


if __name__ == "__main__":
    main()
