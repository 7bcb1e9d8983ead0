"""A hub's machine and workers whose messages arrive at once, in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from cdq.comm.zmq.events import Done, Received, Send, Tick
from cdq.job.membership.events import Arrived as Came
from cdq.job.membership.events import HubSettings, Submit, WorkerEvent
from cdq.job.membership.hub_machine import HubMachine
from cdq.job.membership.worker_machine import WorkerMachine
from tests.comm.zmq.simulation import Adding, Disk, Table, delta


class Team:
    """A hub and workers whose messages arrive at once, in order.

    Attributes
    ----------
    happened : dict of str to list
        What came out of each worker's machine, by name.
    """

    def __init__(self, settings: HubSettings, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.service = Adding(self.disk, lambda: False)
        self.hub = HubMachine(self.service, settings, 7, self.disk.state)
        self.disk.state = self.hub.state()
        self.now, self.done = 0.0, False
        self.workers: dict[str, WorkerMachine] = {}
        self.happened: dict[str, list[Any]] = {}
        self.keys: dict[str, str] = {}

    def join(self, name: str, key: str | None = None, hello: bytes = b"adds") -> None:
        """Start a worker."""
        if key is not None:
            self.keys[name] = key
        self.workers[name] = WorkerMachine(hello, name.encode().ljust(16), 0)
        self.happened[name] = []
        self.give(name, Tick(self.now))

    def give(self, name: str, event: WorkerEvent) -> None:
        """Give a worker an event, and carry what follows."""
        for action in self.workers[name].step(event):
            if isinstance(action, bytes):
                self.step(Received(name.encode(), action, self.keys.get(name), self.now))
            else:
                self.happened[name].append(action)

    def step(self, event: Any) -> None:
        """Give the hub an event, and carry what follows."""
        for action in self.hub.step(event):
            if isinstance(action, Send) and action.route.decode() in self.workers:
                self.give(action.route.decode(), Came(action.message, self.now))
            self.done = self.done or isinstance(action, Done)

    def submit(self, name: str) -> None:
        """Let a worker learn from what it got last."""
        last = self.happened[name][-1]
        table: Table = np.frombuffer(bytes(last.payload), np.int64)
        machine = self.workers[name]
        payload = delta(machine.uid, machine.applied + 1, table).tobytes()
        self.give(name, Submit(payload, last.version, self.now))

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds
        self.step(Tick(self.now))

    def kinds(self, name: str) -> list[type]:
        """Return what happened to a worker."""
        return [type(one) for one in self.happened[name]]

    @property
    def members(self) -> list[int]:
        """The members, as the hub tells."""
        return list(self.hub.status()["members"])
