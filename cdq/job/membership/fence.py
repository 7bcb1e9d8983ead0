"""Check of frames: those of a session pass, with what the service takes; some refusals are answered."""

from __future__ import annotations

from cdq.comm.zmq.events import HELLO_LIMIT, TOKEN_BYTES
from cdq.comm.zmq.wire import Frame, Kind, Reason, Rejected, pack_reason
from cdq.job.membership.events import SHORT, Refused, Service, Submission
from cdq.job.membership.roster import Peer

# Those that the sender can do something about; what cannot have been sent by a worker of ours is only counted.
_ANSWERED = frozenset(
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


def accept(service: Service, frame: Frame, peer: Peer | None, run: int, generation: int) -> None:
    """Refuse, before its payload is read, a frame that is too long or not of the connection's session."""
    fence(frame, peer, run, generation)
    limit = service.limit(frame.uid) if frame.kind == Kind.CONTRIB else SHORT.get(frame.kind, 0)
    if frame.kind != Kind.HELLO and len(frame.payload) > limit:
        raise Rejected(Reason.TOO_LONG, frame, "the contribution is longer than the job allows")


def fence(frame: Frame, peer: Peer | None, run: int, generation: int) -> None:
    """Raise `Rejected` for what does not belong to the session of the worker behind the connection."""
    if frame.kind == Kind.STATUS:
        return
    if frame.kind == Kind.HELLO:
        if not TOKEN_BYTES <= len(frame.payload) <= HELLO_LIMIT:
            raise Rejected(Reason.TOO_LONG, frame)
        return
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


def admit(service: Service, frame: Frame) -> str:
    """Return the name of a worker's machine; raise `Rejected` for a HELLO whose worker cannot take part."""
    try:
        return service.admit(bytes(frame.payload[TOKEN_BYTES:]))
    except Refused as refused:
        raise Rejected(Reason.REFUSED, frame, str(refused)) from None
    except Exception as error:  # whatever a stranger says does not end the hub
        raise Rejected(Reason.REFUSED, frame, f"the greeting cannot be read: {error!r}") from None


def check(service: Service, uid: int, submission: Submission, frame: Frame) -> None:
    """Raise `Rejected` for a contribution that is not right.

    Where members do their work together, any of them may have spoilt it: its sender begins again, with the others.
    """
    try:
        wrong = service.check(uid, submission)
    except Exception as error:  # as for `admit`
        wrong = f"the contribution cannot be read: {error!r}"
    if wrong is not None:
        raise Rejected(Reason.STALE if service.together else Reason.CONTENT, frame, wrong)


def answer_to(rejected: Rejected, run: int, generation: int) -> Frame | None:
    """Return the answer to the sender of a refused frame; None: no answer."""
    reason, frame = rejected.reason, rejected.frame
    if reason == Reason.SESSION:
        return Frame(Kind.WHO, run, generation)
    if frame is None or reason not in _ANSWERED:
        return None
    return frame._replace(kind=Kind.NACK, run=run, payload=pack_reason(reason, str(rejected)))
