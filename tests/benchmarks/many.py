"""Rounds of a hub with very many workers, simulated in one process without sockets: time and memory of the hub alone.

Every worker says HELLO, is welcomed, and answers each result with a contribution to the next round, by the messages
that a hub's machine takes and sends: a table of 500 x 6 (Taxi-v4), windows of 30 steps (1 % of the pairs). 100 of
them learn, each in an environment of its own, and the others bring the same windows. Only the processor's time inside
the machine counts. Each number of workers runs in a process of its own, whose memory is therefore its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from cdq.comm.zmq.events import TOKEN_BYTES, Received, Send, Tick
from cdq.comm.zmq.wire import Frame, Kind, decode, encode
from cdq.job.handshake import hello
from cdq.job.job import Known
from cdq.job.member import Member
from cdq.job.membership.events import HubSettings
from cdq.job.membership.hub_machine import HubMachine
from tests.benchmarks.tables import begin, row, spread
from tests.benchmarks.zmq_hubs import make_hub

_LEARN = 100  # workers that learn themselves


class Figures(NamedTuple):
    """Seconds of the hub for all that joined and for each round; MiB that it took beyond the process before."""

    joining: float
    rounds: list[float]
    memory: float


class Network:
    """All connections to a hub's machine, whose clock tells the seconds that it has worked."""

    def __init__(self, service: Any, settings: HubSettings) -> None:
        self.now = 0.0
        self._machine = HubMachine(service, settings, run=1, now=self.now)

    def tell(self, kind: Any, *told: Any) -> list[Send]:
        """Give the hub an event that happens now; return the messages that it sends."""
        event, began = kind(*told, self.now), time.process_time()
        actions = self._machine.step(event)
        self.now += time.process_time() - began
        return [action for action in actions if isinstance(action, Send)]


def join_all(network: Network, n: int) -> dict[bytes, Frame]:
    """Let *n* workers join; return the welcome of each by its connection."""
    welcomes: dict[bytes, Frame] = {}
    sent: list[Send] = []
    for i in range(n):
        greeting = encode(Frame(Kind.HELLO, payload=i.to_bytes(TOKEN_BYTES, "little") + hello()))
        sent += network.tell(Received, i.to_bytes(5, "little"), greeting, None)
    while len(welcomes) < n:
        taken = {one.route: take(one, len(welcomes) < _LEARN) for one in sent}
        welcomes |= {route: frame for route, frame in taken.items() if frame.kind == Kind.WELCOME}
        sent = network.tell(Tick)
    return welcomes


def take(sent: Send, learns: bool) -> Frame:
    """Return a message of the hub; what it says is kept for those that learn themselves only."""
    frame = decode(sent.message)
    return frame if learns else frame._replace(payload=b"")


def contributions(members: Iterable[Member]) -> list[Any]:
    """Return what those that learn contribute to the open round."""
    return [member.learn() for member in members]


def bring(network: Network, sessions: dict[bytes, Frame], windows: list[Any]) -> dict[bytes, Frame]:
    """Bring a contribution of every worker; return the results."""
    results: dict[bytes, Frame] = {}
    for i, (route, last) in enumerate(sessions.items()):
        frame = last._replace(
            kind=Kind.CONTRIB, sequence=last.sequence + 1, payload=windows[i % len(windows)]
        )
        sent = network.tell(Received, route, encode(frame), None)
        results |= {one.route: take(one, j < _LEARN) for j, one in enumerate(sent)}
    return results


def simulate(told: Any, n: int, rounds: int) -> None:
    """Tell the figures of so many rounds of *n* workers."""
    before = peak()
    service, _ = make_hub("Taxi-v4", 1, rounds * n, sync_every=30, num_envs=1)
    fixed = HubSettings(min_members=n, max_members=n)
    network, known = Network(service, fixed), Known()
    sessions = join_all(network, n)
    joining, figures = network.now, []
    members = [Member(known) for _ in range(min(n, _LEARN))]
    for member, welcome in zip(members, sessions.values(), strict=False):
        member.join(welcome.payload)
    for _ in range(rounds):
        windows, began = contributions(members), network.now
        sessions = bring(network, sessions, windows)
        figures.append(network.now - began)
        for member, result in zip(members, sessions.values(), strict=False):
            member.settle(result.payload)
    told.put(Figures(joining, figures, peak() - before))


def peak() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a line per number of workers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workers", nargs="*", type=int, default=[500, 1_000, 2_000, 5_000, 10_000])
    parser.add_argument("--repeats", type=int, default=5)
    given, spawn = parser.parse_args(), multiprocessing.get_context("spawn")
    begin(
        "Rounds of many workers of a hub: a table of 500 x 6, 1 % touched",
        *("workers", "a round, s", "us a worker", "memory, MiB", "all joining, s", "goal"),
    )
    for n in given.workers:
        told = spawn.SimpleQueue()
        process = spawn.Process(target=simulate, args=(told, n, given.repeats))
        process.start()
        joining, rounds, memory = told.get()
        process.join()
        each = spread((seconds / n * 1e6 for seconds in rounds), ".0f")
        goal = "1.5 s, 1,024 MiB at most" if n == 10_000 else ""
        row(
            f"{n:,}",
            spread(rounds, ".3f", goal=1.5, most=True),
            each,
            f"{memory:.0f}",
            f"{joining:.2f}",
            goal,
        )


if __name__ == "__main__":
    main()
