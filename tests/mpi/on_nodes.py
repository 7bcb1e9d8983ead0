"""Program of the ranks on several nodes: ``python tests/start.py tests.mpi.on_nodes NAME [ARGUMENT ...]``."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from unittest import mock

import cdq
from cdq.comm.mpi import slices
from cdq.comm.mpi.communicator import MPICommunicator
from tests.mpi import functions
from tests.mpi.functions import AT_ONCE, COMPILED, IN_TURN, PIECES, SHARED, SLICES, Case

CASES = (
    Case("pooled", "float32", dense=True),
    Case("mean"),
    Case(IN_TURN, dense=True),
    Case("pooled", dense=True, overlap=True),
)
# Nodes share no memory.
WAYS = {AT_ONCE: {AT_ONCE}, COMPILED: {AT_ONCE}, SHARED: {SLICES}, PIECES: {SLICES, PIECES}}

TIMES, STEPS, WINDOW = 8, 200_000, 10_000


def say(line: str) -> None:
    """Print a line in one piece, which the others' lines do not fall into."""
    os.write(1, f"{line}\n".encode())


def connect(timeout: float) -> MPICommunicator:
    """Return the communicator of this rank."""
    return MPICommunicator.connect("mpi", MPICommunicator.ranks("mpi", None), timeout)[0]


def learn_all() -> None:
    """Learn all cases in all ways, and print what came of them, and where."""
    for case in CASES:
        for way, taken in WAYS.items():
            with connect(30.0) as comm:
                outcome = functions.learn_on(case, way, comm)
            assert outcome.ways == taken, f"{case} {way}: {outcome.ways}"
            say(f"{socket.gethostname()} {outcome.everything}")


def go_on(timeout: str) -> None:
    """Learn several times, by many messages; say each time that it has, and at the end what."""
    with mock.patch.object(slices, "PIECE", 1 << 12), connect(float(timeout)) as comm:
        agent = long_learner(comm=comm)
        say(f"{socket.gethostname()}: {os.getpid()}")
        for number in range(TIMES):
            agent.learn(STEPS)
            if comm.rank == 0:
                say(f"learnt {number}")
        say(f"digest {agent.table.digest()}")


def long_learner(**how: object) -> cdq.QLearner:
    """Return a learner of a table that is touched all over."""
    model = cdq.MDP.garnet(5000, 4, branching=2, seed=3)
    return cdq.QLearner(model, seed=7, sync_every=WINDOW, num_envs=16, **how)  # type: ignore[arg-type]


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "[0-9]+ ranks on a node", RuntimeWarning)
    {"learn_all": learn_all, "go_on": go_on}[sys.argv[1]](*sys.argv[2:])
