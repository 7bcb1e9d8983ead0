"""End of a process with MPI: no rank may wait for one that is lost."""

from __future__ import annotations

import atexit
import ctypes
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from cdq.comm.mpi.library import LOCK, is_running
from cdq.errors import PeerLost

open_ranks: set[Any] = (
    set()
)  # communicators neither closed nor aborted: MPI writes to them while they are open
leaving: list[Callable[[], bool]] = []  # each tells whether its communicator has been freed
kept: list[Any] = []  # what MPI may still read or write: of calls that failed, and so never ended

_PATIENCE = 1.0  # seconds that the end of the program waits for the others to close as well
_GRACE = 2.0  # seconds that a rank leaves others to speak, and to save what they have, before it ends the job
_FORWARDING = (
    0.2  # seconds for mpiexec to pass on what was printed: that of MPICH drops the rest when a job aborts
)

_state = {"installed": False, "waits in vain": False}


def install(mpi: Any) -> None:
    """End the job from now on at an exception that nobody catches, and send the others a notice at this rank's exit."""
    if _state["installed"] or mpi.COMM_WORLD.Get_size() == 1:
        return
    _state["installed"] = True
    previous = sys.excepthook

    def end_the_job(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, PeerLost) and is_running(mpi):
            time.sleep(_GRACE)
        previous(kind, error, trace)
        if is_running(mpi):
            _abort(mpi, 130 if issubclass(kind, KeyboardInterrupt) else 1)

    sys.excepthook = end_the_job
    atexit.register(_at_exit, mpi)


def expect(everybody: bool) -> None:
    """Say whether all ranks were there last time, or some did not come, for whom the end of MPI would wait too."""
    _state["waits in vain"] = not everybody


def tend() -> None:
    """Free the communicators that all their ranks have closed."""
    with LOCK:
        leaving[:] = [freed for freed in leaving if not freed()]


def _at_exit(mpi: Any) -> None:
    if not is_running(mpi):  # the program has ended it, as it may
        return
    # MPI ends when modules are gone, and may take in until then what others send to a communicator that was left open:
    # into memory that would be freed.
    kept.extend(open_ranks)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    for comm in list(open_ranks):
        comm.abort("its program ended without closing the communicator")
    deadline = time.monotonic() + _PATIENCE
    tend()
    while leaving and time.monotonic() < deadline:
        time.sleep(0.001)
        tend()
    if _state["waits in vain"]:
        time.sleep(_GRACE)
        _abort(mpi, 1)


def _abort(mpi: Any, code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(_FORWARDING)
    LOCK.acquire(timeout=1.0)  # another thread may be in MPI for good
    mpi.COMM_WORLD.Abort(code)
