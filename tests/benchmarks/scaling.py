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
from typing import Any

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
_COMPUTED_LOOPS = ((64, 4), (100_000, 6), (10_000_000, 4, 0.01))

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


def measure_job(comm: Communicator, repeats: int) -> dict[str, list[Any]]:
    """Return what is measured with the ranks of this job: merges, and rounds of learning."""
    merges, rounds = [], []
    for n_states, n_actions, share, most in _MERGES if comm.size in FITTED else ():
        if comm.size <= most:
            table = Table(comm, n_states, n_actions)
            seconds = measure_merge(comm, table, share, repeats)
            merges.append((touching(comm.size, n_states * n_actions, share), seconds))
    for n_states, n_actions, window in _LEARNING if comm.size in CHECKED else ():
        rounds.append(measure_learning(comm, n_states, n_actions, window))
    return {"merges": merges, "rounds": rounds}


def measure_learning(comm: Communicator | None, n_states: int, n_actions: int, window: int) -> float:
    """Return the seconds of a round; of one worker without a communicator."""
    agent = learner(comm, random_jumps(n_states, n_actions, seed=0), window, exploration=1.0)
    return seconds_per_round(agent, 16)


def run_jobs(repeats: int) -> tuple[list[tuple[Merge, float]], dict[int, list[float]]]:
    """Return the merges measured, with their seconds, and the seconds of rounds by number of ranks."""
    merges, rounds = [], {}
    for ranks in sorted({*FITTED, *CHECKED}):
        arguments = ["-W", "ignore", "-m", "tests.benchmarks.scaling", "--repeats", str(repeats)]
        job = start(ranks, arguments, {}, stdout=subprocess.PIPE, text=True)
        found = json.loads(job.stdout)
        merges += [(Merge(*merge), seconds) for merge, seconds in found["merges"]]
        if found["rounds"]:
            rounds[ranks] = found["rounds"]
    return merges, rounds


# ---- measured in this process


def measure_alone(repeats: int) -> list[tuple[Merge, float]]:
    """Return the seconds of work of a rank among many; all touch the same pairs."""
    found = []
    for n_states, n_actions, share, _ in _MERGES[:-1]:
        for ranks in ALONE:
            table = Table(Mirror(ranks), n_states, n_actions)
            pairs = np.random.default_rng(0).permutation(n_states * n_actions)
            touched = np.sort(pairs[: int(share * pairs.size)]).astype(np.uint32)
            times = [_work(table, touched) for _ in range(repeats + 1)]
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


def show_check(rounds: dict[int, list[float]], costs: Costs) -> None:
    """Print rounds of learning beside what the model says of them."""
    rows = []
    for case, (n_states, n_actions, window) in enumerate(_LEARNING):
        loop, n_pairs = measure_learning(None, n_states, n_actions, window), n_states * n_actions
        for ranks, found in rounds.items():
            merge = touching(ranks, n_pairs, 1 - math.exp(-window / n_pairs))
            modelled = turns(ranks) * loop + model(merge, costs)
            names = [f"{n_states:,} x {n_actions}", f"{window:,}", str(ranks)]
            figures = [turns(ranks) * loop * 1e3, modelled * 1e3, found[case] * 1e3, modelled / found[case]]
            rows.append(names + [rounded(figure) for figure in figures])
    heads = ["table", "window", "ranks", "loop, ms", "round by the model", "measured", "model / measured"]
    show("Rounds of learning, which were not fitted", heads, rows)


def show_computed(costs: Costs) -> None:
    """Print what the model says of large jobs on a network."""
    small, middle, large = (measure_loop(*size) for size in _COMPUTED_LOOPS)
    cases = (
        ("64 x 4, all touched", 256, 1.0, True, small),
        ("10^5 x 6, all touched", 600_000, 1.0, True, middle),
        ("10^7 x 4, all ranks the same 1 %", 40_000_000, 0.01, True, large),
        ("10^7 x 4, each rank 1 % at random", 40_000_000, 0.01, False, large),
    )
    show(
        "The loop",
        ["table", "ns a step"],
        [[name.partition(",")[0], f"{step * 1e9:.1f}"] for name, *_, step in cases[:3]],
    )
    heads = ["table", "ranks", "work, ms", "travel, ms", f"part at {_EXAMPLE:,}", "half at", "a tenth at"]
    for per_link in PER_LINK:
        rows = []
        for name, n_pairs, share, together, step in cases:
            for ranks in COMPUTED:
                work, travel = on_network(touching(ranks, n_pairs, share, together), costs, per_link)
                figures = [f"{ranks:,}", rounded(work * 1e3), rounded(travel * 1e3)]
                merge = work + travel
                parts = [
                    f"{merge / (merge + _EXAMPLE * step):.0%}",
                    *(window_for(merge, step, p) for p in (0.5, 0.1)),
                ]
                rows.append([name, *figures, *parts])
        show(f"Computed, {per_link} rank{'s' * (per_link > 1)} to a link", heads, rows)


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
    given = parser.parse_args()
    if started_by() is not None:
        with ByMessages.connect("mpi", None, 120.0)[0] as comm:  # type: ignore[arg-type]
            found = measure_job(comm, given.repeats)
            if comm.rank == 0:
                print(json.dumps(found))
        return
    alone = measure_alone(given.repeats)
    merges, rounds = run_jobs(given.repeats)
    costs = fit(merges, alone)
    show_fit(merges, alone, costs)
    show_check(rounds, costs)
    show_computed(costs)


if __name__ == "__main__":
    main()
