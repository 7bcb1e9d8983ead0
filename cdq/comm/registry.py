"""Communicators by name: the built-in ones, then the entry points of other packages; loaded on use."""

from __future__ import annotations

import logging
import os
from importlib.metadata import EntryPoint, entry_points

from cdq.comm.base import API_VERSION, DEFAULT_TIMEOUT, Communicator, checked_timeout
from cdq.errors import BackendUnavailable, ConfigError, unknown_name

GROUP = "cdq.communicators"
VARIABLE = "CDQ_COMM"
BUILTIN = {
    "inprocess": "cdq.comm.inprocess:InProcessCommunicator",
    "mpi": "cdq.comm.mpi:MPICommunicator",
}

_log = logging.getLogger("cdq")


def connect(url: str = "auto", workers: int = 1, timeout: float = DEFAULT_TIMEOUT) -> list[Communicator]:
    """Connect, and return the communicators of this process: one for each rank that it has.

    Parameters
    ----------
    url : str
        A communicator's name, a URL whose scheme is one, or ``"auto"``: what the environment variable
        ``CDQ_COMM`` names, else in-process. An explicit choice never falls back to another one.
    workers : int
        Number of ranks asked for.
    timeout : float
        Deadline in seconds, of connecting and of each later collective.

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
    """
    seconds = checked_timeout(timeout)
    chosen = choose(url)
    return list(load(chosen.partition("://")[0]).connect(chosen, workers, seconds))


def choose(url: str) -> str:
    """Return *url*, or what "auto" stands for here; raise as `connect` does if there is no such communicator."""
    chosen = _automatic() if url == "auto" else url
    _find(chosen.partition("://")[0])
    return chosen


def names() -> list[str]:
    """Return the names of all communicators that are installed, whether or not they can be loaded."""
    return sorted({*BUILTIN, *entry_points(group=GROUP).names})


def load(name: str) -> type[Communicator]:
    """Return the class of a communicator; see `connect` for what is raised."""
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


def _automatic() -> str:
    chosen = os.environ.get(VARIABLE, "")
    if chosen:
        _log.info("communicator: %s, named by %s", chosen, VARIABLE)
        return chosen
    _log.info("communicator: inprocess, as %s is not set", VARIABLE)
    return "inprocess"
