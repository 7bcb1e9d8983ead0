"""Shell of the worker: a socket and the clock around a machine that decides everything; and a hub's status."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cdq.comm.base import checked_timeout
from cdq.comm.contribution import Received
from cdq.comm.zmq.address import parse
from cdq.comm.zmq.events import TOKEN_BYTES, Tick
from cdq.comm.zmq.keys import Keys
from cdq.comm.zmq.link import Link
from cdq.comm.zmq.wire import Assembled, Frame, Kind, Message, Rejected, decode, encode
from cdq.errors import CommClosed, CommError, CommTimeout
from cdq.job.membership.events import (
    PICTURE,
    Again,
    Arrived,
    Deliver,
    Failed,
    Joined,
    Leave,
    Left,
    Submit,
    WorkerEvent,
)
from cdq.job.membership.worker_machine import Phase, WorkerMachine

if TYPE_CHECKING:
    from typing_extensions import Self

_TICK = 0.05  # seconds
_FAREWELL = 1.0  # seconds to leave in order


class Connection:
    """Takes part in the job of a hub, over whatever happens to the hub and the network.

    Used by the thread that made it, in the process that made it.

    Parameters
    ----------
    url : str
        Address of the hub: ``zmq+ipc:///PATH``, ``zmq+curve://HOST:PORT`` or ``zmq+tcp://HOST:PORT``.
    hello : bytes
        Description of the worker, for the hub's service.
    timeout : float
        Seconds to reach the hub within, and then that it may be silent while this worker waits for it.
    keys : Keys, optional
        Keys for ``zmq+curve``; those of `Keys.find` by default.

    Raises
    ------
    CommTimeout
        If the hub cannot be reached.
    ConfigError
        If the address is none, or keys are missing.
    """

    def __init__(self, url: str, hello: bytes, *, timeout: float = 30.0, keys: Keys | None = None) -> None:
        self.url = url
        self.timeout = checked_timeout(timeout)
        self._owner = os.getpid(), threading.get_ident()
        token = secrets.token_bytes(TOKEN_BYTES)
        self._machine = WorkerMachine(hello, token, seed=int.from_bytes(token, "little"))
        self._happened: deque[Deliver | Joined | Left | Failed] = deque()
        self._link = Link(parse(url), timeout, keys)
        self._heard = time.monotonic()
        self._closed = False
        self._step(Tick(self._heard))

    def submit(self, payload: Received, base: int, *, bound: bool = False) -> None:
        """Hand in a contribution, learnt from version `base` of the table; `wait` then gives the result.

        It is void with the session where it is *bound* to that: another start of the hub does not get it.
        One at a time: raises `CommClosed` if the one before is not answered.
        """
        self._check_usable()
        self._step(Submit(payload, base, time.monotonic(), bound))

    def begin_again(self) -> None:
        """Ask the hub where to begin: `wait` then gives that, and what was in hand is void."""
        self._check_usable()
        self._step(Again(time.monotonic()))

    def wait(
        self, timeout: float | None = None, look: Callable[[], None] = lambda: None
    ) -> Deliver | Joined | Left | None:
        """Return the next event, or None if there is none within `timeout` seconds; `look` is called now and then.

        Returns
        -------
        Deliver, Joined, Left or None
            Result of the contribution; or the table to begin from (at first, and whenever submitted or later work
            is void); or the end of the hub.

        Raises
        ------
        CommTimeout
            If the hub is silent for too long.
        CommError
            If the hub refuses this worker; the message says why.
        """
        self._check_usable()
        self._heard = began = time.monotonic()
        while not self._happened:
            now = time.monotonic()
            if timeout is not None and now - began >= timeout:
                return None
            if now - self._heard >= self.timeout:
                raise CommTimeout(
                    f"{self.url}: the hub has been silent for {self.timeout:g} s; is it running?"
                )
            self._turn(_TICK if timeout is None else min(_TICK, began + timeout - now))
            look()
        happened = self._happened.popleft()
        if isinstance(happened, Failed):
            raise CommError(f"{self.url}: {happened.text or happened.reason.name}")
        return happened

    def _turn(self, wait: float) -> None:
        """Take in a message, or that a little time went by."""
        data = self._link.receive(time.monotonic() + wait)
        if data is not None:
            self._heard = time.monotonic()
            self._step(Arrived(data, self._heard))
        elif self._link.is_receiving:
            self._heard = time.monotonic()  # nothing is asked for again that is on its way
        else:
            self._step(Tick(time.monotonic()))

    def _step(self, event: WorkerEvent) -> None:
        for action in self._machine.step(event):
            if isinstance(action, (bytes, memoryview, Message)):
                self._link.offer(action)  # where it is lost, the machine sends it again
            else:
                self._happened.append(action)

    def _check_usable(self) -> None:
        if self._closed:
            raise CommClosed(f"the connection to {self.url} is closed; connect again")
        if self._owner != (os.getpid(), threading.get_ident()):
            raise CommClosed(f"the connection to {self.url} belongs to another thread or process")

    def close(self) -> None:
        """Leave in order, within a second; any number of times."""
        if self._closed:
            return
        self._check_usable()
        self._closed = True
        until = time.monotonic() + _FAREWELL
        self._step(Leave(time.monotonic()))
        while time.monotonic() < until and self._machine.phase is not Phase.ENDED:
            self._turn(_TICK)
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def status(
    url: str, timeout: float = 10.0, keys: Keys | None = None, *, picture: bool = False
) -> dict[str, Any]:
    """Return the public state of a hub.

    Parameters
    ----------
    url : str
        Address of the hub.
    timeout : float
        Seconds within which the hub must answer.
    keys : Keys, optional
        Keys for ``zmq+curve``; those of `Keys.find` by default.
    picture : bool
        Ask for curves and table, too, under "picture".

    Raises
    ------
    CommTimeout
        If it does not answer.
    """
    deadline = time.monotonic() + checked_timeout(timeout)
    link = Link(parse(url), timeout, keys)
    try:
        link.send(encode(Frame(Kind.STATUS, payload=PICTURE if picture else b"")))
        while (data := link.receive(deadline)) is not None or time.monotonic() < deadline:
            frame = _frame(url, data) if data is not None else None
            if frame is not None and frame.kind == Kind.STATUS_REPLY:
                return _told(url, frame)
    finally:
        link.close()
    raise CommTimeout(f"{url}: the hub does not answer within {timeout:g} s")


def _frame(url: str, data: Received | Assembled) -> Frame:
    try:
        return decode(data)
    except Rejected as rejected:
        raise CommError(f"{url}: what answers is no hub of cdq: {rejected}") from None


def _told(url: str, frame: Frame) -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(bytes(frame.payload))
        if isinstance(told, dict):
            return told
    raise CommError(f"{url}: what the hub tells of itself cannot be read; use the same cdq")
