"""A process that takes part in a job: ``python -m cdq.job.join URL [SECONDS]``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cdq.comm.zmq.keys import Keys
from cdq.errors import CdqError
from cdq.job.faults import carried, point
from cdq.job.handshake import hello
from cdq.job.job import Known
from cdq.job.member import Member
from cdq.job.membership.connection import Connection
from cdq.job.membership.events import Deliver, Joined, Left
from cdq.job.parent import PARENT, end_with_parent
from cdq.job.tasks import Make, make_nothing
from cdq.training import ProgressBar

# Seconds that a hub may be silent: as long as it takes to start it again.
SILENCE = 120.0


class _Leaving(Exception):
    """A signal asked for it."""


class Departure:
    """Lets SIGTERM and SIGINT end a worker's part: after the window in hand, at once where it only waits."""

    def __init__(self) -> None:
        self.asked = self._waiting = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Note the signals while the context lasts, but one that was ignored when the process started (nohup)."""
        before = {
            number: signal.signal(number, self._ask)
            for number in (signal.SIGTERM, signal.SIGINT)
            if signal.getsignal(number) != signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        if self._waiting:
            raise _Leaving

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal, also one that came before, end what the context waits for: it raises `_Leaving`."""
        try:
            self._waiting = True
            if self.asked:
                raise _Leaving
            yield
        finally:
            self._waiting = False

    def next(self, connection: Connection, look: Callable[[], None]) -> Deliver | Joined | Left | None:
        """Return the next event, None if the worker is to leave; *look* is called while there is none."""
        with suppress(_Leaving), self.at_once():
            return connection.wait(look=look)
        return None


def take_part(
    url: str,
    *,
    timeout: float = SILENCE,
    keys: Keys | None = None,
    progress: ProgressBar | None = None,
    make: Make = make_nothing,
) -> int:
    """Learn for the hub at *url* until its job is done, or a signal asks to leave; from the main thread.

    Parameters
    ----------
    url : str
        Address of the hub: ``zmq+ipc:///PATH``, ``zmq+curve://HOST:PORT`` or ``zmq+tcp://HOST:PORT``.
    timeout : float
        Seconds that the hub may be silent.
    keys : Keys, optional
        Keys for ``zmq+curve``; those of `Keys.find` by default.
    progress : ProgressBar, optional
        Shows how far the job is, from when the hub has answered.
    make : callable, optional
        Makes the environment of a job that has no model, of what the hub says (`cdq.learner.members.task_of`).

    Returns
    -------
    int
        Steps that were learnt here.

    Raises
    ------
    CommError
        If the hub cannot be reached, is silent for too long, or refuses this worker; says why.
    """
    departure, member = Departure(), Member(Known(make=make))
    with departure.heard(), suppress(_Leaving):
        with departure.at_once():
            connection = Connection(url, hello(), timeout=timeout, keys=keys)
        with connection, _shown(progress, member) as look:
            while _learn_on(departure, connection, member, look):
                pass
    return member.learnt


@contextmanager
def _shown(progress: ProgressBar | None, member: Member) -> Iterator[Callable[[], None]]:
    """Show how far the job is while the context lasts; yield what is called for that, ever again."""
    begun = False

    def look() -> None:
        nonlocal begun
        if progress is None or not member.has_joined:
            return
        if not begun:
            begun = True
            progress.on_start(member)
        progress._look(member)

    try:
        yield look
    finally:
        if progress is not None and begun:
            progress.on_end(member)


def _learn_on(departure: Departure, connection: Connection, member: Member, look: Callable[[], None]) -> bool:
    """Take over what happened and bring a window; return whether there is more to do.

    When this returns, the others may still learn: that is when to give back the memory of what came.
    """
    happened = departure.next(connection, look)
    if happened is None or isinstance(happened, Left):
        return False
    if isinstance(happened, Joined):
        member.join(happened.payload)
    else:
        member.settle(happened.payload)
    look()
    point("worker:after_settle")
    if not member.window.sweeps:
        return False
    payload = member.learn()
    if payload is None:
        connection.begin_again()
        return True
    point("worker:before_submit")
    (data,) = carried("worker:submit", payload)
    connection.submit(data, happened.version, bound=member.plays)
    point("worker:after_submit")
    return True


def main() -> None:
    """Take part in the job whose hub the command line names, which may be silent for so many seconds."""
    if PARENT in os.environ:
        end_with_parent(os.environ[PARENT])
    try:
        take_part(sys.argv[1], timeout=float(sys.argv[2]) if len(sys.argv) > 2 else SILENCE)
    except CdqError as error:
        raise SystemExit(f"cdq: {error}") from None


if __name__ == "__main__":
    main()
