"""Ranks whose launcher starts no relay: rank 0 hosts it in a thread of its own, and the others find it there."""

from __future__ import annotations

import atexit
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence

from cdq.comm.base import Communicator
from cdq.comm.rendezvous import PORT_VARIABLE, Meeting
from cdq.comm.zmq import keys
from cdq.comm.zmq.address import CURVE, TCP, Address, is_loopback, needs_ipv6, parse
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.link import Link
from cdq.comm.zmq.ranks.greeting import Whole, join
from cdq.comm.zmq.ranks.relay import RelayMachine
from cdq.errors import CommTimeout, ConfigError, PeerLost

_GRACE = 5.0  # seconds that the relay stays for the others when rank 0 has left
_PAUSE = 0.2  # seconds between two tries
_HOST = "rank 0, which hosts the relay,"


class HostedRelay:
    """A relay in a thread of this process, which is rank 0.

    Parameters
    ----------
    address : Address
        Place to bind.
    size : int
        Number of ranks.

    Attributes
    ----------
    machine : RelayMachine
        The machine that decides everything; its thread is the relay's.
    owner : callable
        Weak reference to the communicator of rank 0.

    Raises
    ------
    ConfigError
        If the address is taken or not safe.
    """

    def __init__(self, address: Address, size: int) -> None:
        self.machine = RelayMachine(size, secrets.randbits(63) | 1)
        self.owner: Callable[[], Communicator | None] = lambda: None
        self._hub = Hub(str(address), self.machine)
        self._until = math.inf
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="cdq relay", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._hub:
            self._hub.run(lambda: time.monotonic() >= self._until)

    def release(self, grace: float = _GRACE) -> None:
        """Let the relay end when all ranks have left, or after a while; does not wait."""
        self._until = min(self._until, time.monotonic() + grace)

    def end(self, grace: float = _GRACE) -> None:
        """Let rank 0 leave, and wait for the relay's end."""
        if self._process != os.getpid():
            return  # a fork has no such thread
        owner = self.owner()
        if owner is not None:
            owner.close()
        self.release(grace)
        self._thread.join()


_hosted: list[HostedRelay] = []  # the latest


@atexit.register
def _end_hosted() -> None:
    for relay in _hosted:
        relay.end()


def place(meeting: Meeting) -> tuple[Address, Address]:
    """Return the address that rank 0 binds, and the one where this process reaches it.

    All is encrypted where ``CDQ_KEYS`` is set. Without, ranks are on one machine.

    Raises
    ------
    ConfigError
        If the host is none, or is another machine and there are no keys of the job.
    """
    host = meeting.host or "127.0.0.1"
    try:
        there = parse(f"{TCP}://{host}:{meeting.port}")
    except ConfigError:
        raise ConfigError(
            f"{meeting.launcher}: rank 0 is at {host[:80]!r}, which is no name or address of a machine"
        ) from None
    if not os.environ.get(keys.VARIABLE):
        if not meeting.host or not is_loopback(there):
            raise ConfigError(
                f"{meeting.launcher} started {meeting.size} processes, and those of other machines reach rank 0 "
                f"{'at ' + meeting.host if meeting.host else 'by the network'}: that needs keys of the job. Make them "
                "once (cdq keygen --job DIR), bring DIR to all machines, and set CDQ_KEYS=DIR in all processes"
            )
        return there, there
    keys.Keys.find().require_job()
    there = there._replace(scheme=CURVE)
    if meeting.rank > 0:
        return there, there
    everywhere, here = ("[::]", "[::1]") if needs_ipv6(there) else ("*", "127.0.0.1")
    return (
        Address(CURVE, f"{everywhere}:{meeting.port}"),
        Address(CURVE, f"{here}:{meeting.port}"),
    )


def meet(meeting: Meeting, timeout: float) -> tuple[Link, Whole, HostedRelay | None]:
    """Return the link to the relay, this process's rank, and the relay where this process hosts it, once all have come.

    Raises
    ------
    ConfigError
        If the variables, the keys or the place are wrong, or the relay refuses this rank.
    CommTimeout
        If not all ranks come within *timeout* seconds.
    """
    bound, there = place(meeting)
    if meeting.rank > 0:
        return *_visit(meeting, there, time.monotonic() + timeout, timeout), None
    relay = _host(meeting, bound)
    try:
        link = Link(there, timeout)
        return link, join(link, 0, meeting.size, time.monotonic() + timeout, timeout), relay
    except BaseException as error:
        missing, refused = relay.machine.missing(), relay.machine.turned_away
        relay.end(0.0)
        if not isinstance(error, CommTimeout):
            raise
        raise CommTimeout(_who_is_missing(meeting, missing, refused, timeout), missing) from None


def _host(meeting: Meeting, address: Address) -> HostedRelay:
    """Host the relay; the one before ends first."""
    while _hosted:
        owner = _hosted[-1].owner()
        if owner is not None and not owner._unusable:
            raise ConfigError(
                f"{meeting.launcher}: this process takes part already; use that communicator, or close it first"
            )
        _hosted.pop().end()
    try:
        _hosted.append(HostedRelay(address, meeting.size))
    except ConfigError as error:
        raise ConfigError(
            f"{meeting.launcher}: rank 0 of {meeting.size} hosts the relay, and {error} Or have two processes rank 0? "
            f"{PORT_VARIABLE}=PORT, the same in all processes, is another port"
        ) from None
    return _hosted[-1]


def _visit(meeting: Meeting, address: Address, deadline: float, timeout: float) -> tuple[Link, Whole]:
    """Join the relay that rank 0 hosts, as often as it must be tried until the deadline."""
    here = f"this process is rank {meeting.rank} of {meeting.size}, by {meeting.launcher}"
    while True:
        try:
            link = Link(address, max(deadline - time.monotonic(), _PAUSE), hub=_HOST)
            return link, join(link, meeting.rank, meeting.size, deadline, timeout)
        except ConfigError as error:
            raise ConfigError(f"{address}: {error} ({here})") from None
        except (CommTimeout, PeerLost) as error:  # lost: rank 0 ended, and another may follow
            if time.monotonic() >= deadline:
                raise CommTimeout(f"{error}; {here}, and rank 0 hosts the relay: did all start?") from None
        time.sleep(_PAUSE)


def _who_is_missing(meeting: Meeting, missing: Sequence[int], refused: str, timeout: float) -> str:
    names = f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing[:8]))}"
    more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
    told = f"; refused: {refused}" if refused else ""
    return (
        f"{meeting.launcher}: {names}{more} of {meeting.size} did not come to port {meeting.port} of rank 0 within "
        f"{timeout:g} s{told}"
    )
