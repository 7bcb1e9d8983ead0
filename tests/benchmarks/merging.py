"""Merging from shared memory, in turn with a fused Numba mean of plain arrays of as many values.

    pip install ".[benchmark]"
    python -m tests.benchmarks.merging [--states 1000000] [--actions 8] [--repeats 7] [--only WORDS]

Prints a row per case: GB/s, medians (least - greatest) of runs in turn, on one core, and the part of the mean's. Bytes
are those that a rule needs: a value and a count of each worker, and the base, of each pair that was touched; the mean
reads values only. CPU time counts, as other work on the machine changes it least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from cdq.core.merge.merge import merge_tables
from cdq.qfunctions import MergedTable
from cdq.schedules import RescaledLinear, build_law
from tests.benchmarks.tables import begin, row, spread

RULES = ("mean", "visits", "pooled", "importance")
GOALS = {"mean": 0.8, "pooled": 0.4}  # of everything touched, float32
_TOUCHED, _MOST_VISITS = np.uint32(1 << 31), 6


@numba.njit(fastmath=False, cache=False)
def fused_mean(values, merged):
    """Average the rows of (workers, n) values."""
    workers = values.shape[0]
    for i in range(merged.size):
        total = values[0, i]
        for k in range(1, workers):
            total += values[k, i]
        merged[i] = total / workers


@numba.njit
def mean_of_two(first, second, merged):
    """Average two arrays."""
    for i in range(merged.size):
        merged[i] = (first[i] + second[i]) / 2


def touched(n_states: int, n_actions: int, how: str, rank: int) -> npt.NDArray[np.uint32]:
    """Return the pairs that a worker has touched: all, or one in a hundred."""
    rng = np.random.default_rng([rank, n_states])
    n = n_states * n_actions
    if how == "all":
        return rng.permutation(n).astype(np.uint32)
    if how == "1 % of the pairs":
        return rng.choice(n, n // 100, replace=False).astype(np.uint32)
    rows = rng.choice(n_states, n_states // 100, replace=False)
    return (rows[:, None] * n_actions + np.arange(n_actions)).reshape(-1).astype(np.uint32)


def tables(n_states: int, n_actions: int, dtype: str, how: str, size: int) -> Any:
    """Return the rows of workers after a window, and the merged table that they share."""
    merged = MergedTable(n_states, n_actions, dtype, 0.0)
    merged.clock[:] = np.random.default_rng(0).integers(0, 1000, merged.clock.shape, np.uint32)
    found = []
    for rank in range(size):
        rows, pairs = merged.new_rows(), touched(n_states, n_actions, how, rank)
        rng = np.random.default_rng(rank)
        data, end = np.asarray(rows.data), n_actions * merged.values.itemsize
        values, counts = data[:, :end].view(dtype), data[:, end : end + 4 * n_actions].view(np.uint32)
        state, action = np.divmod(pairs, np.uint32(n_actions))
        values[state, action] = rng.random(pairs.size)
        visits = rng.integers(1, _MOST_VISITS, pairs.size, np.uint32)
        counts[state, action] = (merged.clock[state, action] + visits) | _TOUCHED
        np.asarray(rows.log)[: pairs.size] = pairs
        rows.touched = pairs.size
        found.append(rows)
    return found, merged


def merge_of(found: Any, rule: str, dtype: str) -> Callable[[], Any]:
    """Return a merge by all ranks, one after another."""
    law, out = build_law(RescaledLinear(0.99), 0, 0.3, dtype), [bytearray() for _ in found]

    def merge() -> None:
        for rank in range(len(found)):
            merge_tables(found, rank, rule, law, False, out[rank])

    return merge


def mean_of(n: int, size: int, dtype: str) -> Callable[[], Any]:
    """Return a fused mean of plain arrays."""
    values, merged = np.random.default_rng(0).random((size, n)).astype(dtype), np.zeros(n, dtype)
    if size == 2:
        return lambda: mean_of_two(values[0], values[1], merged)
    return lambda: fused_mean(values, merged)


def timed(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of something."""
    started = time.process_time()
    work()
    return time.process_time() - started


def cases(n_states: int, n_actions: int) -> Iterator[tuple[str, str, str, int]]:
    """Yield type, pairs, rule and number of workers."""
    for dtype in ("float32", "float64"):
        for how in ("all", "1 % of the pairs", "1 % of the rows"):
            for size in (2, 8):
                for rule in RULES:
                    yield dtype, how, rule, size


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--actions", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", default="", help="cases whose names contain these words")
    given = parser.parse_args()
    n = given.states * given.actions
    begin(
        f"Merges of {given.states:,} x {given.actions}, from shared memory",
        *("type, touched, workers, rule", "GB/s", "a fused mean, GB/s", "part of that", "goal"),
    )
    kept: tuple[Any, Any] = (None, None)
    for dtype, how, rule, size in cases(given.states, given.actions):
        name = f"{dtype}, {how}, {size}, `{rule}`"
        if not all(word in name for word in given.only.split()):
            continue
        if kept[0] != (dtype, how, size):
            kept = (
                (dtype, how, size),
                (*tables(given.states, given.actions, dtype, how, size), mean_of(n, size, dtype)),
            )
        found, _, plain = kept[1]
        itemsize = np.dtype(dtype).itemsize
        pairs = np.unique(np.concatenate([np.asarray(rows.log)[: rows.touched] for rows in found])).size
        read, read_plain = pairs * (size * (itemsize + 4) + itemsize), n * size * itemsize
        merge = merge_of(found, rule, dtype)
        merge(), plain()
        turns = [(read / timed(merge) / 1e9, read_plain / timed(plain) / 1e9) for _ in range(given.repeats)]
        ours, theirs = (list(column) for column in zip(*turns, strict=True))
        parts = [one / other for one, other in turns]
        goal = GOALS.get(rule) if how == "all" and dtype == "float32" else None
        row(name, spread(ours), spread(theirs, ".1f"), spread(parts, goal=goal), f"{goal or ''}")


if __name__ == "__main__":
    main()
