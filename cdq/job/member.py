"""A worker's part of a job: learn the window that the hub names, contribute it, take over the merged table."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cdq.comm.contribution import Received
from cdq.comm.kept import Kept
from cdq.core.table.rows import Law
from cdq.errors import ConfigError
from cdq.job.handshake import Welcome, open_welcome
from cdq.job.increments import Increment, own_mass, weights
from cdq.job.job import Known, make_worker
from cdq.job.messages import (
    COMPARE,
    OFFER,
    TOGETHER,
    OpenWindow,
    Own,
    open_contribution,
    open_result,
    open_window,
    pack_contribution,
)
from cdq.job.networks import messages as networks
from cdq.job.stretches.offers import without_offer
from cdq.job.stretches.player import Place, Player, place_in
from cdq.qfunctions import MergedNetwork, Parameters
from cdq.schedules import build_law, log_keep
from cdq.workers import GO_ON, NetworkContribution, Summary, Worker, WorkerContribution

_COUNT = np.uint32(
    0x7FFFFFFF
)  # the count of a pair, beside which a bit says that the window has touched it (rows.h)


class Member:
    """A worker that keeps nothing of its own: all it goes on from came from the hub, and goes back there.

    Parameters
    ----------
    known : Known, optional
        Tasks that were made, which workers of one process may share, and the way to make others.

    Attributes
    ----------
    window : OpenWindow
        The window to learn next.
    environment : str
        Name of the environment.
    learnt : int
        Steps of the windows that were learnt here.
    """

    def __init__(self, known: Known | None = None) -> None:
        self._known = Known() if known is None else known
        self._kept = Kept()
        self._welcome: Welcome
        self._worker: Worker
        self._player: Player | None = None
        self.window: OpenWindow
        self.learnt = 0
        self.environment = ""

    def join(self, payload: Any) -> None:
        """Begin, or begin again, with what the hub says; a window in hand is forgotten."""
        welcome = open_welcome(payload, self._known)
        self._welcome, self.window = welcome, welcome.window
        self.environment = welcome.name
        self._worker, self._player = self._make_worker(welcome, welcome.lanes), None

    def _make_worker(
        self, welcome: Welcome, lanes: Any, memory: npt.NDArray[np.uint8] | None = None
    ) -> Worker:
        return make_worker(
            welcome.problem,
            welcome.merged,
            welcome.gamma,
            welcome.shape.num_envs,
            lanes,
            rank=welcome.rank,
            memory=memory,
        )

    @property
    def has_joined(self) -> bool:
        """True once the hub has said what to learn."""
        return hasattr(self, "_welcome")

    @property
    def plays(self) -> bool:
        """True if a stretch of rounds comes next, with the workers beside this one, in place of a window."""
        return bool(self.window.compare & TOGETHER)

    @property
    def steps(self) -> int:
        """Steps of all workers before the window."""
        return self.window.before

    @property
    def target(self) -> int:
        """Steps of all workers at which the job ends; 0: not known."""
        return self._welcome.target

    def newest(self, name: str) -> float:
        """Return NaN: what a job has come to is at the hub."""
        return math.nan

    def learn(self) -> Received | None:
        """Learn the window of `window`, or a stretch of rounds; return the contribution.

        None if another worker is gone, with which this one played: it is to begin again.
        """
        welcome, window = self._welcome, self.window
        law = build_law(
            welcome.step_size, window.before, welcome.mass, str(welcome.shape.real), welcome.scale
        )
        if self.plays:
            return self._play(law)
        checksum = self._worker.checksum() if window.compare & COMPARE else -1
        ended = self._worker.run(law, window.sweeps, window.first, window.last)
        assert ended is not None, "nobody sets the flag that ends a window early"
        self.learnt += window.sweeps * welcome.shape.num_envs
        summary = Summary.of(ended, bytes_sent=0, request=GO_ON)
        if isinstance(welcome.merged, MergedNetwork):
            return self._network_part(summary, checksum)
        own = self._own_part() if welcome.shape.keeps_own else b""
        contribution = WorkerContribution(self._worker, needs_mass=False)
        contribution.summary = summary
        payload = pack_contribution(contribution, self._kept, checksum, self._worker.lane_state, own)
        return self._increment(payload) if welcome.asynchronous else payload

    def _play(self, law: Law) -> Received | None:
        """Play a stretch of rounds with those beside this worker."""
        if self._player is None:
            raise ConfigError("the hub lets this worker play with others that it has not met; start it again")
        payload = self._player.play(law)
        self.learnt += self._player.learnt
        return payload

    def _network_part(self, summary: Summary, checksum: int) -> bytes:
        """Return the contribution of a worker that trains a network."""
        own = NetworkContribution(cast(Parameters, self._worker.rows), averages=True)
        own.summary = summary
        return networks.pack_contribution(own.cut(1)[0], checksum, self._worker.lane_state)

    def _own_part(self) -> bytes:
        """Return what the window taught the rows that this worker has to itself, and leave it out of the others'."""
        rows, shape = self._worker.rows, self._welcome.shape
        touched = rows.touched
        rows.set_aside()
        pairs = np.sort(np.asarray(rows.log)[rows.touched : touched])
        values = shape.columns * shape.real.itemsize
        row, column = np.divmod(pairs, np.uint32(shape.columns))
        data = np.asarray(rows.data)
        learnt, counts = (
            data[:, first : first + shape.columns * kind.itemsize].view(kind)[row, column]
            for first, kind in ((0, shape.real), (values, np.dtype(np.uint32)))
        )
        return Own(learnt, counts & _COUNT, pairs - np.uint32(shape.n_pairs)).pack()

    def _increment(self, payload: Received) -> bytes:
        """Return the same contribution in the form for a table that has changed meanwhile."""
        welcome, brought = self._welcome, open_contribution(payload, self._welcome.shape)
        clock = welcome.merged.clock.reshape(-1)[brought.where]
        touched = brought.counts > clock
        visits = (brought.counts - clock)[touched]
        pairs = np.arange(welcome.merged.clock.size, dtype=np.uint32)[brought.where][touched]
        left = log_keep(welcome.step_size, self.window.before, clock[touched], visits)
        keep = weights(left).astype(welcome.shape.real)
        gain = brought.values[touched] - keep * welcome.merged.values.reshape(-1)[pairs]
        mass = own_mass(left, visits)
        return Increment(brought.summary, mass, gain, keep, visits, pairs, brought.lanes).pack()

    def settle(self, payload: Any) -> None:
        """Take over the merged slice of the round, and the next window.

        Raises
        ------
        ConfigError
            If it is none.
        """
        try:
            window = self._take(payload)
        except ValueError as error:
            raise ConfigError(f"the hub sent what is no result: {error}; use the same cdq on both") from None
        self.window = window

    def _take(self, payload: Any) -> OpenWindow:
        """Take over what the round has come to; return the next window."""
        if isinstance(self._welcome.merged, MergedNetwork):
            window, numbers = open_window(payload)
            networks.take_merged(cast(Parameters, self._worker.rows), numbers)
            self._worker.commit([])
            return window
        window, offer = open_window(payload)[0], None
        if window.compare & OFFER:
            payload, offer = without_offer(payload)
        merged = open_result(payload)[1]
        if len(merged):  # else a stretch, of which this worker has the table
            self._worker.commit([np.frombuffer(merged, np.uint8)])
        if offer is not None:
            self._accept(offer)
        return window

    def _accept(self, offer: memoryview) -> None:
        """Play with others from now on, where the memory that is offered is of this machine."""
        found = place_in(offer, self._welcome)
        if found is not None:
            place, proof = found
            self.take_place(place)
            place.prove(proof)  # last: from now on the others may begin

    def take_place(self, place: Place) -> None:
        """Play with others from now on."""
        welcome, lanes = self._welcome, np.frombuffer(self._worker.lane_state, np.uint8)
        self._worker = self._make_worker(welcome, lanes, place.rows)
        self._player = Player(place, welcome, self._worker)
