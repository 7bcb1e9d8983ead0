"""A hub and workers on a network and a clock of a seed's choosing, which lose, double, delay, cut and crash."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cdq.comm.zmq.events import Done, HubEvent, Received, Send, Tick, Unreachable
from cdq.comm.zmq.wire import Body, Reason
from cdq.job.membership.events import (
    Arrived,
    Deliver,
    Failed,
    HubSettings,
    HubState,
    Joined,
    Leave,
    Left,
    Refused,
    Submission,
    Submit,
    WorkerEvent,
)
from cdq.job.membership.hub_machine import HubMachine
from cdq.job.membership.worker_machine import WorkerMachine

Table = npt.NDArray[np.int64]

STALENESS = 3
FAULTS = ("dropped", "doubled", "corrupted", "hub", "worker", "cut", "paused", "left")
_TICK = 0.05
_MULTIPLIER = np.int64(6364136223846793005)


class HubCrash(Exception):
    """The hub's process dies in the middle of a step."""


def delta(uid: int, sequence: int, table: Table) -> Table:
    """Return a contribution: it depends on the table, as learning does."""
    return table * _MULTIPLIER + np.arange(len(table)) * (1 + uid) + sequence


def applied(table: Table, contributions: Sequence[Table]) -> Table:
    """Fold contributions into the table: the order matters."""
    for contribution in contributions:
        table = table * 3 + contribution
    return table


@dataclass
class Disk:
    """What survives the hub.

    Attributes
    ----------
    log : list
        Of each round, or contribution in asynchronous mode: (uid, sequence, base, crc) of each.
    tables : list of ndarray
        The table after each round; one is there before the first.
    """

    tables: list[Table] = field(default_factory=lambda: [np.arange(4, dtype=np.int64)])
    log: list[list[tuple[int, int, int, int]]] = field(default_factory=list)
    state: HubState | None = None


class Adding:
    """A service whose contributions are added to a table; may die before or after it made a round durable."""

    finished = False
    together = 0

    def __init__(self, disk: Disk, crash: Callable[[], bool]) -> None:
        self.disk = disk
        self._crash = crash

    def admit(self, hello: bytes) -> str:
        if hello != b"adds":
            raise Refused("adds not")
        return "here"

    def welcome(self, uid: int, members: Collection[int]) -> bytes:
        assert uid in members
        return self.disk.tables[-1].tobytes()

    def limit(self, uid: int) -> int:
        return 32

    def check(self, uid: int, submission: Submission) -> str | None:
        wanted = delta(uid, submission.sequence, self.disk.tables[submission.base])
        return None if bytes(submission.payload) == wanted.tobytes() else "another delta"

    def close_round(
        self, members: Sequence[int], submissions: Mapping[int, Submission], state: Callable[[], HubState]
    ) -> Mapping[int, Body]:
        assert list(members) == sorted(set(members))
        assert list(submissions) == sorted(submissions)
        self._save(submissions, state)
        return dict.fromkeys(submissions, Body(self.disk.tables[-1].tobytes()))

    def single(self, uid: int, submission: Submission, state: Callable[[], HubState]) -> bytes:
        if len(self.disk.log) - submission.base > STALENESS:
            raise Refused("too old")
        self._save({uid: submission}, state)
        return self.disk.tables[-1].tobytes()

    def _save(self, submissions: Mapping[int, Submission], state: Callable[[], HubState]) -> None:
        if self._crash():
            raise HubCrash
        disk = self.disk
        deltas = [np.frombuffer(one.payload, np.int64) for one in submissions.values()]
        disk.tables.append(applied(disk.tables[-1], deltas))
        disk.log.append(
            [(uid, one.sequence, one.base, crc32(one.payload)) for uid, one in submissions.items()]
        )
        disk.state = state()
        if self._crash():
            raise HubCrash

    def status(self) -> dict[str, Any]:
        return {"rounds": len(self.disk.log)}


@dataclass
class Process:
    """A worker's process."""

    key: str | None
    machine: WorkerMachine
    route: bytes
    up: bool = True
    paused_until: float = 0.0
    cut_until: float = 0.0
    life: int = 0
    table: Table = field(default_factory=lambda: np.zeros(4, np.int64))
    version: int = 0
    uid: int = 0
    acknowledged: int = 0
    window: object = None


class World:
    """One run of one seed.

    Parameters
    ----------
    seed : int
        Of everything.
    workers : int
        How many.
    settings : HubSettings
        Of the hub.
    keys : bool
        Whether workers have keys.
    """

    def __init__(self, seed: int, workers: int, settings: HubSettings, keys: bool) -> None:
        self.random = random.Random(seed)
        self.settings = settings
        self.disk = Disk()
        self.now, self.events, self.healthy = 0.0, 0, False
        self.acknowledged: set[tuple[int, int]] = set()
        self.faults = dict.fromkeys(FAULTS, 0)
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self.hub: HubMachine | None = None
        self._start_hub()
        self.processes = [
            Process(f"key{index}" if keys else None, self._machine(), self._route())
            for index in range(workers)
        ]
        self._at(0.0, self._tick_hub)
        for process in self.processes:
            self._at(0.0, self._tick_worker, process)

    # ---- time

    def _at(self, delay: float, function: Callable[..., None], *arguments: Any) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now + delay, self._number, function, arguments))

    def run(self, events: int) -> None:
        """Let so many steps of the machines happen, with faults, unless healthy."""
        until = self.events + events
        while self.events < until:
            self.now, _, function, arguments = heapq.heappop(self._queue)
            function(*arguments)

    def heal(self) -> None:
        """End all faults."""
        self.healthy = True
        for process in self.processes:
            process.paused_until = process.cut_until = 0.0

    # ---- hub

    def _start_hub(self) -> None:
        state = None if self.disk.state is None else json.loads(json.dumps(self.disk.state))
        self.hub = HubMachine(
            Adding(self.disk, lambda: self._happens(0.002)), self.settings, 99, state, self.now
        )
        self.disk.state = self.hub.state()

    def _tick_hub(self) -> None:
        if self._happens(0.002):
            self._crash_hub()
        self.step_hub(Tick(self.now))
        self._at(_TICK, self._tick_hub)

    def step_hub(self, event: HubEvent) -> None:
        """Give the hub an event, if it is up."""
        if self.hub is None:
            return
        self.events += 1
        try:
            actions = self.hub.step(event)
        except HubCrash:
            self._crash_hub()
            return
        for action in actions:
            if isinstance(action, Send):
                self._to_worker(action)
            assert not isinstance(action, Done)

    def _crash_hub(self) -> None:
        if self.hub is not None:
            self.faults["hub"] += 1
            self.hub = None
            self._at(self.random.uniform(0.1, 1.0), self._start_hub)

    def _to_worker(self, send: Send) -> None:
        for process in self.processes:
            if process.route == send.route and process.up and self.now >= process.cut_until:
                self._carry(self._arrive, process, process.life, send.message)
                return
        self._at(0.0, self.step_hub, Unreachable(send.route, self.now))

    # ---- network

    def _happens(self, probability: float) -> bool:
        return not self.healthy and self.random.random() < probability

    def _carry(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._happens(0.03):
            self.faults["dropped"] += 1
            return
        if self._happens(0.01):
            self.faults["corrupted"] += 1
            arguments = (*arguments[:-1], self._corrupted(arguments[-1]))
        self._at(self._delay(), function, *arguments)
        if self._happens(0.03):
            self.faults["doubled"] += 1
            self._at(self._delay(), function, *arguments)

    def _corrupted(self, message: bytes | Received) -> bytes | Received:
        if isinstance(message, Received):
            return message._replace(data=self._corrupted(bytes(message.data)))
        changed = bytearray(message)
        changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
        return bytes(changed)

    def _delay(self) -> float:
        mean = 0.3 if self._happens(0.02) else 0.004
        return self.random.expovariate(1.0 / mean)

    # ---- workers

    def _machine(self) -> WorkerMachine:
        return WorkerMachine(b"adds", self.random.randbytes(16), self.random.randrange(99), 0.1, 1.0)

    def _route(self) -> bytes:
        return self.random.randbytes(5)

    def _tick_worker(self, process: Process) -> None:
        if self.now >= process.paused_until:
            self._disturb(process)
            self.step_worker(process, Tick(self.now))
        self._at(_TICK, self._tick_worker, process)

    def _disturb(self, process: Process) -> None:
        if self._happens(0.004):
            self.faults["worker"] += 1
            self._end(process)
        elif self._happens(0.004):
            self.faults["paused"] += 1
            process.paused_until = self.now + self.random.uniform(0.1, 4.0)
        elif self._happens(0.004):
            self.faults["cut"] += 1
            process.cut_until = self.now + self.random.uniform(0.05, 3.0)
            if self.random.random() < 0.7:  # the connection is made anew
                process.route = self._route()
        elif self._happens(0.002):
            self.faults["left"] += 1
            self.step_worker(process, Leave(self.now))

    def _end(self, process: Process) -> None:
        process.up = False
        process.life += 1
        self._at(self.random.uniform(0.05, 2.0), self._restart, process)

    def _restart(self, process: Process) -> None:
        process.machine, process.route, process.up = self._machine(), self._route(), True
        process.life += 1

    def step_worker(self, process: Process, event: WorkerEvent) -> None:
        """Give a worker an event, if it is up."""
        if not process.up:
            return
        self.events += 1
        for action in process.machine.step(event):
            if isinstance(action, bytes):
                if self.now >= process.cut_until:
                    received = Received(process.route, action, process.key, self.now)
                    self._carry(self._arrive_at_hub, received)
            elif isinstance(action, Joined):
                self._learn(process, action.uid, action.applied, action.version, action.payload)
            elif isinstance(action, Deliver):
                self.acknowledged.add((process.uid, process.machine.applied))
                process.acknowledged += 1
                self._learn(process, process.uid, process.machine.applied, action.version, action.payload)
            elif isinstance(action, Left):
                self._end(process)
            else:
                assert isinstance(action, Failed)
                self._accept_failure(process, action)

    def _accept_failure(self, process: Process, failed: Failed) -> None:
        """Start again where a former process with this key was heard later: no real connection outlives that long."""
        assert (failed.reason, process.key is None) == (Reason.REPLACED, False), failed
        self._end(process)

    def _arrive_at_hub(self, received: Received) -> None:
        self.step_hub(received._replace(now=self.now))

    def _arrive(self, process: Process, life: int, data: bytes) -> None:
        if process.life != life:
            return
        if self.now < process.paused_until:
            self._at(process.paused_until - self.now, self._arrive, process, life, data)
        else:
            self.step_worker(process, Arrived(data, self.now))

    def _learn(self, process: Process, uid: int, done: int, version: int, payload: Any) -> None:
        process.table = np.frombuffer(bytes(payload), np.int64)
        assert process.table.tobytes() == self.disk.tables[version].tobytes(), "a worker has another table"
        process.uid, process.version = uid, version
        process.window = window = object()
        self._at(
            self.random.expovariate(1 / 0.02), self._submit, process, process.life, window, uid, done + 1
        )

    def _submit(self, process: Process, life: int, window: object, uid: int, sequence: int) -> None:
        if process.life != life or process.window is not window:
            return
        if self.now < process.paused_until:
            later = process.paused_until - self.now
            self._at(later, self._submit, process, life, window, uid, sequence)
            return
        payload = delta(uid, sequence, process.table).tobytes()
        self.step_worker(process, Submit(payload, process.version, self.now))

    # ---- what must be true

    def check(self) -> None:
        """Compare with the oracle: the log learnt again from the beginning, contribution by contribution."""
        table = self.disk.tables[0]
        seen: dict[int, int] = {}
        tables = [table]
        for number, entries in enumerate(self.disk.log):
            deltas = []
            for uid, sequence, base, crc in entries:
                assert sequence == seen.get(uid, 0) + 1, "a contribution is missing, or there twice"
                assert 0 <= number - base <= (STALENESS if self.settings.asynchronous else 0)
                seen[uid] = sequence
                deltas.append(delta(uid, sequence, tables[base]))
                assert crc32(deltas[-1].tobytes()) == crc
            table = applied(table, deltas)
            tables.append(table)
        assert table.tobytes() == self.disk.tables[-1].tobytes()
        logged = {entry[:2] for entries in self.disk.log for entry in entries}
        assert self.acknowledged <= logged, "something acknowledged is lost"
