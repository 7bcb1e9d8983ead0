"""Two MPI ranks: a merge against Allreduce, learning against one worker, what a round costs, and overlap.

Run it from the checkout: ``python -m tests.benchmarks.mpi`` (two minutes), or with the names of some parts only: merge,
learning, round, overlap. It starts ``mpiexec -n 2`` itself; with ``--nodes`` on two nodes, which share no memory
(`tests.nodes`; as root). Prints Markdown: medians, with the least and the greatest,
of repeats in which everything in a table was measured in turn; ratios are formed within a repeat.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq import QLearner
from cdq.cli.benchmarks import random_jumps
from cdq.comm.base import Communicator
from cdq.comm.launchers import started_by
from cdq.comm.mpi.communicator import MPICommunicator
from cdq.core.merge.merge import commit
from cdq.qfunctions.merged import MergedTable, allocate, rows_over, table_bytes
from cdq.schedules import RescaledLinear, build_law
from cdq.workers.contribution import PeerTable, Summary, WorkerContribution, peer_bytes
from tests.mpi.jobs import environment, mpiexec
from tests.nodes import joined

Times = dict[str, list[float]]
Pairs = npt.NDArray[np.uint32]

_TOUCHED = np.uint32(1 << 31)  # the flag in a count
_VISITS = 3
_LANES, _LAKE = 64, "FrozenLake8x8-v1"
_ROUNDS = 12  # of a large table


class ByMessages(MPICommunicator):
    """Ranks that share no memory, as on different nodes."""

    def share(self, n_bytes: int) -> None:
        """Have none."""


class Table:
    """A worker's table, and windows that touched what they are told to.

    Parameters
    ----------
    comm : Communicator
        Through which it is merged.
    n_states, n_actions : int
        Its size; values are float32.
    """

    def __init__(self, comm: Communicator, n_states: int, n_actions: int) -> None:
        self.comm, self.merged = comm, MergedTable(n_states, n_actions, "float32", 0.0)
        shared = comm.share(peer_bytes(self.merged, comm.size))
        memory = allocate(table_bytes(self.merged))
        if shared is not None:
            memory = np.frombuffer(shared[comm.rank], np.uint8)
        self.rows = rows_over(memory, self.merged)
        self._law = build_law(RescaledLinear(0.99), 0, 0.3, "float32")
        peers = [
            PeerTable(segment, self.merged, comm.size, rank) for rank, segment in enumerate(shared or ())
        ]
        self.by_messages = self._contribution()
        self.shared = self._contribution(peers)
        self.ways = {"messages": self.by_messages}
        if peers:
            self.ways = {"shared memory": self.shared, **self.ways}

    def _contribution(self, peers: Sequence[PeerTable] = ()) -> WorkerContribution:
        worker: Any = self  # its rows are all that is asked for
        made = WorkerContribution(worker, False, peers, self.comm.rank)
        made.law, made.summary = self._law, Summary(0, 0, 0.0, 0, 0)
        return made

    def touch(self, pairs: Pairs) -> None:
        """Make a window that visited each of *pairs* three times."""
        n_actions = self.merged.values.shape[1]
        data = np.asarray(self.rows.data)
        values = data[:, : 4 * n_actions].view(np.float32)
        counts = data[:, 4 * n_actions : 8 * n_actions].view(np.uint32)
        state, action = np.divmod(pairs, np.uint32(n_actions))
        values[state, action] += np.float32(1 + self.comm.rank)
        counts[state, action] = (self.merged.clock[state, action] + _VISITS) | _TOUCHED
        np.asarray(self.rows.log)[: pairs.size] = pairs
        self.rows.touched = pairs.size

    def merge(self, contribution: WorkerContribution, rule: str) -> tuple[float, float]:
        """Return the seconds of the merge, and with the commit of it."""
        started = meet()
        slices, _ = self.comm.merge(contribution, rule)
        merged = time.perf_counter()
        self.commit(slices)
        return merged - started, time.perf_counter() - started

    def commit(self, slices: list[Any]) -> None:
        """Make merged slices the table, as `Worker.commit` does."""
        commit(self.rows, slices, self.merged.visits.reshape(-1))


# ---- measuring


def meet() -> float:
    """Wait for the other ranks; return the time."""
    from mpi4py import MPI

    MPI.COMM_WORLD.Barrier()
    return time.perf_counter()


def alone(comm: Communicator, action: Callable[[], float]) -> float:
    """Run an action on rank 0 while the other ranks sleep; return what it returns there, 0 elsewhere."""
    from mpi4py import MPI

    result = action() if comm.rank == 0 else 0.0
    arrived = MPI.COMM_WORLD.Ibarrier()
    while not arrived.Test():
        time.sleep(1e-3)
    return result


def in_turn(comm: Communicator, actions: Mapping[str, Callable[[], float]], repeats: int) -> Times:
    """Run all actions in turn, so many times after a first one; return the seconds of the slowest rank."""
    rows = [[action() for action in actions.values()] for _ in range(repeats + 1)][1:]
    ranks = [np.frombuffer(part) for part in comm.allgather(np.array(rows))]
    slowest = np.max(ranks, axis=0).reshape(repeats, len(actions))
    return dict(zip(actions, slowest.T.tolist(), strict=True))


def spread(figures: Sequence[float], form: str = ".1f") -> str:
    """Return median, least and greatest as text."""
    return f"{statistics.median(figures):{form}} ({min(figures):{form}} - {max(figures):{form}})"


def scaled(figures: Sequence[float], factor: float) -> list[float]:
    """Return the figures in another unit."""
    return [figure * factor for figure in figures]


def ratios(one: Sequence[float], other: Sequence[float]) -> str:
    """Return how figures compare, repeat by repeat."""
    return spread([a / b for a, b in zip(one, other, strict=True)], ".2f")


def show(comm: Communicator, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, from rank 0."""
    if comm.rank == 0:
        lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]
        print(f"\n{title}\n", *lines, sep="\n", flush=True)


# ---- one merge


def touched(n_states: int, n_actions: int, rank: int) -> dict[str, Pairs]:
    """Return what windows touch: everything, 1 % of the pairs, 1 % of the states with all their pairs."""
    rng = np.random.default_rng(rank)
    n = n_states * n_actions
    states = rng.choice(n_states, n_states // 100, replace=False)
    return {
        "all": np.arange(n, dtype=np.uint32),
        "1 % of the pairs": rng.choice(n, n // 100, replace=False).astype(np.uint32),
        "1 % of the states": (states[:, None] * n_actions + np.arange(n_actions)).astype(np.uint32).ravel(),
    }


def measure_merges(comm: Communicator, repeats: int) -> None:
    """Print what merges of 10^6 states x 8 actions take, beside Allreduce in place."""
    n_states, n_actions = 1_000_000, 8
    table, windows = Table(comm, n_states, n_actions), touched(n_states, n_actions, comm.rank)
    both, values = (np.ones(n_states * n_actions * words, np.float32) for words in (2, 1))
    actions: dict[str, Callable[[], float]] = {
        "Allreduce 64 MB": lambda: allreduce(both),
        "Allreduce 32 MB": lambda: allreduce(values),
    }
    committed: dict[str, list[float]] = {}

    def merge(name: str, pairs: Pairs, contribution: WorkerContribution, rule: str) -> float:
        table.touch(pairs)
        merged, whole = table.merge(contribution, rule)
        committed.setdefault(name, []).append(whole)
        return merged

    for rule in ("mean", "pooled"):
        for what, pairs in windows.items():
            for way, contribution in table.ways.items():
                name = f"`{rule}`, {what}, {way}"
                actions[name] = lambda n=name, p=pairs, c=contribution, r=rule: merge(n, p, c, r)  # type: ignore[misc]
    times = in_turn(comm, actions, repeats)
    show(
        comm,
        f"A merge of {n_states:,} x {n_actions} float32 by 2 ranks{' on two nodes' * (len(table.ways) == 1)}",
        ["", "ms", "with commit, ms", "to Allreduce of 64 MB", "of 32 MB", "everything touched / this"],
        [_merge_row(name, times, committed) for name in times],
    )


def allreduce(array: npt.NDArray[np.float32]) -> float:
    """Return the seconds of MPI's own sum, in place."""
    from mpi4py import MPI

    started = meet()
    MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, array)
    return time.perf_counter() - started


def _merge_row(name: str, times: Times, committed: Times) -> list[str]:
    own = times[name]
    row = [
        name,
        spread(scaled(own, 1e3)),
        spread(scaled(committed[name][1:], 1e3)) if name in committed else "",
    ]
    row += [ratios(own, times[f"Allreduce {size} MB"]) for size in (64, 32)]
    rule, _, rest = name.partition(", 1 %")
    dense = f"{rule}, all, {rest.rpartition(', ')[2]}"
    return [*row, ratios(times[dense], own) if rest else ""]


# ---- learning


def learner(comm: Communicator | None, env: Any, window: int, **settings: Any) -> QLearner:
    """Return a learner of all ranks, or of one worker in this process."""
    how: dict[str, Any] = {"comm": "inprocess", "workers": 1} if comm is None else {"comm": comm}
    return QLearner(env, sync_every=window, num_envs=_LANES, dtype="float32", seed=0, **how, **settings)


def seconds_per_round(agent: QLearner, rounds: int) -> float:
    """Learn; return the seconds of a round in the second half, on rank 0, 0 elsewhere."""
    per_round = agent.settings.sync_every.floor * agent.settings.workers
    agent.learn(rounds * per_round, verbose=0)
    if agent.rank > 0:
        return 0.0
    rows = agent.history.to_arrays()  # of parts of a round, or of several
    steps, seconds = rows["steps"], rows["seconds"]
    half = len(steps) // 2
    return float((seconds[-1] - seconds[half]) / (steps[-1] - steps[half])) * per_round


def measure_learning(comm: Communicator, repeats: int) -> None:
    """Print the speed of two ranks and of one worker."""
    window, rounds = 100_000, 1000
    times = in_turn(
        comm,
        {
            "1 worker": lambda: alone(comm, lambda: seconds_per_round(learner(None, _LAKE, window), rounds)),
            "2 ranks": lambda: seconds_per_round(learner(comm, _LAKE, window), rounds),
        },
        repeats,
    )
    speeds = {
        name: [(1 + (name != "1 worker")) * window / second / 1e6 for second in seconds]
        for name, seconds in times.items()
    }
    rows = [[name, spread(found), ratios(found, speeds["1 worker"])] for name, found in speeds.items()]
    title = f"Learning {_LAKE}, sync_every {window:,}"
    show(comm, title, ["", "million steps/s", "to 1 worker"], rows)


def measure_rounds(comm: Communicator, repeats: int) -> None:
    """Print what a round of a 64 x 4 table takes beside the loop."""
    long, windows = 1 << 17, (512, 1024, 2048, 4096, 16384, 65536)
    rounds = {window: max(100, min(2000, 1 << 24 // window)) for window in (*windows, long)}
    actions: dict[str, Callable[[], float]] = {}
    for window in (*windows, long):
        one = lambda w=window: seconds_per_round(learner(None, _LAKE, w), rounds[w])  # noqa: E731
        actions[f"1 {window}"] = lambda one=one: alone(comm, one)  # type: ignore[misc]
        actions[f"2 {window}"] = lambda w=window: seconds_per_round(learner(comm, _LAKE, w), rounds[w])  # type: ignore[misc]
    times = in_turn(comm, actions, repeats)
    rows = []
    for window in windows:
        one, two = (scaled(times[f"{workers} {window}"], 1e6) for workers in (1, 2))
        loop = scaled(times[f"1 {long}"], 1e6 * window / long)
        above = [[b - a for a, b in zip(base, two, strict=True)] for base in (one, loop)]
        rows.append([f"{window:,}", spread(one), spread(two), *map(spread, above)])
    show(
        comm,
        f"A round of a 64 x 4 table ({_LAKE}), microseconds",
        ["steps", "1 worker", "2 ranks", "difference", f"above the loop alone (1 worker, {long:,} steps)"],
        rows,
    )


# ---- overlap


def measure_overlap(comm: Communicator, repeats: int) -> None:
    """Print what overlap does where a merge takes a third of the time of rounds in turn."""
    model, messages = random_jumps(1_000_000, 4, seed=0), ByMessages.connect("mpi", 2, 60.0)[0]

    def one(window: int) -> float:
        return alone(comm, lambda: seconds_per_round(learner(None, model, window), _ROUNDS))

    def two(window: int, how: Communicator, overlap: bool) -> float:
        return seconds_per_round(learner(how, model, window, overlap=overlap), _ROUNDS)

    window = 2_000_000
    for _ in range(3):  # what a merge takes depends on the window, too
        found = np.array([one(window), two(window, comm, False)])
        loop, both = np.frombuffer(comm.broadcast(found, 0)).tolist()
        window = int(min(max(2 * (both - loop) / loop * window, 1e5), 1.6e7)) // _LANES * _LANES
    times = in_turn(
        comm,
        {
            "1 worker": lambda: one(window),
            "2 ranks, in turn, shared memory": lambda: two(window, comm, False),
            "2 ranks, in turn, messages": lambda: two(window, messages, False),
            "2 ranks, overlapped": lambda: two(window, comm, True),
        },
        repeats,
    )
    messages.close()
    plain = times["2 ranks, in turn, shared memory"]
    rows = [[name, spread(scaled(found, 1e3)), ratios(plain, found)] for name, found in times.items()]
    title = f"Overlap of merges that take a third of the time ({model.name} x 4 actions)"
    show(
        comm,
        title,
        [f"windows of {window:,} steps", "ms a round", "rounds/s, to shared memory in turn"],
        rows,
    )


PARTS: dict[str, Callable[[Communicator, int], None]] = {
    "merge": measure_merges,
    "learning": measure_learning,
    "round": measure_rounds,
    "overlap": measure_overlap,
}


def start(
    ranks: int, arguments: Sequence[str], extra: Mapping[str, str], nodes: bool = False, **options: Any
) -> Any:
    """Run Python with *arguments* on so many ranks, to the end; *options* are those of `subprocess.run`."""
    with joined(ranks) if nodes else nullcontext() as network:
        launch = [*mpiexec(), "-n", str(ranks)] if network is None else network.mpiexec([1] * ranks)
        command = [*launch, sys.executable, *arguments]
        return subprocess.run(command, env=environment(extra), check=True, timeout=600, **options)


def main() -> None:
    """Start the job, or be a rank of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--nodes", action="store_true", help="a node for each rank")
    given = parser.parse_args()
    if started_by() is None:
        # A core for each rank: to wait without leaving it is faster, for Allreduce too.
        waiting = {"OMPI_MCA_mpi_yield_when_idle": "0"}
        start(2, ["-m", "tests.benchmarks.mpi", *sys.argv[1:]], waiting, given.nodes)
        return
    with MPICommunicator.connect("mpi", 2, 60.0)[0] as comm:
        for part in given.parts or PARTS:
            PARTS[part](comm, given.repeats)


if __name__ == "__main__":
    main()
