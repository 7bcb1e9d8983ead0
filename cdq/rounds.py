"""One round as a transaction: contribution, communicator, staged table, agreement, swap; and how long windows are."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from cdq._arguments import real, shown, whole
from cdq.comm.base import Communicator
from cdq.core import merge as _core
from cdq.core.rows import Law
from cdq.errors import ConfigError
from cdq.worker import Merged, Worker, rows_over, table_bytes

# Visit counts of a window are 32-bit, also summed over workers.
LONGEST_WINDOW = 2**24
# An automatic window costs nothing measurable to end at this length, and somebody may be waiting for it.
_LONGEST_AUTOMATIC = 2**20
_EXTENT = struct.Struct("<qq")  # touched pairs, bytes of the merged part
SUMMARY = struct.Struct("<qqdqq")

# What a worker asks of all: to go on, to end before the window that it contributes, or after it.
GO_ON, STOP_BEFORE, STOP_AFTER = 0, 1, 2

Rule = str | Callable[..., None]


class Summary(NamedTuple):
    """What travels with a contribution: ended episodes, payload bytes sent so far, and whether all should stop."""

    episodes: int
    length_sum: int
    return_sum: float
    bytes_sent: int
    request: int


class Interrupted(Exception):
    """The stop flag ended a window early."""


@dataclass(frozen=True)
class AutoWindow:
    """Chooses each window from merged data, so that a round's pooled mass stays near *mass*.

    A round contracts the error like exp(-(1 - gamma) mass) only while its mass, the sum of the step sizes that all
    workers spent on a pair, is small; what goes beyond about 1 is spent on variance. After each round the window is
    multiplied by mass / (visit-weighted mean mass of the round), at least 1/2 and at most 2. As step sizes fall,
    windows grow: rounds grow like the logarithm of the steps.

    Parameters
    ----------
    mass : float
        Above 0.
    floor : int
        The shortest window, in steps per worker: what keeps merging cheap where a step takes nanoseconds. A higher
        floor than the mass asks for makes small tables learn worse with more workers, not better.

    Examples
    --------
    >>> AutoWindow(mass=0.3, floor=1000).next(2000.0, 0.6)
    1000.0
    """

    mass: float = 0.3
    floor: int = 500

    def __post_init__(self) -> None:
        mass = real("mass of AutoWindow", self.mass, "above 0 and finite", math.nextafter(0.0, 1.0))
        object.__setattr__(self, "mass", mass)
        object.__setattr__(self, "floor", whole("floor of AutoWindow", self.floor, 1, LONGEST_WINDOW))

    def next(self, window: float, mass: float) -> float:
        """Return the window after one of *window* steps whose round had the pooled *mass*."""
        factor = min(max(self.mass / mass, 0.5), 2.0) if mass > 0 else 2.0
        return min(max(window * factor, float(self.floor)), float(max(self.floor, _LONGEST_AUTOMATIC)))


@dataclass(frozen=True)
class FixedWindow:
    """Windows of the same length."""

    steps: int
    mass: float = 0.3

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("sync_every", self.steps, 1, LONGEST_WINDOW))
        mass = real("mass of FixedWindow", self.mass, "above 0 and finite", math.nextafter(0.0, 1.0))
        object.__setattr__(self, "mass", mass)

    @property
    def floor(self) -> int:
        """The length of the first window."""
        return self.steps

    def next(self, window: float, mass: float) -> float:
        """Return the length of the next window."""
        return window


Window = AutoWindow | FixedWindow


def as_window(sync_every: str | int | Window) -> Window:
    """Return *sync_every* as a window: "auto", a number of steps per worker, or an `AutoWindow`.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if isinstance(sync_every, str) and sync_every == "auto":
        return AutoWindow()
    if isinstance(sync_every, (AutoWindow, FixedWindow)):
        return sync_every
    if isinstance(sync_every, Real) and not isinstance(sync_every, bool):
        return FixedWindow(whole("sync_every", sync_every, 1, LONGEST_WINDOW))
    raise ConfigError(
        f"sync_every is {shown(sync_every)}; allowed: 'auto', a number of steps or cdq.AutoWindow(...)"
    )


class Peer:
    """A worker whose table is in memory that processes share, as the others read it.

    Parameters
    ----------
    memory : memoryview
        Of `peer_bytes`: the table, then room for the merged part.
    merged : Merged
        What all workers start from.
    """

    def __init__(self, memory: memoryview, merged: Merged) -> None:
        self.rows = rows_over(np.frombuffer(memory, np.uint8), merged)
        self.room = memory[table_bytes(merged) :]
        self.merged = self.room[:0]
        self.summary: Summary

    def read(self, description: Any) -> None:
        """Take over what the worker's process says: how much it touched, the size of its merged part, its summary."""
        self.rows.touched, merged_bytes = _EXTENT.unpack_from(description)
        self.merged = self.room[:merged_bytes]
        self.summary = Summary(*SUMMARY.unpack_from(description, _EXTENT.size))


def peer_bytes(merged: Merged, size: int) -> int:
    """Return how much memory a worker that shares it with *size* - 1 others needs."""
    n_states, n_actions = merged.values.shape
    room = _core.most_merged_bytes(n_states, n_actions, merged.values.itemsize, size)
    return table_bytes(merged) + room


class WorkerContribution:
    """A worker's window as the communicator sees it (`cdq.comm.base.SharedContribution`).

    Parameters
    ----------
    worker : Worker
        Whose table of the last merge is the same on every rank.
    needs_mass : bool
        Whether the next window depends on the round's pooled mass; it costs two look-ups per pair and worker.
    peers : sequence of Peer, optional
        The workers of all ranks, this one included, where their tables are in memory that their processes share.
    rank : int
        The worker's own place among them.
    """

    def __init__(self, worker: Worker, needs_mass: bool, peers: Sequence[Peer] = (), rank: int = 0) -> None:
        self.rows = worker.rows
        self._needs_mass = needs_mass
        self._peers = peers
        self.law: Law
        self.summary: Summary
        # Kept from round to round: fresh memory costs more than the merge.
        self._bytes = bytearray()
        self.merged: bytearray | memoryview = peers[rank].room if peers else self._bytes
        self._merged_bytes = 0

    @property
    def nbytes(self) -> int:
        """What travels of this window: the values and counts of the touched pairs, and which they are."""
        return self.rows.touched * (self.rows.pair_size + 4)

    def merge_shared(self, contributions: Sequence[WorkerContribution | Peer], rule: Rule, rank: int) -> None:
        """Merge this rank's part straight from the tables of all."""
        # Now, not when joining: then the others may be a window ahead.
        self._summaries = [contribution.summary for contribution in contributions]
        tables = [contribution.rows for contribution in contributions]
        self._merged_bytes = _core.merge_tables(tables, rank, rule, self.law, self._needs_mass, self.merged)

    def join_shared(
        self, contributions: Sequence[WorkerContribution | Peer]
    ) -> tuple[list[Any], list[Summary]]:
        """Return the merged parts of all ranks and their summaries."""
        return [contribution.merged for contribution in contributions], self._summaries

    def describe(self) -> bytes:
        """Return what the peers' processes need to read this table, and then its merged part."""
        if not self._peers:
            return b""
        return _EXTENT.pack(self.rows.touched, self._merged_bytes) + SUMMARY.pack(*self.summary)

    def peers(self, descriptions: Sequence[Any]) -> Sequence[Peer]:
        """Return the workers of all ranks, as they described themselves."""
        for peer, description in zip(self._peers, descriptions, strict=True):
            peer.read(description)
        return self._peers

    def cut(self, size: int) -> list[bytearray]:
        """Return what each of *size* ranks gets: the summary, and the touched pairs of its slice or all of them."""
        bounds = [_core.slice_bounds(self.rows, rank, size) for rank in range(size)]
        touched = np.asarray(self.rows.log)[: self.rows.touched]
        listed: list[Any]
        if self.rows.touched * 2 < bounds[-1][1]:
            touched = np.sort(touched)
            places = np.searchsorted(touched, [first for first, _ in bounds] + [bounds[-1][1]])
            listed = [touched[places[rank] : places[rank + 1]] for rank in range(size)]
        else:  # so many travel as whole slices, and need not be sorted, which takes longer than all the rest
            listed = [None for _ in bounds]
        summary = SUMMARY.pack(*self.summary)
        return [_core.pack(self.rows, listed[rank], *bounds[rank], summary) for rank in range(size)]

    def merge(self, parts: Sequence[Any], rule: Rule, index: int, size: int) -> bytearray:
        """Merge slice number *index* of *size* from what every rank cut for it."""
        self._summaries = [Summary(*SUMMARY.unpack_from(part)) for part in parts]
        slices = [memoryview(part)[SUMMARY.size :] for part in parts]
        bounds = _core.slice_bounds(self.rows, index, size)
        _core.merge_slices(self.rows, slices, *bounds, rule, self.law, self._needs_mass, self._bytes)
        return self._bytes

    def join(self, slices: Sequence[Any]) -> tuple[list[Any], list[Summary]]:
        """Return the merged slices of all ranks and their summaries."""
        return list(slices), self._summaries


class Step(NamedTuple):
    """A window to learn: the law of its step sizes, steps of each lane, exploration rates at its start and end."""

    law: Law
    sweeps: int
    rates: tuple[float, float]


class Round(NamedTuple):
    """What a round brought, the same on every rank."""

    summaries: list[Summary]
    mass: float


def play(
    worker: Worker,
    contribution: WorkerContribution,
    comm: Communicator,
    *,
    rule: Rule,
    step: Step,
    request: int,
) -> Round | None:
    """Learn for a window, merge with the others, and swap the merged table in.

    Where a worker's *request* is STOP_BEFORE, the window is thrown away on all of them, and None is returned. (What
    was found of the table when somebody decided to stop is true of the table as it was then.)

    Raises
    ------
    Interrupted
        If the window was ended early.
    CommError
        If the merge failed. Whenever nothing was swapped in, `Worker.roll_back` makes everything as it was before the
        round, once all workers of the process have ended.
    """
    contribution.law = step.law
    ended = worker.run(step.law, step.sweeps, *step.rates)
    if ended is None:
        raise Interrupted
    worker.agree(comm)
    contribution.summary = Summary(*ended, comm.bytes_sent, request)
    if comm.size == 1:
        worker.commit_alone()
        return Round([contribution.summary], 0.0)
    slices, summaries = comm.merge(contribution, rule)
    if any(summary.request == STOP_BEFORE for summary in summaries):
        return None
    return Round(summaries, worker.commit(slices))


def sweeps_of(window: float, left: int, size: int, num_envs: int) -> int:
    """Return how often each lane steps in a window, given the steps of all workers that are *left*."""
    needed = math.ceil(left / (size * num_envs))
    return max(1, min(math.ceil(window / num_envs), needed))
