"""Local workers: processes that a call of `learn` starts, and that end with it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cdq.comm.zmq.address import temporary_address
from cdq.comm.zmq.hub import Hub
from cdq.errors import PeerLost
from cdq.job.hub import Hosting, ending, host, limits, run, service_of, write_checkpoint
from cdq.job.membership.events import HubSettings
from cdq.job.membership.hub_machine import HubMachine
from cdq.job.parent import PARENT
from cdq.job.service import Record
from cdq.training import Ended, LearnCall

JOIN = ("-m", "cdq.job.join")
# Seconds that workers whose job is done have to end by themselves.
_GOOD_BYE = 5.0
# Seconds that the hub may be busy with something else, such as a measurement; that it ended is seen at once.
_SILENCE = 3600


def learn(call: LearnCall, hosting: Hosting | None, show: Callable[[], None]) -> Ended:
    """Learn with workers that join, where a hub is open to them, else with processes of our own."""
    return learn_locally(call, show) if hosting is None else host(call, hosting, show)


def learn_locally(call: LearnCall, show: Callable[[], None]) -> Ended:
    """Learn with as many processes as the call has workers, until its goal is reached.

    Raises
    ------
    PeerLost
        If one of them ends before; the table is that of the last whole round.
    """
    workers = call.settings.workers
    record = Record(write_checkpoint=partial(write_checkpoint, call) if call.state.goal.keep_every else None)
    service = service_of(call, record=record)
    call.callbacks.begin()
    if service.finished:
        return service.ended
    settings = HubSettings(min_members=workers, max_members=workers)
    machine = HubMachine(service, settings, secrets.randbits(63) + 1, now=time.monotonic())
    with (
        temporary_address() as url,
        Hub(url, machine, limit=limits(call)[0]) as hub,
        ending(service),
        processes([[*JOIN, hub.url, str(_SILENCE)]] * workers) as started,
    ):
        run(hub, machine, call, show, lambda: None if service.finished else require_alive(started))
        until = time.monotonic() + (_GOOD_BYE if service.finished else 0.0)
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
    return service.ended


@contextlib.contextmanager
def processes(
    programs: Sequence[Sequence[str]], inputs: Sequence[Any] | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start a Python for each of *programs*, its arguments; they end with the context, whatever happens.

    *inputs* are their standard inputs, by default nothing.
    """
    package = str(Path(__file__).parents[2])
    # They can import the modules that this process can, from sys.path; its empty entry is this directory.
    path = [package, *(os.path.abspath(entry) for entry in sys.path)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        PARENT: str(os.getpid()),
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, program in enumerate(programs):
            started.append(
                # There, as -m looks for cdq in the working directory first, which may be a copy that is not built.
                subprocess.Popen(
                    [sys.executable, *program],
                    cwd=package,
                    env=environment,
                    stdin=subprocess.DEVNULL if inputs is None else inputs[number],
                    start_new_session=True,
                )
            )
        yield started
    finally:
        for process in started:
            _kill(process)
        for process in started:
            process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that has not ended, and what it has started in its session."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def require_alive(started: Sequence[subprocess.Popen[bytes]]) -> None:
    """Raise `PeerLost` if a worker has ended, and say how."""
    for number, process in enumerate(started):
        status = process.poll()
        if status is not None:
            how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            raise PeerLost(
                f"worker {number} of {len(started)} (process {process.pid}) ended {how}; "
                "learn may be called again, from the last whole round",
                [number],
            )
