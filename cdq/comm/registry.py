"""Communicators by name: the built-in ones, then the entry points of other packages; loaded on use."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from cdq.comm.base import API_VERSION, DEFAULT_TIMEOUT, LONGEST_TIMEOUT, Communicator, checked_timeout
from cdq.comm.launchers import parent_rank, started_by
from cdq.comm.rendezvous import URL, parent_meeting, rendezvous
from cdq.errors import BackendUnavailable, ConfigError, unknown_name

GROUP = "cdq.communicators"
VARIABLE = "CDQ_COMM"
BUILTIN = {
    "inprocess": "cdq.comm.inprocess:InProcessCommunicator",
    "mpi": "cdq.comm.mpi.communicator:MPICommunicator",
    "zmq": "cdq.comm.zmq.ranks.communicator:ZmqCommunicator",
}

# The name alone, without an address: a hub of the learner's own, with workers that are processes of this machine.
LOCAL_HUB = "zmq"

_log = logging.getLogger("cdq")


def connect(
    url: str = "auto", workers: int | None = None, timeout: float = DEFAULT_TIMEOUT
) -> list[Communicator]:
    """Connect, and return the communicators of this process: one for each rank that it has.

    Parameters
    ----------
    url : str
        A communicator's name, a URL whose scheme is one, or ``"auto"``: what the environment variable
        ``CDQ_COMM`` names, else MPI where mpiexec or srun started several processes, else ``"zmq+env://"`` where
        torchrun, an indexed Job of Kubernetes or AWS Batch did: rank 0 hosts their relay; else in-process. An explicit
        choice never falls back to another one. A URL may end in ``?timeout=SECONDS``, as in ``"mpi://?timeout=30"``.
    workers : int, optional
        Number of ranks asked for; what there is by default: those that were started, or 1 in-process.
    timeout : float
        Deadline in seconds, of connecting and of each later collective, unless the URL has one.

    Raises
    ------
    ConfigError
        If there is no such communicator, or it cannot do what is asked.
    BackendUnavailable
        If its package, or what that needs, is missing or does not fit.

    Examples
    --------
    >>> [comm.rank for comm in connect("inprocess", workers=2)]
    [0, 1]
    >>> connect("inprocess://?timeout=5")[0].timeout
    5.0
    """
    address, asked = _without_timeout(choose(url))
    kind = load(_name(address))
    seconds = checked_timeout(timeout if asked is None else asked)
    return list(kind.connect(address, kind.ranks(address, workers), seconds))


def ranks(url: str = "auto", workers: int | None = None) -> int:
    """Return how many ranks `connect` would make of these arguments; raise as it does.

    Examples
    --------
    >>> ranks("inprocess", workers=3)
    3
    """
    address = _without_timeout(choose(url))[0]
    return load(_name(address)).ranks(address, workers)


def is_spread(url: str) -> bool:
    """Return whether `connect` would return one rank of several processes; raise as it does."""
    return load(_name(_without_timeout(choose(url))[0])).SPREAD


def choose(url: str) -> str:
    """Return *url*, or what "auto" stands for here; raise as `connect` does if there is no such communicator."""
    chosen = _automatic() if url == "auto" else url
    _find(_name(_without_timeout(chosen)[0]))
    return chosen


def name_of(comm: str | Communicator) -> str:
    """Return the name of a communicator, or of the one that a URL or "auto" stands for.

    A communicator whose class is not registered goes by the name of that class.

    Examples
    --------
    >>> name_of("inprocess://?timeout=5"), name_of(connect("inprocess")[0])
    ('inprocess', 'inprocess')
    """
    if isinstance(comm, str):
        return _name(_without_timeout(choose(comm))[0])
    home = f"{type(comm).__module__}:{type(comm).__qualname__}"
    known = {**{entry.name: entry.value for entry in entry_points(group=GROUP)}, **BUILTIN}
    return next((name for name, value in sorted(known.items()) if value == home), type(comm).__name__)


def names() -> list[str]:
    """Return the names of all communicators that are installed, whether or not they can be loaded."""
    return sorted({*BUILTIN, *entry_points(group=GROUP).names})


def load(name: str) -> type[Communicator]:
    """Return the class of a communicator; raises the errors of `connect`."""
    entry = _find(name)
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise _unavailable(entry, f"cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Communicator)):
        raise _unavailable(entry, "is not a subclass of cdq.comm.Communicator")
    version = getattr(found, "API_VERSION", None)
    if version != API_VERSION:
        raise _unavailable(entry, f"has API_VERSION {version}, this cdq needs {API_VERSION}")
    return found


def _find(name: str) -> EntryPoint:
    """Built-in names come first: no package can take one over."""
    if name in BUILTIN:
        return EntryPoint(name, BUILTIN[name], GROUP)
    for entry in entry_points(group=GROUP, name=name):
        return entry
    raise ConfigError(unknown_name("communicator", name, ["auto", *names()]))


def _unavailable(entry: EntryPoint, why: str) -> BackendUnavailable:
    package = entry.dist.name if entry.dist is not None else "cdq"
    return BackendUnavailable(
        f"communicator {entry.name!r}: {entry.value} {why}; try: pip install --upgrade {package}"
    )


def _name(url: str) -> str:
    """Return the communicator's name: of ``zmq+ipc:///PATH`` that is what stands before the plus."""
    return url.partition("://")[0].partition("+")[0]


def _without_timeout(url: str) -> tuple[str, float | None]:
    """Take the parameter off a URL; it is the only one there is."""
    address, _, query = url.partition("?")
    if not query:
        return address, None
    name, _, seconds = query.partition("=")
    if name != "timeout":
        raise ConfigError(
            f"communicator {url!r}: unknown parameter {name!r}; the only one is ?timeout=SECONDS"
        )
    try:
        return address, checked_timeout(float(seconds))
    except ValueError:
        raise ConfigError(
            f"communicator {url!r}: timeout is {seconds!r}; it must be a number of seconds above zero "
            f"and at most {LONGEST_TIMEOUT:g}"
        ) from None


def _automatic() -> str:
    chosen = named = os.environ.get(VARIABLE, "")
    launch = started_by()
    meets = not named and launch is None
    meeting, parent = rendezvous() if meets else None, parent_rank() or (parent_meeting() if meets else None)
    if chosen:
        why = f"named by {VARIABLE}"
    elif launch is not None and launch.size > 1:
        chosen, why = "mpi", f"as {launch.launcher} started {launch.size} processes"
    elif meeting is not None:
        chosen, why = URL, f"as {meeting.launcher} started {meeting.size} processes"
    elif parent is not None:
        from cdq.comm.mpi.library import require_no_fork

        require_no_fork()
        chosen, why = "inprocess", f"as rank {parent.rank} started this process, which is no rank itself"
    else:
        chosen, why = "inprocess", f"as {VARIABLE} is not set and no launcher started several processes"
    usual = chosen == "inprocess" and launch is None and parent is None and not named
    _tell(chosen, why, logging.DEBUG if usual else logging.INFO)
    return chosen


@lru_cache(maxsize=64)
def _tell(chosen: str, why: str, level: int) -> None:
    """Log a choice: once in a process, as each learner makes it several times."""
    _log.log(level, "communicator: %s, %s", chosen, why)
