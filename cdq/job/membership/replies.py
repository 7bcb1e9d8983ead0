"""Replies of a hub: messages and notes to the log, as actions in the order in which they are to be taken."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from cdq.comm.zmq.events import HubAction, Note, Send
from cdq.comm.zmq.wire import Body, Frame, Reason, Rejected, outgoing
from cdq.job.membership.fence import answer_to


class Replies:
    """Actions that a hub's machine asks for while it takes in an event.

    Attributes
    ----------
    counts : Counter
        Frames and bytes received, frames refused by reason, contributions applied, sessions, evictions.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._actions: list[HubAction] = []

    def take(self) -> list[HubAction]:
        """Return the actions, and forget them: what is in them may be large."""
        actions, self._actions = self._actions, []
        return actions

    def add(self, action: HubAction) -> None:
        """Ask for an action."""
        self._actions.append(action)

    def send(self, route: bytes, frame: Frame, body: Body | None = None) -> None:
        """Send a frame by a connection; *body* is its payload where it has none."""
        self.add(Send(route, outgoing(frame, body)))

    def note(self, level: int, text: str, **fields: Any) -> None:
        """Write to the log."""
        self.add(Note(level, text, fields))

    def refuse(self, rejected: Rejected, route: bytes, run: int, generation: int) -> None:
        """Count a frame as refused, and answer what can be answered."""
        if rejected.reason != Reason.WAIT:
            self.count_refused(rejected.reason.name)
        if (answer := answer_to(rejected, run, generation)) is not None:
            self.send(route, answer)

    def count_refused(self, why: str) -> None:
        """Count a refused frame or notice, and write it to the log ever more seldom."""
        self.counts[f"refused {why}"] += 1
        if (count := self.counts[f"refused {why}"]).bit_count() == 1:
            self.note(logging.WARNING, "refused", reason=why, count=count)
