"""Events and actions of the machines that keep a job's members, and the service that merges for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from cdq.comm.contribution import Received as Payload
from cdq.comm.zmq.events import Tick
from cdq.comm.zmq.wire import Assembled, Body, Kind, Message, Reason


class Arrived(NamedTuple):
    """A message came to the worker."""

    data: Payload | Assembled
    now: float


class Submit(NamedTuple):
    """A contribution, and the version of the table that it was learnt from; *bound* ones are void with the session."""

    payload: Payload
    base: int
    now: float
    bound: bool = False


class Again(NamedTuple):
    """The worker is to begin with what the hub sends it anew: what it had in hand is void."""

    now: float


class Leave(NamedTuple):
    """The worker is to leave in order."""

    now: float


WorkerEvent = Arrived | Tick | Submit | Again | Leave


class Deliver(NamedTuple):
    """The result of the contribution, which is acknowledged, and the version that it leads to."""

    payload: Payload
    version: int


class Joined(NamedTuple):
    """The worker takes part from here on. A submission without an answer is void, or is in this table already.

    Parameters
    ----------
    payload : bytes or memoryview
        Message of the hub's service to the worker.
    uid : int
        The worker's number.
    applied : int
        Number of the last of the worker's contributions that counts, or of a former worker's of the same number.
    version : int
        Version of the table; the base of the next contribution.
    """

    payload: Payload
    uid: int
    applied: int
    version: int


class Failed(NamedTuple):
    """The hub refuses this worker, and says why."""

    reason: Reason
    text: str


class Left(NamedTuple):
    """The hub knows that this worker left, or has ended itself."""


WorkerAction = bytes | memoryview | Message | Deliver | Joined | Failed | Left  # the first three: to be sent


class Submission(NamedTuple):
    """A contribution as the service gets it.

    Parameters
    ----------
    payload : bytes or memoryview
        The contribution, as the worker submitted it.
    sequence : int
        Number of the contribution among this worker's, from 1 without a gap.
    base : int
        Version of the table that it was learnt from.
    """

    payload: Payload
    sequence: int
    base: int


class Refused(Exception):
    """Raised by a service to keep a worker or a contribution out; the text is for its user."""


class Service(Protocol):
    """Part of a hub that gives contributions their meaning: it checks, applies and answers them.

    Attributes
    ----------
    finished : bool
        True if there is nothing more to do: the hub ends when all members left, or after the grace.
    """

    finished: bool

    @property
    def together(self) -> int:
        """Number of members that do their work together, so that all of them must deliver, and the same; 0 for none."""

    def admit(self, hello: bytes, /) -> str:
        """Look at what a worker says of itself, as soon as it comes; raise `Refused` if it cannot take part.

        Returns the name of its machine, as it says; empty where it does not.
        """

    def welcome(self, uid: int, members: Collection[int], /) -> bytes:
        """Return what a worker needs to begin, or begin again, in the round that is open, with its members."""

    def limit(self, uid: int, /) -> int:
        """Return the most bytes that a contribution of this worker can have now."""

    def check(self, uid: int, submission: Submission, /) -> str | None:
        """Return why a contribution is not right, None if it is."""

    def agree(self, submissions: Mapping[int, Submission], /) -> bool:
        """Return whether members that do their work together deliver the same."""

    def break_up(self) -> None:
        """Let members do their work together no more: all begin with the last round again."""

    def close_round(
        self, members: Sequence[int], submissions: Mapping[int, Submission], state: Callable[[], HubState], /
    ) -> Mapping[int, Body]:
        """Apply a round, make it durable, and return each contributor's result, which acknowledges it.

        Parameters
        ----------
        members : sequence of int
            The members of the next round, in order.
        submissions : mapping of int to Submission
            The contributions, in order of the workers' numbers.
        state : callable
            Returns what the machine needs to be restored as it is after this round.
        """

    def single(self, uid: int, submission: Submission, state: Callable[[], HubState], /) -> Payload:
        """Apply one contribution (asynchronous mode) as `close_round` does; raise `Refused` if it is too old."""

    def status(self) -> dict[str, Any]:
        """Return the public state of the job for `cdq status`; can be written as JSON."""

    def picture(self) -> dict[str, Any]:
        """Return curves and table of the job for `cdq watch`; can be written as JSON."""


PICTURE = b"picture"  # what a request for the status says that wants the picture, too
SHORT: dict[int, int] = {Kind.STATUS: len(PICTURE)}  # most bytes that these kinds of frames say to a hub
HubState = dict[str, Any]  # what a hub's machine is restored from; can be written as JSON


@dataclass(frozen=True)
class HubSettings:
    """Rules by which a hub keeps its rounds.

    Parameters
    ----------
    min_members : int
        Number of contributions that a round needs.
    max_members : int
        Most workers that may take part at once. As many as `min_members`: a fixed size.
    round_timeout : float or None
        Seconds after which a round closes without those that have not delivered, if enough have; None: never.
    grace : float
        Seconds that a member may be unreachable before the round closes without it.
    ping_interval : float
        Seconds of silence after which the hub tries whether a member can be reached.
    resend : float
        Seconds before the same large answer is sent again by the same connection.
    asynchronous : bool
        Apply each contribution when it comes: there are no rounds.
    name_of : callable
        Returns the name of a public key, for the status; empty where it has none.
    numbers : int or None
        Numbers that workers may have, from 0, where each has work of its own; None: any.
    """

    min_members: int = 1
    max_members: int = 1 << 16
    round_timeout: float | None = None
    grace: float = 5.0
    ping_interval: float = 0.5
    resend: float = 2.0
    asynchronous: bool = False
    name_of: Callable[[str], str] = lambda key: ""
    numbers: int | None = None
