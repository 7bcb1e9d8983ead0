"""Hubs in threads, and workers that contribute to them, for the tests over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.keys import Keys
from cdq.job.membership.connection import Connection
from cdq.job.membership.events import Deliver, HubSettings, Joined
from cdq.job.membership.hub_machine import HubMachine
from tests.comm.zmq.simulation import Adding, Disk, Table, delta


@contextmanager
def running(url: str, disk: Disk, settings: HubSettings, keys: Keys | None = None) -> Iterator[str]:
    """Run a hub in a thread, and give its address; it goes on with what is on the disk."""
    ended = threading.Event()
    service = Adding(disk, lambda: False)
    machine = HubMachine(service, settings, 7, disk.state)
    disk.state = machine.state()
    with Hub(url, machine, keys=keys, limit=1000) as hub:
        thread = threading.Thread(target=hub.run, args=(ended.is_set,), name="hub")
        thread.start()
        try:
            yield hub.url
        finally:
            ended.set()
            thread.join()


class Worker(threading.Thread):
    """Contributes a number of times."""

    def __init__(self, url: str, rounds: int, keys: Keys | None = None) -> None:
        super().__init__(name="worker")
        self.url, self.rounds, self.keys = url, rounds, keys
        self.acknowledged: set[tuple[int, int]] = set()
        self.joined = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with Connection(self.url, b"adds", timeout=10.0, keys=self.keys) as connection:
                self._work(connection)
        except Exception as error:
            self.error = error

    def _work(self, connection: Connection) -> None:
        uid = applied = 0
        while len(self.acknowledged) < self.rounds:
            happened = connection.wait(10.0)
            assert isinstance(happened, (Deliver, Joined))
            if isinstance(happened, Joined):
                self.joined += 1
                uid, applied = happened.uid, happened.applied
            else:
                applied += 1
                self.acknowledged.add((uid, applied))
            table: Table = np.frombuffer(bytes(happened.payload), np.int64)
            connection.submit(delta(uid, applied + 1, table).tobytes(), happened.version)


def work(url: str, workers: int, rounds: int) -> list[Worker]:
    """Run workers to their end."""
    threads = [Worker(url, rounds) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        assert thread.error is None, repr(thread.error)
    return threads
