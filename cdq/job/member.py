"""A worker's part of a job: learn the window that the hub names, contribute it, take over the merged table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cdq.comm.contribution import Received
from cdq.errors import CdqError, ConfigError
from cdq.job.handshake import Welcome, open_welcome
from cdq.job.increments import Increment, own_mass, weights
from cdq.job.messages import OpenWindow, open_contribution
from cdq.job.networks.member import NetworkWelcome, open_network_welcome
from cdq.mdp import PackedModel
from cdq.schedules import build_law, log_keep
from cdq.storage import Tensors, parse_tensors
from cdq.workers import GO_ON, Summary, Worker


class Member:
    """A worker that keeps nothing of its own: all it goes on from came from the hub, and goes back there.

    Parameters
    ----------
    samplers : dict, optional
        Packed models by fingerprint and dtype, which workers of one process may share.

    Attributes
    ----------
    window : OpenWindow
        The window to learn next.
    environment : str
        Name of the environment.
    learnt, begun : int
        Steps of the windows that were learnt here; steps of all workers when this one came.
    """

    def __init__(self, samplers: dict[tuple[str, str], PackedModel] | None = None) -> None:
        self._samplers = samplers if samplers is not None else {}
        self._welcome: Welcome | NetworkWelcome
        self._worker: Worker
        self.window: OpenWindow
        self.learnt = self.begun = 0
        self.environment = ""

    def join(self, payload: Any) -> None:
        """Begin, or begin again, with what the hub says; a window in hand is forgotten."""
        tensors, told = _parsed(payload)
        is_network = isinstance(told.get("settings"), dict)
        welcome = (
            open_network_welcome(tensors, told) if is_network else open_welcome(tensors, told, self._samplers)
        )
        self._welcome, self.window = welcome, welcome.window
        self.environment = welcome.name
        self.begun = self.begun or self.steps
        self._worker = welcome.worker()

    @property
    def has_joined(self) -> bool:
        """True once the hub has said what to learn."""
        return hasattr(self, "_welcome")

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

    def learn(self) -> Received:
        """Learn the window of `window`; return the contribution."""
        welcome, window = self._welcome, self.window
        law = build_law(welcome.step_size, window.before, welcome.mass, welcome.dtype)
        checksum = self._worker.checksum() if window.compare else -1
        ended = self._worker.run(law, window.sweeps, window.first, window.last)
        assert ended is not None, "nobody sets the flag that ends a window early"
        self.learnt += window.sweeps * welcome.shape.num_envs
        summary = Summary.of(ended, bytes_sent=0, request=GO_ON)
        payload = welcome.contribution(self._worker, summary, checksum)
        return (
            self._increment(welcome, payload)
            if isinstance(welcome, Welcome) and welcome.asynchronous
            else payload
        )

    def _increment(self, welcome: Welcome, payload: Received) -> bytes:
        """Return the same contribution in the form for a table that has changed meanwhile."""
        brought = open_contribution(payload, welcome.shape)
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
            self.window = self._welcome.take(self._worker, payload)
        except ValueError as error:
            raise ConfigError(f"the hub sent what is no result: {error}; use the same cdq on both") from None


def _parsed(payload: Any) -> tuple[Tensors, dict[str, Any]]:
    try:
        return parse_tensors(bytes(payload), "the hub's welcome")
    except CdqError as error:
        raise ConfigError(
            f"a worker cannot begin with what the hub sent: {error!r}; use the same cdq"
        ) from None
