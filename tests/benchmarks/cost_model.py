"""The cost model of tests/benchmarks/scaling.py: what a merge consists of, what each part costs, and the fit."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.comm.mpi.records import Records
from cdq.comm.mpi.slices import number_of_pieces

CORES = len(os.sched_getaffinity(0))

# The network of the computed part: seconds that a message travels, and that it takes its sender (not measured, but what
# MPI libraries reach), bytes per second of a link, ranks that share one.
LATENCY, SENDING, LINK, PER_LINK = 2e-6, 1e-6, 12.5e9, (1, 32)

# Bytes: what goes with every part; a pair of a contribution that is dense or listed; of a merged part.
_HEAD, _DENSE, _LISTED, _MERGED_DENSE, _MERGED_LISTED = 150, 8, 12, 12, 16

COSTS = {
    "a small merge": "µs",
    "and per rank": "µs",
    "and per pair and rank": "ns",
    "a large merge": "µs",
    "and per rank of it": "µs",
    "per byte received": "ns",
    "per pair of a dense table": "ns",
    "per listed pair brought": "ns",
    "per listed pair merged": "ns",
    "per exchange": "µs",
    "per message where ranks take turns": "µs",
}


class Merge(NamedTuple):
    """What a merge costs by: its ranks, the table's pairs, those that each rank touched, and all together."""

    ranks: int
    n_pairs: int
    touched: float
    union: float

    @property
    def small(self) -> bool:
        """Whether the whole contributions go to all ranks."""
        return self.touched * _LISTED <= Records(self.ranks).largest_room

    @property
    def dense(self) -> bool:
        """Whether contributions travel whole."""
        return 2 * self.touched >= self.n_pairs

    @property
    def received(self) -> float:
        """Bytes that a rank receives."""
        others, brought = self.ranks - 1, _DENSE * self.n_pairs if self.dense else _LISTED * self.touched
        if self.small:
            return others * (_HEAD + brought)
        merged = _MERGED_DENSE * self.n_pairs if self.dense else _MERGED_LISTED * self.union
        return others * (2 * _HEAD + (brought + merged) / self.ranks)

    @property
    def steps(self) -> int:
        """Messages one after another: the gather of records doubles what is known, slices go to all at once."""
        doubling = math.ceil(math.log2(self.ranks))
        return doubling if self.small else doubling + 2

    @property
    def messages(self) -> int:
        """Messages that a rank sends."""
        doubling = math.ceil(math.log2(self.ranks))
        brought = self.n_pairs if self.dense else self.touched
        fine = number_of_pieces(int(_LISTED * brought), self.ranks)
        return doubling if self.small else doubling + 2 * fine * (self.ranks - 1)

    def amounts(self, messages: bool = True, in_turns: bool = False) -> list[float]:
        """Return how much there is of each of `COSTS`, with or without messages, where ranks share a core or do not."""
        small, dense = self.small, self.dense
        large, listed = not small, not small and not dense
        return [
            small,
            small * self.ranks,
            small * self.ranks * self.touched,
            large,
            large * self.ranks,
            messages * self.received,
            (large and dense) * self.n_pairs,
            listed * self.touched,
            listed * self.union,
            messages * self.steps,
            in_turns * self.messages,
        ]


def touching(ranks: int, n_pairs: int, share: float, together: bool = False) -> Merge:
    """Return the merge of ranks that each touched a share of the pairs, all the same ones or each at random."""
    union = share if together else 1 - (1 - share) ** ranks
    return Merge(ranks, n_pairs, share * n_pairs, union * n_pairs)


Measured = Sequence[tuple[Merge, float]]
Costs = npt.NDArray[np.float64]


def turns(ranks: int) -> float:
    """Return how many ranks share a core: here they take turns, and each must have worked before a merge is done."""
    return max(1.0, ranks / CORES)


def model(merge: Merge, costs: Costs) -> float:
    """Return the seconds that a merge takes here."""
    return float(turns(merge.ranks) * (costs @ merge.amounts(in_turns=merge.ranks > CORES)))


def fit(merges: Measured, alone: Measured) -> Costs:
    """Return the cost of one of each amount, by least squares of the difference over the mean of model and measured.

    The mean is the geometric one, so that twice as much and half as much are as far off.
    """
    amounts = [merge.amounts(in_turns=merge.ranks > CORES) for merge, _ in merges]
    amounts += [merge.amounts(messages=False) for merge, _ in alone]
    rows = np.array(amounts, np.float64)
    seconds = np.array([measured / turns(merge.ranks) for merge, measured in merges] + [s for _, s in alone])
    modelled = seconds
    for _ in range(20):
        means = np.sqrt(seconds * modelled)
        costs = _not_negative(rows / means[:, None], seconds / means)
        modelled = rows @ costs
    return costs


def _not_negative(rows: Costs, wanted: Costs) -> Costs:
    """Return the least squares solution, leaving out columns until none has a negative factor."""
    used = np.ones(rows.shape[1], np.bool_)
    while True:
        factors = np.zeros(rows.shape[1])
        factors[used] = np.linalg.lstsq(rows[:, used], wanted, rcond=None)[0]
        if (factors >= 0).all():
            return factors
        used[factors.argmin()] = False


def on_network(merge: Merge, costs: Costs, per_link: int) -> tuple[float, float]:
    """Return the seconds that a rank with a core of its own works on a merge, and those that messages travel."""
    return float(costs @ merge.amounts()), (
        LATENCY * merge.steps + SENDING * merge.messages + merge.received * per_link / LINK
    )
