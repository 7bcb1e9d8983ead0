"""Workers that differ: each with schedules of its own, and rounds of which some of them are no part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cdq.core.table.rows import Law
from cdq.schedules import ClockLaw, Federation, Part, Rate, StepSize
from cdq.workers import Apart, Step


@dataclass(frozen=True)
class Cohort:
    """Workers of a run that differ, the same on every rank.

    Parameters
    ----------
    exploration, step_size : sequence
        Schedules of the workers, in rank order; empty where all have the common one.
    federation : Federation, optional
        Conditions of federated learning.
    seed, session : int
        Seed of the run, and number of its restarts, from which draws follow.
    """

    exploration: Sequence[Rate]
    step_size: Sequence[StepSize]
    federation: Federation | None
    seed: int
    session: int

    def learners(self, size: int) -> int:
        """Return how many of so many workers learn in a round."""
        return size if self.federation is None else self.federation.learners(size)


class Member:
    """A worker of a cohort.

    Parameters
    ----------
    cohort : Cohort
        Workers of the run.
    rank, size : int
        Number of the worker, and of all.
    law_of : callable
        Returns the law of a step size after so many steps.
    """

    def __init__(self, cohort: Cohort, rank: int, size: int, law_of: Callable[[StepSize, int], Law]) -> None:
        self._cohort, self._rank, self._size, self._law_of = cohort, rank, size, law_of
        self._laws = [law_of(one, 0) for one in cohort.step_size]
        federation = cohort.federation
        self._added = 0.0 if federation is None else federation.corrupted.get(rank, 0.0)

    def step(self, common: Step, before: int, after: int) -> Step:
        """Return the window of this worker where *common* is that of all, from *before* to *after* steps."""
        cohort, rank = self._cohort, self._rank
        parts = self._parts(before)
        for place, one in enumerate(cohort.step_size):
            if not isinstance(one, ClockLaw):
                self._laws[place] = self._law_of(one, before)
        laws = self._laws or [common.law] * self._size
        arriving = [law if part.arrives else None for law, part in zip(laws, parts, strict=True)]
        rates = common.rates
        if cohort.exploration:
            rates = (cohort.exploration[rank].at(before), cohort.exploration[rank].at(after))
        apart = Apart(common.law, arriving, parts[rank].arrives, self._added)
        return Step(laws[rank], common.sweeps if parts[rank].learns else 0, rates, apart)

    def _parts(self, steps: int) -> list[Part]:
        cohort = self._cohort
        if cohort.federation is None:
            return [Part(learns=True, arrives=True)] * self._size
        return cohort.federation.parts(cohort.seed, cohort.session, steps, self._size)
