"""Workers whose windows are merged while they learn the next one, pair by pair in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.reference.merge import MergedTable, clock_after, log_keeps, merge, phi
from tests.reference.rollout import Learner
from tests.reference.schedules import Law


def rebased(merged: Any, then: Any, now: Any, counts: Any, since: Any, law: Law) -> Any:
    """Return what *now* would be, had it begun at *merged*; flat tables.

    *since* visits under *law* took the pairs from the values *then* and *counts* to the values *now*.
    """
    left = log_keeps(since[None], counts, [law])[0].astype(now.dtype)
    keep = now.dtype.type(1) + left * phi(left)
    with np.errstate(all="ignore"):
        return np.where(since > 0, now + keep * (merged - then), merged)


class Overlapped:
    """Learners with one base. Their `visits` are those of the open window, from the counts that `clock` holds."""

    def __init__(self, learners: Sequence[Learner], rule: str, base: Any) -> None:
        self.learners, self.rule, self.base = learners, rule, base.copy()
        self.clock = np.zeros(base.shape, np.uint32)
        self.visits = np.zeros(base.shape, np.int64)
        for learner in learners:
            learner.values[:] = base

    def hand_over(self) -> None:
        """End the window of every learner; the next goes on from its table."""
        self.then = [learner.values.copy() for learner in self.learners]
        self.brought = [learner.visits.copy() for learner in self.learners]
        for learner in self.learners:
            learner.clock += learner.visits
            learner.visits[:] = 0

    def rebase(self, law: Law, since: Law) -> float:
        """Merge what was handed over, learnt under *law*, below the windows learnt *since*; return the round's mass."""
        merged = self._merge(law)
        came, after = merged.total > 0, clock_after(self.clock.ravel(), merged.gain)
        for learner, then in zip(self.learners, self.then, strict=True):
            flat = learner.values.ravel(), learner.clock.ravel(), learner.visits.ravel()
            moved = rebased(merged.values, then.ravel(), *flat, since)
            learner.values[:] = np.where(came, moved, flat[0]).reshape(self.base.shape)
            learner.clock[:] = np.where(came, after, flat[1]).reshape(self.base.shape)
        self.base[:] = merged.values.reshape(self.base.shape)
        self.clock[:] = after.reshape(self.base.shape)
        self.visits += merged.total.reshape(self.base.shape)
        return merged.mass / 2**20 / int(merged.total.sum()) if came.any() else 0.0

    def _merge(self, law: Law) -> MergedTable:
        values, visits = ([table.ravel() for table in tables] for tables in (self.then, self.brought))
        return merge(
            self.rule, self.base.ravel(), np.array(values), np.array(visits), self.clock.ravel(), law
        )
