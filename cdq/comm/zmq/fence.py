"""Which frames belong to a session, and which refusals are answered."""

from __future__ import annotations

from cdq.comm.zmq.roster import Peer
from cdq.comm.zmq.wire import Frame, Kind, Reason, Rejected

# Those that the sender can do something about; what cannot have been sent by a worker of ours is only counted.
ANSWERED = frozenset(
    {
        Reason.VERSION,
        Reason.RUN,
        Reason.STALE,
        Reason.TOO_LONG,
        Reason.GAP,
        Reason.CONTENT,
        Reason.REFUSED,
        Reason.REPLACED,
        Reason.WAIT,
    }
)
_OF_A_SESSION = frozenset({Kind.CONTRIB, Kind.PING, Kind.PONG, Kind.BYE})


def fence(frame: Frame, peer: Peer | None, run: int, generation: int) -> None:
    """Raise `Rejected` for what does not belong to the session of the worker behind the connection."""
    if frame.kind not in _OF_A_SESSION:
        raise Rejected(Reason.KIND, frame)
    if peer is None:
        raise Rejected(Reason.SESSION, frame)
    if frame.kind == Kind.BYE and not peer.incarnation:  # it only waits, and has no session yet
        return
    if frame.run not in {0, run}:
        raise Rejected(Reason.RUN, frame, "this hub has another job")
    if frame.uid != peer.uid and frame.incarnation == peer.incarnation:
        raise Rejected(Reason.FOREIGN, frame)
    session = (frame.uid, frame.generation, frame.incarnation)
    if not peer.incarnation or session != (peer.uid, generation, peer.incarnation):
        raise Rejected(Reason.STALE, frame)
