"""Launchers that tell each process its rank, the number of ranks and the machine of rank 0, and start no relay.

Such are torchrun and what sets its variables, indexed Jobs of Kubernetes, and multi-node jobs of AWS Batch.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple

from cdq.comm.launchers import started_by
from cdq.errors import ConfigError

URL = "zmq+env://"  # the communicator of such a job
SIZE_VARIABLE, HUB_VARIABLE, PORT_VARIABLE = "CDQ_SIZE", "CDQ_HUB", "CDQ_PORT"
_PORT = 5555  # where the launcher gives none
_MOST = 8192  # ranks: as many connections as a relay keeps
_LOOPBACK = "127.0.0.1"
# Set in a process that a launcher started, for its children, which inherit the variables and are no ranks.
_MARK = "CDQ_MEETING_PROCESS"


class Meeting(NamedTuple):
    """Rank of this process, and the place where the ranks of its job meet.

    Parameters
    ----------
    launcher : str
        Name of the launcher, as in a message, with the variables that tell the rank and the size.
    rank : int
        Rank of this process; rank 0 hosts the relay.
    size : int
        Number of ranks.
    host : str
        Name or address of rank 0's machine; empty on rank 0 where its launcher does not tell.
    port : int
        Port of the relay.
    """

    launcher: str
    rank: int
    size: int
    host: str
    port: int


def rendezvous(environment: Mapping[str, str] = os.environ) -> Meeting | None:
    """Return where the ranks meet; None where no such launcher started this process, or started it alone.

    Parameters
    ----------
    environment : mapping of str to str, optional
        The environment variables; those of this process by default.

    Raises
    ------
    ConfigError
        If variables are missing, contradict each other, or are no numbers.

    Examples
    --------
    >>> rendezvous({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"})
    Meeting(launcher='torchrun or its like (RANK, WORLD_SIZE)', rank=1, size=2, host='10.0.0.1', port=29501)
    >>> rendezvous({"WORLD_SIZE": "1"}) is None
    True
    """
    found = _named(environment)
    return None if found is None or _is_child(environment, found) else found


def parent_meeting(environment: Mapping[str, str] = os.environ) -> Meeting | None:
    """Return the meeting of the rank that started this process, which is none itself; None if it was none."""
    found = _named(environment)
    return found if found is not None and _is_child(environment, found) else None


def launched_rank(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return the rank that any launcher gave this process; None if there was none, or its variables are wrong."""
    launch = started_by(environment)
    if launch is not None:
        return launch.rank
    with contextlib.suppress(ConfigError):
        found = rendezvous(environment)
        return None if found is None else found.rank
    return None


# ---- the variables of each kind


def _named(environment: Mapping[str, str]) -> Meeting | None:
    """Return the first of the kinds that speaks of several ranks."""
    for kind in (_torchrun, _indexed_job, _aws_batch):
        found = kind(environment)
        if found is not None:
            host = f"[{found.host}]" if ":" in found.host and found.host[0] != "[" else found.host
            given = environment.get(PORT_VARIABLE)
            port = _number(environment, PORT_VARIABLE, 1, 65535) if given else found.port
            return found._replace(host=host, port=port)
    return None


def _torchrun(environment: Mapping[str, str]) -> Meeting | None:
    names = "RANK", "WORLD_SIZE"
    if not any(map(environment.get, names)):
        return None
    if environment.get("WORLD_SIZE") == "1" and environment.get("RANK", "") in {"", "0"}:
        return None  # notebooks and their like: one worker
    rank, size = _rank_and_size(environment, *names)
    here = environment.get("LOCAL_WORLD_SIZE") == environment["WORLD_SIZE"]  # all of them on this machine
    host = _LOOPBACK if here else _host(environment, "MASTER_ADDR", names)
    return Meeting(f"torchrun or its like ({', '.join(names)})", rank, size, host, _master_port(environment))


def _master_port(environment: Mapping[str, str]) -> int:
    """Return the port after torchrun's own, on which its store listens."""
    if not environment.get("MASTER_PORT") or environment.get(PORT_VARIABLE):
        return _PORT
    port = _number(environment, "MASTER_PORT", 1, 65535)
    if port == 65535:
        raise ConfigError(
            "MASTER_PORT is 65535, and the relay takes the port after it; set CDQ_PORT to another one"
        )
    return port + 1


def _indexed_job(environment: Mapping[str, str]) -> Meeting | None:
    names = "JOB_COMPLETION_INDEX", SIZE_VARIABLE
    of_ours = environment.get(HUB_VARIABLE) or (environment.get(names[0]) and environment.get(SIZE_VARIABLE))
    if not of_ours:  # an indexed Job without our variables: each of its processes learns alone
        return None
    rank, size = _rank_and_size(environment, *names)
    if size == 1:
        return None
    host = _host(environment, HUB_VARIABLE, names)
    return Meeting(f"an indexed Job of Kubernetes ({', '.join(names)})", rank, size, host, _PORT)


def _aws_batch(environment: Mapping[str, str]) -> Meeting | None:
    names = "AWS_BATCH_JOB_NODE_INDEX", "AWS_BATCH_JOB_NUM_NODES"
    if not any(map(environment.get, names)):
        return None
    index, size = _rank_and_size(environment, *names)
    if size == 1:
        return None
    main = "AWS_BATCH_JOB_MAIN_NODE_INDEX"
    first = _number(environment, main, 0, size - 1) if environment.get(main) else 0
    rank = (index - first) % size  # the relay is on the main node, whose address the others know
    address = "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"  # not set on the main node
    host = _host(environment, address, names) if rank else environment.get(address, "")
    return Meeting(f"AWS Batch ({', '.join(names)})", rank, size, host, _PORT)


def _rank_and_size(environment: Mapping[str, str], rank: str, size: str) -> tuple[int, int]:
    missing = [name for name in (rank, size) if not environment.get(name)]
    if missing:
        others = [name for name in (rank, size, HUB_VARIABLE) if environment.get(name)]
        raise ConfigError(
            f"{missing[0]} is not set, and {' and '.join(others)} {'is' if len(others) == 1 else 'are'}; "
            f"a launcher sets {rank} and {size} for each process of a job.{_alone(others)}"
        )
    n_ranks = _number(environment, size, 1, _MOST)
    return _number(environment, rank, 0, n_ranks - 1, f" (below {size})"), n_ranks


def _host(environment: Mapping[str, str], name: str, others: tuple[str, str]) -> str:
    host = environment.get(name, "").strip()
    if not host:
        told = " and ".join(f"{other} is {environment[other]}" for other in others)
        raise ConfigError(
            f"{name} is not set, and {told}; give the name or address of rank 0's machine there.{_alone(others)}"
        )
    return host


def _number(environment: Mapping[str, str], name: str, least: int, most: int, why: str = "") -> int:
    text = environment[name].strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and least <= int(text) <= most):
        raise ConfigError(
            f"{name} is {environment[name][:40]!r}; allowed: a whole number from {least} to {most}{why}."
            f"{_alone([name])}"
        )
    return int(text)


def _alone(names: list[str] | tuple[str, ...]) -> str:
    return f" If no launcher started this process: unset {' and '.join(names)}, or give comm='inprocess'"


# ---- children of a rank, which inherit its variables


def _is_child(environment: Mapping[str, str], meeting: Meeting) -> bool:
    """Return whether this process is a child of the one that was launched."""
    process, _, of = environment.get(_MARK, "").partition(" ")
    if of == _identity(meeting):
        return process != str(os.getpid())
    # Not imported there: its own children of multiprocessing are told apart all the same, from those that a script
    # starts and gives ranks.
    multiprocessing = sys.modules.get("multiprocessing.process")
    parent = multiprocessing.parent_process() if multiprocessing is not None else None
    return parent is not None and _was_launched(Path(f"/proc/{parent.pid}"), _identity(meeting))


def _was_launched(process: Path, identity: str) -> bool:
    """Return whether a process was given the variables of the same rank when it was started."""
    try:
        told = os.fsdecode((process / "environ").read_bytes()).split("\0")
        found = _named(dict(entry.split("=", 1) for entry in told if "=" in entry))
    except (OSError, ConfigError):
        return False
    return found is not None and _identity(found) == identity


def _identity(meeting: Meeting) -> str:
    return f"{meeting.rank}/{meeting.size}:{meeting.host}:{meeting.port}"


def mark(environment: MutableMapping[str, str] = os.environ) -> None:
    """Mark this process as the one that was launched, if it is."""
    with contextlib.suppress(ConfigError):  # which is raised where a learner is made
        meeting = rendezvous(environment)
        if meeting is not None:
            environment[_MARK] = f"{os.getpid()} {_identity(meeting)}"


mark()
