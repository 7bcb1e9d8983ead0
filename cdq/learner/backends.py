"""Backends: how the workers of a learner come to be, chosen once; the one place that tells backends apart.

THREADS of this process. RANKS: other processes are the others, and this one is a rank of several. MEMBERS of a hub,
which join, or which this process starts: `job.local`. PROCESSES that this one starts, as ranks beside it, for
environments in Python: `learner.ranks`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cdq.comm import registry
from cdq.comm.base import Communicator
from cdq.comm.registry import LOCAL_HUB, connect
from cdq.errors import CollectiveMismatch, ConfigError
from cdq.errors.checks import shown
from cdq.learner.run import Run, Show, conduct, learn_as_rank
from cdq.storage import pack_tensors
from cdq.training import Ended, EnvironmentTask, LearnCall, lanes_of, require_same

if TYPE_CHECKING:
    from cdq.job import Hosting

_log = logging.getLogger("cdq")

THREADS, RANKS, MEMBERS, PROCESSES = "threads", "ranks", "members", "processes"

# A window may take long where steps are slow; a worker that fails is noticed at once, whatever the deadline.
TIMEOUT = 3600.0
# Processes of a job start at about the same time: one that does not come has ended before.
_CONNECTED = 300.0


@dataclass(frozen=True)
class Backend:
    """Way in which the workers of a learner come to be.

    Attributes
    ----------
    kind : {"threads", "ranks", "members", "processes"}
        THREADS, RANKS, MEMBERS or PROCESSES.
    size : int
        Number of workers; of members the fewest of a round.
    url : str
        Name or URL of the communicator; of threads and members what "auto" stood for.
    comm : Communicator, optional
        Connection to the other ranks, where this process is one of several.
    hosting : Hosting, optional
        Address and rules of the hub, where members join that this process does not start.
    """

    kind: str
    size: int
    url: str
    comm: Communicator | None = None
    hosting: Hosting | None = None

    @property
    def rank(self) -> int:
        """Number of the worker that this process is, where each process is one; else 0."""
        return 0 if self.comm is None else self.comm.rank

    @property
    def name(self) -> str:
        """Name of the communicator."""
        return registry.name_of(self.url if self.comm is None else self.comm)

    @property
    def in_processes(self) -> bool:
        """True if workers are processes, and not threads of this one."""
        return self.kind != THREADS

    @property
    def comes_and_goes(self) -> bool:
        """True if workers may join and leave."""
        return self.kind == MEMBERS

    @property
    def alone(self) -> bool:
        """True if there is one worker, and never another one."""
        return self.size == 1 and self.kind in {THREADS, RANKS}

    def without_stepping(self) -> Backend:
        """Return the backend for a call that steps nothing: threads in place of processes that it would start."""
        return Backend(THREADS, self.size, "inprocess") if self.kind in {MEMBERS, PROCESSES} else self

    def hosted(
        self, hosting: Hosting | None, task: EnvironmentTask, about: Callable[[], Mapping[str, Any]]
    ) -> Backend:
        """Return the backend whose members join a hub at *hosting*, where that is not None.

        *about* returns the description of the learner (`training.call.about`); it is asked where there is a hub.

        Raises
        ------
        ConfigError
            If the workers are not those of a hub, or could not make the environment.
        """
        if hosting is None or self.kind == MEMBERS:
            return replace(self, hosting=hosting)
        if self.kind != PROCESSES:
            raise ConfigError(
                f"hosting is for workers of a hub, and comm is {self.name!r}; allowed: comm='zmq'"
            )
        from cdq.learner.members import require_hostable

        require_hostable(task, about(), hosting.least)
        return replace(self, kind=MEMBERS, hosting=hosting)


# ---- the choice


def count_workers(comm: str | Communicator, workers: int) -> int:
    """Return how many workers a run has; *workers* is the number asked for, 0 where none was.

    Raises
    ------
    ConfigError
        If there cannot be so many.
    """
    if not isinstance(comm, (str, Communicator)):
        raise ConfigError(f"comm is {shown(comm)}; allowed: a communicator's name, a URL, or a communicator")
    if isinstance(comm, str):
        return workers or 1 if _is_hub(comm) else registry.ranks(comm, workers or None)
    if workers not in {0, comm.size}:
        raise ConfigError(
            f"workers is {workers}, but the communicator has {comm.size} ranks; leave workers out"
        )
    return comm.size


def named(comm: str | Communicator) -> str:
    """Return the name by which settings keep a communicator."""
    return comm if isinstance(comm, str) else "auto"


def workers_of_file(comm: str | Communicator, workers: int) -> int | None:
    """Return how many workers to ask for where a file says *workers*; None: as many as there are processes."""
    return None if _is_spread(comm) else workers


def choose_backend(comm: str | Communicator, task: EnvironmentTask, workers: int) -> Backend:
    """Return the backend of a learner, which *comm* asks for; processes where threads would not do for the task.

    Raises
    ------
    ConfigError
        If *comm* asks for threads that would not do, or other processes cannot make the environment.
    BackendUnavailable
        If pyzmq is missing.
    """
    if _is_spread(comm):
        return Backend(RANKS, workers, named(comm), join(comm, workers))
    url = registry.choose(named(comm))
    of_hub = PROCESSES if task.model is None else MEMBERS
    kind = of_hub if url == LOCAL_HUB else THREADS
    if task.threads or workers == 1:
        return Backend(kind, workers, url)
    if kind == THREADS:
        why = f"{why_processes(task)}: its workers are processes"
        if comm != "auto":
            raise ConfigError(f"{why}, and comm is {comm!r}; allowed: 'zmq', 'mpi' or a URL of either")
        _log.info("communicator: %s, as %s", LOCAL_HUB, why)
        registry.load(LOCAL_HUB)
    task.recipe()  # raises if they cannot make it
    return Backend(of_hub, workers, LOCAL_HUB)


def why_processes(task: EnvironmentTask) -> str:
    """Return why the workers of a task that does not take threads are processes."""
    environment = getattr(task, "environment", None)
    if environment is not None and environment.threads:
        return f"{task.name} is learnt with a Keras model, and TensorFlow has one set of threads for a whole process"
    return f"{task.name} is stepped in Python, where threads would take turns"


def _is_hub(comm: str | Communicator) -> bool:
    """Return whether the workers are processes of a hub that this process has."""
    return isinstance(comm, str) and registry.choose(comm) == LOCAL_HUB


def _is_spread(comm: str | Communicator) -> bool:
    """Return whether the other ranks are elsewhere, and this process is one of them."""
    return isinstance(comm, Communicator) or (not _is_hub(comm) and registry.is_spread(comm))


# ---- the connection to ranks that are other processes


# Communicators that the learners of this process have connected, in order: a hub lets a process in once, and MPI has
# room for so many; the others are made of the first.
_joined: dict[str, list[Communicator]] = {}


def join(comm: str | Communicator, workers: int) -> Communicator | None:
    """Return the connection to the other ranks where they are other processes, else None."""
    if isinstance(comm, Communicator):
        return comm
    if not _is_spread(comm):
        return None
    known = _joined.get(comm, [])
    if known and known[0].usable:
        known.append(known[0].split(0) or known[0])
        return known[-1]
    joined = connect(comm, workers, _CONNECTED)[0]
    if joined.timeout == _CONNECTED:  # the URL does not give another one
        joined.timeout = TIMEOUT
    _joined[comm] = [joined]
    return joined


def _meet(comm: Communicator) -> None:
    """Meet the other ranks where all learners of the program do, before a learner's own communicator is used.

    Raises
    ------
    CollectiveMismatch
        If the ranks call `learn` of their learners in different orders, which would wait for each other for good.
    """
    for known in _joined.values():
        for number, other in enumerate(known, 1):
            if other is comm and known[0].usable:
                _require_same_learner(known[0], number)


def _require_same_learner(common: Communicator, number: int) -> None:
    numbers = [int(bytes(part)) for part in common.allgather(str(number).encode())]
    if len(set(numbers)) > 1:
        by_rank = "; ".join(f"rank {rank}: learner {other}" for rank, other in enumerate(numbers))
        raise CollectiveMismatch(
            f"the ranks call learn of different learners, in the order in which they were made: {by_rank}; "
            "call them in the same order on all ranks"
        )


def require_same_log(backend: Backend, log: str) -> None:
    """Raise `ConfigError` unless all ranks were given logs of the same fingerprint; a collective."""
    if backend.comm is not None:
        _meet(backend.comm)
        require_same(backend.comm, {"log": log})


# ---- learning


def learn(backend: Backend, call: LearnCall) -> None:
    """Learn until the goal of a call, with the workers of a backend; raises as `QLearner.learn` does."""
    if backend.comm is not None:
        _meet(backend.comm)
    conduct(call, partial(_learn, backend, call), backend.comm, hosted=backend.hosting is not None)


def _learn(backend: Backend, call: LearnCall, show: Show) -> Ended:
    if backend.kind == MEMBERS:
        from cdq.job import learn

        return learn(call, backend.hosting, show)
    if backend.kind == PROCESSES:
        with _beside(call) as comm:
            return learn_as_rank(call, comm, show)
    if backend.comm is not None:
        return learn_as_rank(call, backend.comm, show)
    return Run(call, connect(backend.url, backend.size, TIMEOUT)).learn(show)


@contextmanager
def _beside(call: LearnCall) -> Iterator[Communicator]:
    """Start processes that are ranks beside this one, which is rank 0; they end with the context."""
    from cdq.learner.parcel import make_parcel
    from cdq.learner.ranks import beside

    came_back = False
    try:
        parcel = make_parcel(call.task, call.settings)
        with beside(call.settings.workers, parcel, _beginning(call), TIMEOUT) as comm:
            yield comm
            if not call.requests.stop[0]:
                call.team.take_back(comm)
                came_back = True
    finally:
        if not came_back:  # the state of the others' lanes is not known: their streams restart
            call.team.lane_states.clear()
            call.state.session += 1


def _beginning(call: LearnCall) -> bytes:
    """Return the state that the other ranks are sent first: tables, counters, and their lanes where those are known."""
    tensors, counters = call.state.everything()
    lanes = call.team.lane_states
    others = [lanes[rank] for rank in range(1, call.settings.workers) if rank in lanes]
    if others and len(others) == call.settings.workers - 1:
        tensors["lanes"] = lanes_of(others)
    return pack_tensors(tensors, {**call.about, **counters})
