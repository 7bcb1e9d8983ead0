"""The connection of a learner to workers in other processes."""

from __future__ import annotations

import logging

from cdq.comm import registry
from cdq.comm.base import Communicator
from cdq.comm.registry import LOCAL_HUB, choose, connect
from cdq.errors import ConfigError
from cdq.training import EnvironmentTask

_log = logging.getLogger("cdq")


# A window may take long where steps are slow; a worker that fails is noticed at once, whatever the deadline.
TIMEOUT = 3600.0
# Processes of a job start at about the same time: one that does not come has ended before.
_CONNECTED = 300.0


# What the learners of this process have connected, in order: a hub lets a process in once, and MPI has room for so
# many; the others are made of the first.
_joined: dict[str, list[Communicator]] = {}


def join(comm: str | Communicator, workers: int) -> str | Communicator:
    """Return how a learner reaches the others: a communicator if they are other processes, else a name as given."""
    if isinstance(comm, Communicator) or not is_spread(comm):
        return comm
    known = _joined.get(comm, [])
    if known and known[0].usable:
        known.append(known[0].split(0) or known[0])
        return known[-1]
    joined = connect(comm, workers, _CONNECTED)[0]
    if joined.timeout == _CONNECTED:  # the URL does not give another one
        joined.timeout = TIMEOUT
    _joined[comm] = [joined]
    return joined


def suited(comm: str | Communicator, task: EnvironmentTask, workers: int) -> str | Communicator:
    """Return how the workers of *task* reach each other: by *comm*, or as processes where threads would not do.

    Raises
    ------
    ConfigError
        If *comm* asks for threads, or other processes cannot make the environment.
    BackendUnavailable
        If pyzmq is missing.
    """
    if task.threads or workers == 1 or is_spread(comm):
        return comm
    if not is_hub(comm):
        why = f"{task.name} is stepped in Python, where threads would take turns: its workers are processes"
        if comm != "auto":
            raise ConfigError(f"{why}, and comm is {comm!r}; allowed: 'zmq', 'mpi' or a URL of either")
        _log.info("communicator: %s, as %s", LOCAL_HUB, why)
        registry.load(LOCAL_HUB)
    task.recipe()  # raises if they cannot make it
    return LOCAL_HUB


def is_spread(comm: str | Communicator) -> bool:
    """Return whether the other ranks are elsewhere, and this process is one of them."""
    if is_hub(comm):
        return False
    return isinstance(comm, Communicator) or registry.is_spread(comm)


def is_hub(comm: str | Communicator) -> bool:
    """Return whether the workers are processes of a hub that this process has."""
    return isinstance(comm, str) and choose(comm) == LOCAL_HUB
