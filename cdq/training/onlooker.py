"""Onlookers of rounds that are played one after another, and what they are told of them."""

from __future__ import annotations

from typing import Protocol

from cdq.workers import Look, Stretch


class Onlooker(Protocol):
    """Onlooker of rounds, who says beforehand at which of them to look, and reads what was recorded of the others."""

    def look(self) -> Look:
        """Return when to look next."""

    def see(self, stretch: Stretch) -> bool:
        """Take note of rounds that were played; return True if the condition of the goal holds, as a watch does."""


class Nobody:
    """Onlooker of a worker that leaves it to rank 0."""

    def look(self) -> Look:
        """Return that there is no such moment."""
        return Look()

    def see(self, stretch: Stretch) -> bool:
        """Look at nothing."""
        return False


class StretchEnd(Protocol):
    """End of a stretch: how many rounds it had, and where it came to."""

    @property
    def rounds(self) -> int:
        """Rounds that were played."""

    @property
    def steps(self) -> int:
        """Steps of all workers."""

    @property
    def window(self) -> float:
        """Length of the next window."""

    @property
    def asked(self) -> int:
        """Request of a worker to end all: 1 where there was one."""
