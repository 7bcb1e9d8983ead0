"""Local processes as the ranks of a hub of their own: started together, ended together."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from cdq.comm.registry import VARIABLE
from cdq.comm.rendezvous import SIZE_VARIABLE
from cdq.comm.zmq.address import temporary_address
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.ranks.communicator import RANK_VARIABLE
from cdq.comm.zmq.ranks.relay import RelayMachine
from cdq.errors import ConfigError

_LAST_WORDS = 1.0  # seconds that the others have to say what they lost, when one failed
_GRACE = 3.0  # seconds that processes have to end when they are asked to
_REPORT = 30.0  # seconds that they have where it was a signal that ended the first: they save and report


class Ended(NamedTuple):
    """The rank of a process that ended, and its status: of a signal, 128 and its number, as shells have it."""

    rank: int
    status: int


def launch(command: Sequence[str], size: int) -> Ended | None:
    """Run `size` processes of a command, as the ranks that ``comm="auto"`` finds, until all have ended.

    When one fails the others are ended. SIGINT and SIGTERM are passed on to all; who has not ended a moment after the
    second SIGINT, as it is stopped or in a step that never returns, is killed. Call it from the main thread.

    Parameters
    ----------
    command : sequence of str
        A program and its arguments.
    size : int
        Number of processes.

    Returns
    -------
    Ended or None
        The first that failed, if one did.

    Raises
    ------
    ConfigError
        If there is no such program.
    """
    processes = Processes()
    with temporary_address() as url, _signals_passed_to(processes):
        variables = {**os.environ, VARIABLE: url, SIZE_VARIABLE: str(size)}
        try:
            for rank in range(size):
                processes.start(command, {**variables, RANK_VARIABLE: str(rank)})
            while not processes.have_ended():  # a script may make learners one after another
                with Hub(url, RelayMachine(size, secrets.randbits(63) | 1)) as hub:
                    hub.run(processes.have_ended)
            return processes.failed
        finally:
            processes.kill()


@contextmanager
def _signals_passed_to(processes: Processes) -> Iterator[None]:
    before = {
        number: signal.signal(number, lambda number, frame: processes.pass_on(number))
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) != signal.SIG_IGN  # as for what runs in the background of a script
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Processes:
    """Processes that end together, each in a session of its own with all that it starts.

    Attributes
    ----------
    failed : Ended or None
        The first that failed, if one did.
    """

    def __init__(self) -> None:
        self.failed: Ended | None = None
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._threads: list[threading.Thread] = []
        self._over: queue.SimpleQueue[int] = queue.SimpleQueue()  # ranks, in the order in which they ended
        self._patience = _LAST_WORDS
        self._requests = iter((signal.SIGTERM, signal.SIGKILL))
        self._next_request = math.inf
        self._interrupts = 0
        self._is_starting = False
        self._held_back: list[int] = []  # signals that came while a process was being started

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the next rank; a signal that comes meanwhile is passed on to it too."""
        rank = len(self._threads)
        self._is_starting = True
        try:
            # A session of its own: Ctrl-C comes to this process alone, which passes it on to each once.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )
        except OSError as error:
            raise ConfigError(
                f"cannot start {command[0]}: {error.strerror}; give a script or program"
            ) from None
        else:
            self._running[rank] = process
        finally:
            self._is_starting = False
        held_back, self._held_back = self._held_back, []
        for number in held_back:
            self.pass_on(number)
        self._threads.append(threading.Thread(target=self._watch, args=(rank, process.pid)))
        self._threads[-1].start()

    def _watch(self, rank: int, pid: int) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # its number stays taken until `_bury`
        self._over.put(rank)

    def have_ended(self) -> bool:
        """Take note of processes that ended, and ask the others to end if one failed; return whether all have."""
        while not self._over.empty():
            self._bury(self._over.get())
        if time.monotonic() >= self._next_request:
            self._next_request = time.monotonic() + _GRACE
            self._signal(next(self._requests, signal.SIGKILL))
        return not self._running

    def _bury(self, rank: int) -> None:
        process = self._running.pop(rank)
        _signal_group(process.pid, signal.SIGKILL)  # what it has left behind
        status = process.wait()
        if status != 0 and self.failed is None:
            self.failed = Ended(rank, status if status > 0 else 128 - status)
            self._next_request = min(self._next_request, time.monotonic() + self._patience)

    def pass_on(self, number: int) -> None:
        """Send a signal that came to this process to all, and leave them time for what they do about it."""
        if self._is_starting:
            self._held_back.append(number)
            return
        self._patience = _REPORT
        self._interrupts += number == signal.SIGINT
        self._signal(number if self._interrupts <= 2 else signal.SIGKILL)
        if self._interrupts == 2:
            self._requests = iter((signal.SIGKILL,))
            self._next_request = time.monotonic() + _GRACE

    def _signal(self, number: int) -> None:
        for process in list(self._running.values()):
            _signal_group(process.pid, number)

    def kill(self) -> None:
        """End all that still run, at once."""
        self._signal(signal.SIGKILL)
        for thread in self._threads:
            thread.join()
        self.have_ended()


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)
