"""Merges of two ranks by every backend, and the remedy where one fails."""

from __future__ import annotations

import json
import logging
import math
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cdq.cli.diagnosis.installation import NOT_INSTALLED, find_mpiexec, version_of
from cdq.cli.diagnosis.processes import Answer, ask, last_line
from cdq.comm import registry
from cdq.comm.base import Communicator
from cdq.comm.launchers import started_by
from cdq.comm.zmq.ranks.launch import launch
from cdq.errors import CommError
from cdq.learner import QLearner
from cdq.mdp import MDP

_ROUNDS = 500
_LARGE = 4 << 20  # bytes; MPI copies such parts by other means than small ones
_JOB_SECONDS = 60.0
# The rank's cdq is this one, whatever the working directory holds, which stands first in the path of `python -c`.
_TRIAL = "import sys; sys.path[0] = {root!r}; from cdq.cli.diagnosis import trial; trial."
_JOB = _TRIAL + "run_rank({url!r}, {seconds!r})"
_HUB = _TRIAL + "run_hub({seconds!r})"
_ROOT = str(Path(__file__).parents[3])

_INSTALL_MPI = (
    "pip install 'cdq[mpi-local]' brings an MPI and its mpiexec. Where the site has an MPI, load its module and build"
    " mpi4py for it: MPICC=mpicc pip install --no-binary mpi4py 'cdq[mpi]'"
)
_INSTALL_ZMQ = "pip install 'cdq[zmq]'"
_OTHER_MPI = "take the mpiexec that stands beside this Python. Or install what fits: " + _INSTALL_MPI
_YIELD = "export OMPI_MCA_mpi_yield_when_idle=1 lets ranks that wait leave the core to the others"


class _Trouble(NamedTuple):
    """A known trouble: a pattern in a job's output, the problem that it shows, and the remedy."""

    pattern: str
    problem: str
    remedy: str


class _Started(NamedTuple):
    """The starter of a backend's ranks, and a question to ask oneself where a job does not end."""

    what: str
    question: str


_STARTED = {
    "mpi": _Started(
        "mpiexec", "does `mpiexec -n 2 hostname` end? If not, the installation of the MPI is at fault"
    ),
    "zmq": _Started("the hub", "is the machine overloaded?"),
}

# In this order: the first message also holds the path of a libmpi.
_KNOWN = (
    _Trouble(
        r"is not the one of that launcher|workers is 2, but",
        "the mpiexec and the MPI library that mpi4py loads are of different kinds",
        _OTHER_MPI,
    ),
    _Trouble(
        r"run as root|[Rr]unning as root",
        "Open MPI does not start for root unless it is told to, as in containers",
        "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
    ),
    _Trouble(
        r"not enough slots",
        "there are fewer cores than ranks",
        f"give mpiexec the option --oversubscribe; {_YIELD}",
    ),
    _Trouble(
        r"Read -1, expected|process_vm_readv|\bptrace",
        "the system forbids a process to read another one's memory, as in containers",
        "export OMPI_MCA_smsc=^cma, or start the container with --cap-add=SYS_PTRACE",
    ),
    _Trouble(
        r"Bus error|signal 7\b|SIGBUS|No space left on device",
        "memory shared by processes ran out",
        "make room in /dev/shm, or give the container more of it: docker run --shm-size=1g",
    ),
    _Trouble(r"No module named 'mpi4py'", "mpi4py is missing", _INSTALL_MPI),
    _Trouble(
        r"libmpi|cannot load MPI library", "mpi4py finds no MPI library that it was built for", _INSTALL_MPI
    ),
    _Trouble(r"pyzmq cannot be imported", "pyzmq is missing, or broken", _INSTALL_ZMQ),
    _Trouble(
        r"CommTimeout", "the ranks do not reach each other in time", f"is the machine overloaded? {_YIELD}"
    ),
)


@dataclass(frozen=True)
class Check:
    """Result of a merge by one backend.

    Parameters
    ----------
    backend : str
        Name of the backend.
    state : str
        "OK", "failed" or "not installed".
    seconds : float or None
        Seconds that a round of the two ranks took: a window of 16 steps, and the merge of a table of 64 x 4.
    problem, remedy : str
        The problem and its remedy, in words; empty where nothing is known.
    """

    backend: str
    state: str
    seconds: float | None = None
    problem: str = ""
    remedy: str = ""


def checks(seconds: float = _JOB_SECONDS) -> list[Check]:
    """Let two ranks merge by every backend that is installed.

    Parameters
    ----------
    seconds : float
        Deadline of each.
    """
    return [check_threads(seconds), check_mpi(seconds), check_zmq(seconds)]


def check_threads(seconds: float) -> Check:
    """Let two threads of this process merge."""
    comms = registry.connect("inprocess", 2, seconds)
    try:
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(learn_and_exchange, comms))
    except Exception as error:  # whatever it is, it is what is asked for
        return Check("inprocess", "failed", problem=f"{type(error).__name__}: {error}")
    return _judge("inprocess", results)


def check_mpi(seconds: float) -> Check:
    """Let two ranks merge that mpiexec starts."""
    if version_of("mpi4py") == NOT_INSTALLED:
        return Check("mpi", NOT_INSTALLED, remedy=_INSTALL_MPI)
    launch = started_by()
    if launch is not None and launch.size > 1:
        problem = f"{launch.launcher} started this process, and would have to start a job inside its own"
        return Check("mpi", "failed", problem=problem, remedy="run `cdq doctor` as a single process")
    launcher = find_mpiexec()
    if launcher is None:
        problem = "there is no mpiexec beside this Python and none in PATH"
        return Check("mpi", "failed", problem=problem, remedy=_INSTALL_MPI)
    job = _JOB.format(root=_ROOT, url="mpi", seconds=seconds / 2)
    return diagnose("mpi", ask([launcher, "-n", "2", sys.executable, "-c", job], seconds))


def check_zmq(seconds: float) -> Check:
    """Let two processes merge that a hub connects."""
    if version_of("pyzmq") == NOT_INSTALLED:
        return Check("zmq", NOT_INSTALLED, remedy=_INSTALL_ZMQ)
    hub = _HUB.format(root=_ROOT, seconds=seconds / 2)
    return diagnose("zmq", ask([sys.executable, "-c", hub], seconds))


def run_hub(seconds: float) -> None:
    """Be the hub of a job of two local processes."""
    logging.disable()  # that ranks end is nothing to tell
    failed = launch([sys.executable, "-c", _JOB.format(root=_ROOT, url="auto", seconds=seconds)], 2)
    sys.exit(failed.status if failed is not None else 0)


def learn_and_exchange(comm: Communicator) -> dict[str, Any]:
    """Be one rank of a check: exchange large parts, then learn a small table with a round every 16 steps.

    Returns
    -------
    dict
        The rank and size, the table's digest, and the seconds per round.

    Raises
    ------
    CommError
        If a part came altered, or as every collective.
    """
    with comm:
        for rank, part in enumerate(comm.allgather(bytes([comm.rank]) * _LARGE)):
            if part != bytes([rank]) * _LARGE:
                raise CommError(f"the part of rank {rank} came altered to rank {comm.rank}")
        model = MDP.garnet(64, 4, branching=3, seed=0)
        agent = QLearner(model, comm=comm, sync_every=16, num_envs=16, seed=0)
        agent.learn(16 * comm.size)  # what is done once is not counted
        started = time.perf_counter()
        agent.learn(_ROUNDS * 16 * comm.size)
        seconds = (time.perf_counter() - started) / _ROUNDS
        return {"rank": comm.rank, "size": comm.size, "digest": agent.table.digest(), "seconds": seconds}


def run_rank(url: str, seconds: float) -> None:
    """Be one rank of a job: print the result as a line of JSON.

    The kernel ends the process after twice *seconds*, also where it hangs in a library.
    """
    signal.alarm(math.ceil(2 * seconds))
    try:
        result = learn_and_exchange(registry.connect(url, 2, seconds)[0])
    except Exception as error:  # whatever it is, it is what is asked for
        result = {"error": f"{type(error).__name__}: {error}"}
    # At once: where nothing is buffered, print writes the end of the line on its own, and other ranks come between.
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    if "error" in result:
        sys.exit(1)


def diagnose(backend: str, answer: Answer) -> Check:
    """Return the result of a backend's check from the answer of its job."""
    results = list(_results(answer.output))
    errors = [result["error"] for result in results if "error" in result]
    if answer.status == 0 and results and not errors:
        return _judge(backend, results)
    known = next((trouble for trouble in _KNOWN if re.search(trouble.pattern, answer.output)), None)
    said = errors[0] if errors else known.problem if known else last_line(answer.output) or "it said nothing"
    started = _STARTED[backend]
    if answer.status is None:
        problem = f"{started.what} did not end in time and was killed: {said}"
        remedy = started.question
    else:
        problem = f"{started.what} ended with status {answer.status}: {said}"
        remedy = ""
    return Check(backend, "failed", problem=problem, remedy=known.remedy if known else remedy)


def _judge(backend: str, results: Sequence[Mapping[str, Any]]) -> Check:
    """Return whether the ranks were two, and agree."""
    sizes = [result["size"] for result in results]
    if sizes != [2, 2]:
        problem = f"two ranks were asked for; what came are runs of size {', '.join(map(str, sizes))}"
        return Check(backend, "failed", problem=problem, remedy=_OTHER_MPI)
    if results[0]["digest"] != results[1]["digest"]:
        return Check(backend, "failed", problem="the two ranks learnt different tables; please report this")
    return Check(backend, "OK", seconds=max(result["seconds"] for result in results))


def _results(output: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of a job's output that `run_rank` printed."""
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue
