"""Points at which a test makes the hub or a worker fail; where no test does, each costs one look at a variable.

The environment variable CDQ_FAULT names where, when and how: ``hub:after_merge@7:kill`` kills the hub the seventh time
that it is there. ``kill`` is SIGKILL, ``raise`` an `InjectedFault`; ``drop``, ``double`` and ``corrupt`` are for points
at which something is sent, or written, and are done there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import NamedTuple

from cdq.comm.contribution import Received
from cdq.errors import CdqError, ConfigError

VARIABLE = "CDQ_FAULT"
WAYS = ("kill", "raise", "drop", "double", "corrupt")


class InjectedFault(CdqError):
    """A test asked for it."""


class Fault(NamedTuple):
    """Fault to inject: the point, the visit of it, and the way to fail."""

    point: str
    visit: int
    way: str


def parse(text: str) -> Fault | None:
    """Return the fault that *text* describes, None if it is empty.

    Examples
    --------
    >>> parse("hub:after_merge@7:kill")
    Fault(point='hub:after_merge', visit=7, way='kill')
    """
    if not text:
        return None
    where, _, way = text.rpartition(":")
    name, _, visit = where.partition("@")
    if way not in WAYS or not visit.isdecimal():
        raise ConfigError(
            f"{VARIABLE} is {text!r}; write it as POINT@VISIT:WAY, the way one of {', '.join(WAYS)}"
        )
    return Fault(name, int(visit), way)


_fault = parse(os.environ.get(VARIABLE, ""))
_visits = 0


def point(name: str) -> str:
    """Fail here, if that was asked for; return what else was asked for of this point, or nothing."""
    return _visit(name) if _fault is not None else ""


def _visit(name: str) -> str:
    global _visits  # noqa: PLW0603
    if _fault is None or name != _fault.point:
        return ""
    _visits += 1
    if _visits != _fault.visit:
        return ""
    if _fault.way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if _fault.way == "raise":
        raise InjectedFault(f"asked for by {VARIABLE}: {_fault}")
    return _fault.way


def carried(name: str, data: Received) -> Sequence[Received]:
    """Return what of *data* gets through at a point: once, or not at all, or twice, or with a bit of each byte wrong.

    One wrong bit alone may make another contribution that could be: nobody can tell.
    """
    way = point(name)
    if way == "corrupt":
        data = bytes(byte ^ 1 for byte in bytes(data))
    return {"drop": (), "double": (data, data)}.get(way, (data,))
