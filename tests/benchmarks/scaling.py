"""What a round costs as the ranks grow: a model fitted to merges here, checked against learning here, and computed on.

Run it from the checkout: ``python -m tests.benchmarks.scaling`` (three minutes, 8 GB). Prints the tables of
docs/scaling.md. It starts jobs of 2 to 32 ranks, which share no memory, as if each were on a node of its own; and it
lets one process do the work of a rank among up to 4,096, without the messages.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.cli.benchmarks import random_jumps
from cdq.comm.base import Communicator
from cdq.comm.launchers import started_by
from cdq.mdp.model import MDP
from tests.benchmarks.cost_model import (
    COSTS,
    PER_LINK,
    Costs,
    Measured,
    Merge,
    fit,
    model,
    on_network,
    touching,
    turns,
)
from tests.benchmarks.mirror import Mirror
from tests.benchmarks.mpi import ByMessages, Table, learner, meet, seconds_per_round, start

FITTED, CHECKED = (2, 4, 8, 16, 32), (3, 12, 24, 32)
ALONE = (2, 16, 128, 1024, 4096)
COMPUTED = (64, 256, 1024, 4096)
_LONGEST_WINDOW = 2**24
_EXAMPLE = 100_000  # steps
# What is computed: its name, states, actions, the share that a rank touches, whether all touch the same.
_COMPUTED = (
    ("64 x 4, all touched", 64, 4, 1.0, True),
    ("10^5 x 6, all touched", 100_000, 6, 1.0, True),
    ("10^7 x 4, all ranks the same 1 %", 10_000_000, 4, 0.01, True),
    ("10^7 x 4, each rank 1 % at random", 10_000_000, 4, 0.01, False),
)

# ---- measured in jobs

# States, actions, touched share, the most ranks.
_MERGES = (
    (16, 4, 1.0, 32),
    (64, 4, 1.0, 32),
    (150, 4, 1.0, 32),
    (1000, 4, 1.0, 32),
    (10_000, 6, 1.0, 32),
    (100_000, 6, 1.0, 32),
    (1_000_000, 4, 0.001, 32),
    (1_000_000, 4, 0.01, 32),
    (10_000_000, 4, 0.01, 4),
)
# States, actions, steps of a window; every pair is as likely as another.
_LEARNING = ((32, 4, 20_000), (20_000, 5, 200_000), (600_000, 4, 30_000))
_LANES = 64


class Extent(NamedTuple):
    """Repeats of a measurement, the most pairs of the tables that are measured, and the most ranks of a job."""

    repeats: int
    most: int
    ranks: int

    @property
    def merges(self) -> list[tuple[int, int, float, int]]:
        """States, actions, touched share, the most ranks, of the merges."""
        return [merge for merge in _MERGES if merge[0] * merge[1] <= self.most]

    @property
    def learning(self) -> list[tuple[int, int, int]]:
        """States, actions and window of the rounds of learning."""
        return [rounds for rounds in _LEARNING if rounds[0] * rounds[1] <= self.most]


def measure_merge(comm: Communicator, table: Table, share: float, repeats: int) -> float:
    """Return the seconds of a merge and its commit."""
    rng = np.random.default_rng(comm.rank)
    n = table.merged.values.size
    pairs = np.arange(n) if share == 1 else rng.choice(n, int(n * share), replace=False, shuffle=True)
    times = max(3, 300 // comm.size) if n < 10_000 else 2
    found = [_repeated(comm, table, pairs.astype(np.uint32), times) for _ in range(repeats + 1)]
    return min(found[1:])  # what else runs on the machine only adds


def _repeated(comm: Communicator, table: Table, pairs: npt.NDArray[np.uint32], times: int) -> float:
    """Merge and commit the same window so many times; return the seconds of once."""
    table.touch(pairs)
    started = meet()
    for _ in range(times):
        slices, _ = comm.merge(table.by_messages, "pooled")
    for _ in range(times):
        table.commit(slices)
    meet()
    return (time.perf_counter() - started) / times


def measure_job(comm: Communicator, extent: Extent) -> dict[str, list[Any]]:
    """Return what is measured with the ranks of this job: merges, and rounds of learning."""
    merges, rounds = [], []
    for n_states, n_actions, share, most in extent.merges if comm.size in FITTED else ():
        if comm.size <= most:
            table = Table(comm, n_states, n_actions)
            seconds = measure_merge(comm, table, share, extent.repeats)
            merges.append((touching(comm.size, n_states * n_actions, share), seconds))
    for n_states, n_actions, window in extent.learning if comm.size in CHECKED else ():
        rounds.append(measure_learning(comm, n_states, n_actions, window))
    return {"merges": merges, "rounds": rounds}


def measure_learning(comm: Communicator | None, n_states: int, n_actions: int, window: int) -> float:
    """Return the seconds of a round; of one worker without a communicator."""
    agent = learner(comm, random_jumps(n_states, n_actions, seed=0), window, exploration=1.0)
    return seconds_per_round(agent, 16)


def run_jobs(extent: Extent) -> tuple[list[tuple[Merge, float]], dict[int, list[float]]]:
    """Return the merges measured, with their seconds, and the seconds of rounds by number of ranks."""
    merges, rounds = [], {}
    for ranks in sorted({n for n in (*FITTED, *CHECKED) if n <= extent.ranks}):
        arguments = ["-W", "ignore", "-m", "tests.benchmarks.scaling"]
        arguments += ["--repeats", str(extent.repeats), "--most", str(extent.most)]
        job = start(ranks, arguments, {}, stdout=subprocess.PIPE, text=True)
        found = json.loads(job.stdout)
        merges += [(Merge(*merge), seconds) for merge, seconds in found["merges"]]
        if found["rounds"]:
            rounds[ranks] = found["rounds"]
    return merges, rounds


# ---- measured in this process


def measure_alone(extent: Extent) -> list[tuple[Merge, float]]:
    """Return the seconds of work of a rank among many; all touch the same pairs."""
    found = []
    for n_states, n_actions, share, most_ranks in extent.merges:
        if most_ranks < max(FITTED):  # as it is too large to be measured so
            continue
        for ranks in ALONE:
            table = Table(Mirror(ranks), n_states, n_actions)
            pairs = np.random.default_rng(0).permutation(n_states * n_actions)
            touched = np.sort(pairs[: int(share * pairs.size)]).astype(np.uint32)
            times = [_work(table, touched) for _ in range(extent.repeats + 1)]
            found.append((touching(ranks, pairs.size, share, together=True), min(times[1:])))
    return found


def _work(table: Table, pairs: npt.NDArray[np.uint32]) -> float:
    table.touch(pairs)
    started = time.perf_counter()
    slices, _ = table.comm.merge(table.by_messages, "pooled")
    table.commit(slices)
    return time.perf_counter() - started


# ---- printed


def show(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    lines = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]
    print(f"\n{title}\n", *lines, sep="\n", flush=True)


def rounded(number: float, digits: int = 2) -> str:
    """Return a number with so many digits that count, without an exponent."""
    if number == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(number)))
    return f"{round(number, places):,.{max(0, places)}f}"


def show_fit(merges: Measured, alone: Measured, costs: Costs) -> None:
    """Print the costs, and the merges that they were fitted to."""
    factors = {"µs": 1e6, "ns": 1e9}
    rows = [
        [name, f"{rounded(cost * factors[unit])} {unit}"]
        for (name, unit), cost in zip(COSTS.items(), costs, strict=True)
    ]
    show("Fitted", ["what", "costs a rank"], rows)
    title = "Merges that the model is fitted to: ms measured (model / measured)"
    _show_merges(title, FITTED, [(*found, model(found[0], costs)) for found in merges])
    title = "The work of one rank among so many, without messages: ms measured (model / measured)"
    works = [(*found, float(costs @ found[0].amounts(messages=False))) for found in alone]
    _show_merges(title, ALONE, works)


def _show_merges(title: str, sizes: Sequence[int], found: Sequence[tuple[Merge, float, float]]) -> None:
    """Print merges with what was measured and what the model says, a row for each table and a column for each size."""
    rows: dict[tuple[int, int], dict[int, str]] = {}
    for merge, seconds, modelled in found:
        row = rows.setdefault((merge.n_pairs, int(merge.touched)), dict.fromkeys(sizes, ""))
        row[merge.ranks] = f"{rounded(seconds * 1e3)} ({modelled / seconds:.2f})"
    heads = ["pairs touched", *(f"{ranks:,} ranks" for ranks in sizes)]
    show(title, heads, [[f"{kind[1]:,} of {kind[0]:,}", *row.values()] for kind, row in rows.items()])


def show_check(rounds: dict[int, list[float]], costs: Costs, extent: Extent) -> None:
    """Print rounds of learning beside what the model says of them."""
    rows = []
    for case, (n_states, n_actions, window) in enumerate(extent.learning):
        loop, n_pairs = measure_learning(None, n_states, n_actions, window), n_states * n_actions
        for ranks, found in rounds.items():
            merge = touching(ranks, n_pairs, 1 - math.exp(-window / n_pairs))
            modelled = turns(ranks) * loop + model(merge, costs)
            name = f"{n_states:,} x {n_actions}; {window:,}; {ranks}"
            figures = [turns(ranks) * loop * 1e3, modelled * 1e3, found[case] * 1e3, modelled / found[case]]
            rows.append([name, *map(rounded, figures)])
    heads = ["table; window; ranks", "loop, ms", "round by the model", "measured", "model / measured"]
    show("Rounds of learning, which were not fitted", heads, rows)


def show_computed(costs: Costs, extent: Extent) -> None:
    """Print what the model says of large jobs on a network."""
    cases = [
        (name, states * actions, share, together, measure_loop(states, actions, share))
        for name, states, actions, share, together in _COMPUTED
        if states * actions <= extent.most
    ]
    loops = {name.partition(",")[0]: f"{step * 1e9:.1f}" for name, *_, step in cases}
    show("The loop", ["table", "ns a step"], list(loops.items()))
    heads = ["table; ranks", "work, ms", "travel, ms", f"part at {_EXAMPLE:,}", "half at", "a tenth at"]
    for per_link in PER_LINK:
        rows = []
        for name, n_pairs, share, together, step in cases:
            for ranks in COMPUTED:
                work, travel = on_network(touching(ranks, n_pairs, share, together), costs, per_link)
                figures = [rounded(work * 1e3), rounded(travel * 1e3)]
                merge = work + travel
                parts = [
                    f"{merge / (merge + _EXAMPLE * step):.0%}",
                    *(window_for(merge, step, p) for p in (0.5, 0.1)),
                ]
                rows.append([f"{name}; {ranks:,}", *figures, *parts])
        show(f"Computed, {per_link} rank{'s' * (per_link > 1)} to a link", heads, rows)


@cache
def measure_loop(n_states: int, n_actions: int, share: float = 1.0) -> float:
    """Return the seconds of a step of one worker, whose jumps lead to a share of the states, all equally likely."""
    window, rng = 1 << 20, np.random.default_rng(0)
    reached = rng.choice(n_states, int(n_states * share), replace=False)
    start = np.zeros(n_states)
    start[reached] = 1 / reached.size
    n_pairs = n_states * n_actions
    model = MDP(
        n_states=n_states,
        n_actions=n_actions,
        offsets=np.arange(n_pairs + 1),
        next_state=rng.choice(reached, n_pairs).astype(np.int32),
        probability=np.ones(n_pairs),
        reward=rng.random(n_pairs),
        terminated=np.zeros(n_pairs, np.bool_),
        start=start,
        name="jumps",
    )
    return seconds_per_round(learner(None, model, window, exploration=1.0), 16) / window


def window_for(merge: float, step: float, part: float) -> str:
    """Return the window in which merging takes that part of the time."""
    window = merge * (1 / part - 1) / step
    if window <= _LONGEST_WINDOW:
        return rounded(window)
    least = merge / (merge + _LONGEST_WINDOW * step)
    return f"longest: {least:.0%}"


def main() -> None:
    """Start the jobs and print what came of them, or be a rank of one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--most", type=float, default=1e9, help="pairs of the largest table that is measured")
    parser.add_argument("--ranks", type=int, default=max(FITTED), help="those of the largest job")
    given = parser.parse_args()
    extent = Extent(given.repeats, int(given.most), given.ranks)
    if started_by() is not None:
        with ByMessages.connect("mpi", None, 120.0)[0] as comm:  # type: ignore[arg-type]
            found = measure_job(comm, extent)
            if comm.rank == 0:
                print(json.dumps(found))
        return
    alone = measure_alone(extent)
    merges, rounds = run_jobs(extent)
    costs = fit(merges, alone)
    show_fit(merges, alone, costs)
    show_check(rounds, costs, extent)
    show_computed(costs, extent)


if __name__ == "__main__":
    main()
