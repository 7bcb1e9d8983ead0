from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, settings

import cdq
from tests.mpi import pool

# TensorFlow takes 1.6 GB: `nox -s keras` installs it and runs these tests.
collect_ignore = [] if find_spec("keras") and find_spec("tensorflow") else ["keras"]
# Programs that tests start import the cdq that is tested.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(cdq.__file__).parents[1]), os.environ.get("PYTHONPATH")])
)
os.environ["MPLBACKEND"] = "Agg"  # pictures are compared by their data, and shown to nobody
# Tests, and the programs that they start, hear Ctrl-C also where it was ignored when pytest started (nohup, or the
# background of a script): where this process handles SIGINT, the programs that it starts begin with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile(
    "cdq",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
settings.load_profile("cdq")


@pytest.fixture(autouse=True)
def pictures() -> Iterator[None]:
    """Close the pictures that a test leaves open, where it drew any."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Leave the repository: ``python -c`` would import the cdq there first, which may not be built."""
    os.chdir(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[IO[str], IO[str]] | None]:
    """Open the two files that the processes of pytest-xdist lock: one to be the next, one to run."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield None
        return
    folder = tmp_path_factory.getbasetemp().parent  # that of all processes
    with (folder / "next").open("w") as to_be_next, (folder / "running").open("w") as to_run:
        yield to_be_next, to_run


@pytest.fixture(autouse=True)
def side_by_side(request: pytest.FixtureRequest, locks: tuple[IO[str], IO[str]] | None) -> Iterator[None]:
    """Run tests side by side, but for those that are marked as `alone`."""
    if locks is None:
        yield
        return
    to_be_next, to_run = locks
    alone = request.node.get_closest_marker("alone")
    fcntl.flock(to_be_next, fcntl.LOCK_EX)
    fcntl.flock(to_run, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    fcntl.flock(to_be_next, fcntl.LOCK_UN)
    yield
    fcntl.flock(to_run, fcntl.LOCK_UN)


@pytest.fixture(scope="session", autouse=True)
def mpi_jobs() -> Iterator[None]:
    """End the MPI jobs that tests have started."""
    yield
    pool.close()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory of the user's own whose path leaves room for a socket's address, wherever TMPDIR is."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cdq-") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def levels_of_logging() -> Iterator[None]:
    """Undo what a command sets for its process: commands run in this one."""
    hub = logging.getLogger("cdq.hub")
    before = hub.level
    yield
    hub.setLevel(before)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, or a temporary file where it wrote.

    pyzmq has a thread for memory that it shares with ZeroMQ, one in a process and as long as that.
    """
    before = _threads()
    writes = "tmp_path" in request.fixturenames
    directory: Path | None = request.getfixturevalue("tmp_path") if writes else None
    yield
    deadline = time.monotonic() + 2.0
    while (left := _threads() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"threads left: {left}"
    if directory is not None:
        hidden = [path for path in directory.rglob(".*") if path.is_file()]
        assert not hidden, f"temporary files left: {hidden}"


def _threads() -> set[threading.Thread]:
    """Return the threads that there are, but for pyzmq's own."""
    return {one for one in threading.enumerate() if not type(one).__module__.startswith("zmq.")}
