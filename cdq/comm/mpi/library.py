"""The MPI library of this process: loading, the check that it fits the launcher, and one lock for its calls."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cdq.comm.launchers import Launch, is_forked, parent_rank, started_by, variables
from cdq.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from types import ModuleType

LOCK = threading.RLock()  # round every MPI call: the library is asked for one caller at a time, of any thread

_INSTALL = (
    "without an MPI on this machine: pip install 'cdq[mpi-local]', which brings one; where the site has its own:"
    " load it, then pip install --no-binary mpi4py 'cdq[mpi]'"
)


def load() -> ModuleType:
    """Return ``mpi4py.MPI``, initialised on first use.

    One thread at a time is all that is asked of MPI: its support of several at once is slow or missing in places.

    Raises
    ------
    BackendUnavailable
        If mpi4py or the library is missing, or the library is not the one of the mpiexec that started the process; if
        MPI is not up, not up any more, or with too low a level of threads; in a process that a rank started.
    """
    _require_rank()
    try:
        import mpi4py

        if "mpi4py.MPI" not in sys.modules:
            mpi4py.rc.thread_level = "serialized"
            mpi4py.rc.errors = "exception"
        with _no_segment_alone():
            from mpi4py import MPI
    except (
        ImportError,
        RuntimeError,
    ) as error:  # RuntimeError: what mpi4py says if it finds no library to load
        raise BackendUnavailable(
            f"communicator 'mpi': {_one_line(error)}; {_INSTALL}{_if_stray()}"
        ) from error
    _require_running(MPI)
    launch = started_by()
    if launch is not None and launch.size > 1 and MPI.COMM_WORLD.Get_size() != launch.size:
        raise BackendUnavailable(_stranger(MPI, launch))
    return MPI


def is_running(mpi: ModuleType) -> bool:
    """Return whether MPI may be called, here and now: it has not been finalised, and this is no fork of its process."""
    return not is_forked() and mpi.Is_initialized() and not mpi.Is_finalized()


def require_no_fork() -> None:
    """Raise `ConfigError` in a fork of a process in which MPI runs: whatever happens then, it ends badly."""
    mpi = sys.modules.get("mpi4py.MPI")
    if is_forked() and mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized():
        raise ConfigError(
            "this process is a fork of an MPI rank whose MPI is up, which MPI does not allow; start the rank's own "
            "processes by multiprocessing.get_context('spawn'), or fork them before the first learner is made"
        )


def _require_rank() -> None:
    """Raise if this process is a child of a rank: MPI would take it for the rank itself, and crash."""
    require_no_fork()
    parent = parent_rank()
    if parent is not None:
        raise BackendUnavailable(
            f"communicator 'mpi': rank {parent.rank} started this process, which is no rank itself; "
            "let it learn alone or with threads (comm='inprocess', or 'auto')"
        )


def _require_running(mpi: ModuleType) -> None:
    if mpi.Is_finalized():
        why = "MPI has been finalised in this process; learn before MPI.Finalize(), or with comm='inprocess'"
    elif not mpi.Is_initialized():
        why = (
            "MPI is not initialised, as mpi4py.rc.initialize is False; call MPI.Init_thread() before the learner is "
            "made, or leave that setting out"
        )
    elif mpi.Query_thread() < mpi.THREAD_SERIALIZED:
        level = "single" if mpi.Query_thread() == mpi.THREAD_SINGLE else "funneled"
        why = (
            f"MPI was initialised for threads on the level {level!r}, and workers are threads, one at a time in MPI; "
            "set mpi4py.rc.thread_level = 'serialized' before MPI is imported, or call "
            "MPI.Init_thread(MPI.THREAD_SERIALIZED)"
        )
    else:
        return
    raise BackendUnavailable(f"communicator 'mpi': {why}")


def _if_stray() -> str:
    """Return what to do where variables of a launcher are there without it."""
    names = variables()
    return f". If no launcher started this process: unset {names}, or give comm='inprocess'" if names else ""


@contextlib.contextmanager
def _no_segment_alone() -> Iterator[None]:
    """Keep Open MPI from making a segment of shared memory where there is one process: it leaves it in /dev/shm.

    Only what mpiexec starts has its segments removed at the end (5.0.11). Later children are to know nothing of this.
    """
    variable = "OMPI_MCA_btl"  # how messages travel; "self" is to the process itself
    alone = started_by() is None and "PMIX_RANK" not in os.environ and variable not in os.environ
    if alone:
        os.environ[variable] = "self"
    try:
        yield
    finally:
        if alone:
            del os.environ[variable]


def _stranger(mpi: ModuleType, launch: Launch) -> str:
    version = mpi.Get_library_version().splitlines()[0].rstrip("\x00 ")
    beside = Path(sys.executable).with_name("mpiexec")
    fits = f"start with {beside}" if beside.exists() else "start with the mpiexec of that library"
    return (
        f"communicator 'mpi': {launch.launcher} started {launch.size} processes, but the MPI library that mpi4py"
        f" loaded is not the one of that launcher and sees {mpi.COMM_WORLD.Get_size()}: it is {version}, from"
        f" {_library_path()}. Either {fits}, or install mpi4py for the launcher's MPI (pip install --force-reinstall"
        f" --no-binary mpi4py mpi4py); with srun, try srun --mpi=pmix{_if_stray()}"
    )


def _library_path() -> str:
    """Return the file that libmpi was loaded from, if the system tells."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return "a place that this system does not tell"
    paths = [line.partition("/")[1] + line.partition("/")[2] for line in lines]
    found = [path for path in paths if Path(path).name.startswith("libmpi")]
    return found[0] if found else "a library linked into mpi4py"


def _one_line(error: BaseException) -> str:
    return ": ".join(str(error).split("\n"))
