"""Workers of a ZeroMQ hub: merges against a bare echo, learning against one worker, rounds, many workers, and CURVE.

Run it from the checkout: ``python -m tests.benchmarks.zmq`` (under two minutes), or with the names of some parts only:
merge, curve, learning, round, many. Prints Markdown: medians, with the least and the greatest, of repeats in which
everything in a table was measured in turn; ratios are formed within a repeat.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import queue
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from cdq import QLearner
from cdq.comm.zmq.keys import Keys, allow, keygen
from cdq.comm.zmq.ranks.communicator import ZmqCommunicator
from cdq.job.handshake import hello
from cdq.job.member import Member
from cdq.job.membership.connection import Connection
from cdq.job.membership.events import Deliver, Joined
from cdq.job.messages import pack_contribution
from cdq.workers.contribution import Summary, WorkerContribution
from cdq.workers.rounds import GO_ON
from cdq.workers.tallies import MOST_PARTS, TALLY_WIDTH
from cdq.workers.worker import Worker
from tests.benchmarks.mpi import (
    Pairs,
    Table,
    Times,
    learner,
    ratios,
    scaled,
    seconds_per_round,
    spread,
    touched,
)
from tests.benchmarks.zmq_hubs import light, serve_echo, serve_many, serve_merges, serve_relay

Way = Callable[[Pairs], tuple[float, float]]  # merges a window; seconds until merged, and with the commit

_TOUCHED = np.uint32(1 << 31)  # the flag in a count
_SIZE = _STATES, _ACTIONS, _LANES = 1_000_000, 8, 64
_WINDOW = _STATES * _ACTIONS  # steps; each pair once where everything is touched
_LAKE = "FrozenLake8x8-v1"
_DEADLINE = 120.0
_spawn = multiprocessing.get_context("spawn")

# ---- workers


def touch(worker: Worker, merged: Any, pairs: Pairs) -> None:
    """Make a window of `_WINDOW` steps that visited *pairs*, all as often."""
    n_actions = merged.values.shape[1]
    data = np.asarray(worker.rows.data)
    values = data[:, : 4 * n_actions].view(np.float32)
    counts = data[:, 4 * n_actions : 8 * n_actions].view(np.uint32)
    state, action = np.divmod(pairs, np.uint32(n_actions))
    values[state, action] += np.float32(1)
    counts[state, action] = (merged.clock[state, action] + np.uint32(_WINDOW // pairs.size)) | _TOUCHED
    np.asarray(worker.rows.log)[: pairs.size] = pairs
    worker.rows.touched = pairs.size


def by_hub(url: str, rank: int, meet: Callable[[], float], keys: Sequence[str]) -> Way:
    """Return how windows are merged by a hub: as a member of a job does it, but for the learning."""
    connection = Connection(
        url, hello(), timeout=_DEADLINE, keys=Keys(keys[rank]) if "curve" in url else None
    )
    member, joined = Member(), connection.wait()
    assert isinstance(joined, Joined), joined
    member.join(joined.payload)
    worker, version = member._worker, joined.version

    def merge(pairs: Pairs) -> tuple[float, float]:
        nonlocal version
        checksum = worker.checksum() if member.window.compare else -1
        touch(worker, member._welcome.merged, pairs)
        started = meet()
        contribution = WorkerContribution(worker, needs_mass=False)
        contribution.summary = Summary(0, 0, 0.0, 0, GO_ON, _no_episodes())
        connection.submit(pack_contribution(contribution, member._kept, checksum, worker.lane_state), version)
        happened = connection.wait()
        merged = time.perf_counter()
        assert isinstance(happened, Deliver), happened
        version = happened.version
        member.settle(happened.payload)
        committed = time.perf_counter()
        if not member.window.sweeps:
            connection.close()
        return merged - started, committed - started

    return merge


def _no_episodes() -> bytes:
    """Return the tallies of a window of `_WINDOW` steps in which no episode ended."""
    tallies = np.zeros((MOST_PARTS, TALLY_WIDTH))
    tallies[:, 0] = _WINDOW // MOST_PARTS
    return tallies.tobytes()


def by_rank(table: Table, contribution: WorkerContribution, meet: Callable[[], float]) -> Way:
    """Return how windows are merged by ranks themselves."""

    def merge(pairs: Pairs) -> tuple[float, float]:
        table.touch(pairs)
        started = meet()
        slices, _ = table.comm.merge(contribution, "mean")
        merged = time.perf_counter()
        table.commit(slices)
        return merged - started, time.perf_counter() - started

    return merge


def by_echo(url: str, copy: bool, meet: Callable[[], float]) -> Way:
    """Return how the bytes of a contribution go to and fro where nothing is done with them."""
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(url.removeprefix("zmq+"))

    def echo(pairs: Pairs) -> tuple[float, float]:
        data = np.ones(pairs.size * (8 if pairs.size == _WINDOW else 12), np.uint8)
        started = meet()
        socket.send(data, copy=copy)
        socket.recv(copy=copy)
        seconds = time.perf_counter() - started
        return seconds, seconds

    return echo


def make_ways(
    urls: Mapping[str, str], rank: int, meet: Callable[[], float], keys: Sequence[str]
) -> dict[str, Way]:
    """Return the ways to merge that there are hubs for."""
    ways = {way: by_hub(url, rank, meet, keys) for way, url in urls.items() if way.startswith("hub")}
    for copy in (True, False):
        if f"echo, copy={copy}" in urls:
            ways[f"echo, copy={copy}"] = by_echo(urls[f"echo, copy={copy}"], copy, meet)
    if "ranks" in urls:
        table = Table(ZmqCommunicator.connect(urls["ranks"], 2, _DEADLINE)[0], _STATES, _ACTIONS)
        ways["ranks, shared memory"] = by_rank(table, table.shared, meet)
        ways["ranks, messages"] = by_rank(table, table.by_messages, meet)
    return ways


def work(
    told: Any, barrier: Any, rank: int, urls: Mapping[str, str], keys: Sequence[str], rows: Any, repeats: int
) -> None:
    """Merge everything in turn, so many times after a first one, beside the other worker; tell the seconds."""

    def meet() -> float:
        barrier.wait(_DEADLINE)
        return time.perf_counter()

    ways, windows = make_ways(urls, rank, meet, keys), touched(_STATES, _ACTIONS, rank)
    told.put([[ways[way](windows[window]) for way, window in rows] for _ in range(repeats + 1)][1:])
    barrier.wait(_DEADLINE)  # a rank that leaves ends the calls of the other


# ---- measuring


@contextlib.contextmanager
def processes() -> Iterator[tuple[Callable[..., Any], Callable[[Any], Any]]]:
    """Give what starts a function in a process of its own and returns the queue that it tells by, and what hears it.

    All end with the context.
    """
    started = []

    def start(function: Callable[..., None], *arguments: Any) -> Any:
        told = _spawn.Queue()
        process = _spawn.Process(target=function, args=(told, *arguments), daemon=True)
        process.start()
        started.append((process, told))  # a queue that nobody holds is gone before the process has it
        return told

    def hear(told: Any) -> Any:
        until = time.monotonic() + _DEADLINE
        while time.monotonic() < until and not any(process.exitcode for process, _ in started):
            with contextlib.suppress(queue.Empty):
                return told.get(timeout=0.5)
        raise SystemExit("a process of the benchmark has failed, or does not answer")

    try:
        yield start, hear
    finally:
        for process, _ in started:
            process.terminate()
            process.join()


def in_turn(actions: Mapping[str, Callable[[], float]], repeats: int) -> Times:
    """Run all actions in turn, so many times after a first one; return their results."""
    rows = [[action() for action in actions.values()] for _ in range(repeats + 1)][1:]
    return dict(zip(actions, map(list, zip(*rows, strict=True)), strict=True))


def show(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]
    print(f"\n{title}\n", *lines, sep="\n", flush=True)


def merge_times(
    servers: Mapping[str, tuple[Any, ...]], rows: Sequence[tuple[str, str]], keys: Sequence[str], repeats: int
) -> tuple[Times, Times]:
    """Return the seconds of the slower worker for each row (a way, a window): until merged, and with the commit."""
    with processes() as (start, hear):
        places = {way: start(*server) for way, server in servers.items()}
        urls = {way: hear(told) for way, told in places.items()}
        barrier = _spawn.Barrier(2)
        workers = [start(work, barrier, rank, urls, keys, rows, repeats) for rank in range(2)]
        slower = np.max([hear(told) for told in workers], axis=0)
    names = [f"{way}, {window}" for way, window in rows]
    merged, committed = (dict(zip(names, slower[:, :, what].T.tolist(), strict=True)) for what in range(2))
    return merged, committed


def measure_merges(repeats: int) -> None:
    """Print what merges of 10^6 states x 8 actions take, beside a bare echo."""
    windows = ("all", "1 % of the pairs", "1 % of the states")
    rows = [(f"echo, copy={copy}", "all") for copy in (True, False)]
    rows += [
        (way, window) for way in ("hub", "ranks, shared memory", "ranks, messages") for window in windows
    ]
    with tempfile.TemporaryDirectory(prefix="cdq-") as folder:
        servers: dict[str, tuple[Any, ...]] = {
            "hub": (serve_merges, f"zmq+ipc://{folder}/hub", None, 3 * (repeats + 1), _SIZE),
            "ranks": (serve_relay, f"zmq+ipc://{folder}/relay"),
        }
        for copy in (True, False):
            servers[f"echo, copy={copy}"] = (serve_echo, f"zmq+ipc://{folder}/echo-{copy}", copy)
        merged, committed = merge_times(servers, rows, (), repeats)
    echoes = [merged[f"echo, copy={copy}, all"] for copy in (True, False)]
    found = []
    for way, window in rows:
        own, dense = merged[f"{way}, {window}"], merged[f"{way}, all"]
        whole = spread(scaled(committed[f"{way}, {window}"], 1e3)) if "echo" not in way else ""
        row = [f"{way}, {window}", spread(scaled(own, 1e3)), whole]
        row += [ratios(echo, own) if window == "all" else "" for echo in echoes]
        found.append([*row, ratios(dense, own) if window != "all" else ""])
    title = f"A `mean` merge of {_STATES:,} x {_ACTIONS} float32 by 2 workers over ipc"
    heads = ["", "ms", "with commit, ms", "throughput to an echo's, copy=True", "copy=False"]
    show(title, [*heads, "everything touched / this"], found)


def make_keys(folder: str) -> list[str]:
    """Make the keys of a hub and two workers; return the workers' directories."""
    public, workers = keygen(f"{folder}/keys"), [f"{folder}/worker{rank}" for rank in range(2)]
    for rank, directory in enumerate(workers):
        allow(f"{folder}/keys", keygen(directory), f"worker{rank}")
        Path(directory, "hub.public").write_bytes(public.read_bytes())
    return workers


def measure_curve(repeats: int) -> None:
    """Print what the merges of sparse contributions take with CURVE, beside plain tcp."""
    windows = ("1 % of the pairs", "1 % of the states")
    rows = [(way, window) for window in windows for way in ("hub, plain tcp", "hub, CURVE")]
    rounds = len(windows) * (repeats + 1)
    with tempfile.TemporaryDirectory(prefix="cdq-") as folder:
        keys = make_keys(folder)
        servers = {
            "hub, plain tcp": (serve_merges, "zmq+tcp://127.0.0.1:0", None, rounds, _SIZE),
            "hub, CURVE": (serve_merges, "zmq+curve://127.0.0.1:0", f"{folder}/keys", rounds, _SIZE),
        }
        merged, committed = merge_times(servers, rows, keys, repeats)
    found = []
    for way, window in rows:
        own, whole, plain = (
            merged[f"{way}, {window}"],
            committed[f"{way}, {window}"],
            committed[f"hub, plain tcp, {window}"],
        )
        name = f"{way.removeprefix('hub, ')}, {window}"
        found.append(
            [name, *(spread(scaled(figures, 1e3)) for figures in (own, whole)), ratios(whole, plain)]
        )
    title = f"CURVE beside plain tcp on loopback, merges of {_STATES:,} x {_ACTIONS} float32"
    show(title, ["", "ms", "with commit, ms", "to plain tcp"], found)


# ---- learning


def hub_learner(window: int, workers: int) -> QLearner:
    """Return a learner with local workers of a hub."""
    hub: Any = "zmq"
    return learner(hub, _LAKE, window, workers=workers)


def measure_learning(repeats: int) -> None:
    """Print the speed of two local workers and of one, and of one in this process."""
    window, rounds = 100_000, 1000
    names = ("1 local worker", "2 local workers", "1 worker in this process")
    makers = (
        partial(hub_learner, window, 1),
        partial(hub_learner, window, 2),
        partial(learner, None, _LAKE, window),
    )
    actions = {
        name: lambda make=make: seconds_per_round(make(), rounds)
        for name, make in zip(names, makers, strict=True)
    }
    speeds = {
        name: [(1 + name.startswith("2")) * window / second / 1e6 for second in seconds]
        for name, seconds in in_turn(actions, repeats).items()
    }
    heads = ["", "million steps/s", "to 1 local worker", "to 1 in this process"]
    rows = [
        [name, spread(own), *(ratios(own, speeds[names[base]]) for base in (0, 2))]
        for name, own in speeds.items()
    ]
    show(f'Learning {_LAKE}, sync_every {window:,}, `comm="zmq"`', heads, rows)


def measure_rounds(repeats: int) -> None:
    """Print what a round of a 64 x 4 table takes."""
    windows = (64, 1024, 16384)
    actions = {}
    for window in windows:
        for workers in (1, 2):
            actions[f"{workers} {window}"] = lambda w=window, n=workers: seconds_per_round(
                hub_learner(w, n), 1000
            )
        actions[f"alone {window}"] = lambda w=window: seconds_per_round(learner(None, _LAKE, w), 1000)
    times = in_turn(actions, repeats)
    rows = []
    for window in windows:
        alone, one, two = (scaled(times[f"{who} {window}"], 1e3) for who in ("alone", 1, 2))
        beside = [b - a for a, b in zip(alone, two, strict=True)]
        rows.append([f"{window:,}", *(spread(figures, ".3f") for figures in (alone, one, two, beside))])
    heads = ["steps", "1 worker in this process", "1 local worker", "2 local workers", "beside the first"]
    show(f'A round of a 64 x 4 table ({_LAKE}), `comm="zmq"`, ms', heads, rows)


def measure_many(repeats: int) -> None:
    """Print how many rounds a second a hub makes with 500 workers, and the memory that it takes; once."""
    workers, rounds, together = 500, 100, 4
    with tempfile.TemporaryDirectory(prefix="cdq-") as folder, processes() as (start, hear):
        told = start(serve_many, f"zmq+ipc://{folder}/hub", workers, rounds)
        url = hear(told)
        for _ in range(together):
            start(light, url, workers // together)
        lines, memory = hear(told)
    came, ends = zip(*lines, strict=True)
    speeds = 1 / np.maximum(np.diff(ends), 1e-9)
    row = [f"{len(came)} of {rounds}", f"{min(came)} - {max(came)}", spread(speeds.tolist()), f"{memory:.0f}"]
    heads = ["rounds", "contributions in each", "rounds/s", "most memory of the hub, MiB"]
    show(
        f"{workers} workers in {together} processes, 500 x 6 table, windows of 30 steps (1 % of the pairs)",
        heads,
        [row],
    )


PARTS: dict[str, Callable[[int], None]] = {
    "merge": measure_merges,
    "curve": measure_curve,
    "learning": measure_learning,
    "round": measure_rounds,
    "many": measure_many,
}


def main() -> None:
    """Measure the parts that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    for part in given.parts or PARTS:
        PARTS[part](given.repeats)


if __name__ == "__main__":
    main()
