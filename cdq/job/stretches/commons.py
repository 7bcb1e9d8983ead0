"""Memory that workers of a hub's machine share: tables, barrier, records, and what to play next.

It is an anonymous file, which ends with its last user.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.core.barrier import barrier_bytes
from cdq.core.merge.merge import RULES, most_merged_bytes
from cdq.core.rounds import board_bytes
from cdq.errors.checks import MOST_STEPS
from cdq.job.stretches.offers import TOKEN_BYTES
from cdq.qfunctions import MergedTable, table_bytes
from cdq.schedules import to_config
from cdq.training import Plan, lengths_of
from cdq.workers import MOST_ROUNDS, MOST_TALLIES, RECORD, TALLY_WIDTH, Look

_MOST_SECONDS = 3600.0  # of a stretch, which no signal ends
_MOST_WINDOW = 2.0**31  # steps of a window
_LINE = 64  # bytes of a cache line, at which each part begins
MOST_TEXT = 1 << 16  # bytes of the exploration rate, as JSON
# Order for a stretch: the arguments of `core.rounds.Seat.play`, the lengths of windows, and how many pairs are known.
ORDER = np.dtype(
    [
        *((name, "i8") for name in ("steps", "target", "rule", "needs_mass", "at", "steps_per_look")),
        *((name, "i8") for name in ("most_rows", "unseen", "seen", "counts", "knows", "text")),
        *((name, "f8") for name in ("window", "seconds", "mass", "floor", "longest")),
    ]
)


class Desk(NamedTuple):
    """Part of a worker: its presence, its table, what it tells the others, records and tallies of its rounds."""

    token: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.uint8]
    board: npt.NDArray[np.uint8]
    records: npt.NDArray[Any]
    tallies: npt.NDArray[np.float64]


class Commons:
    """Parts of the memory that workers share.

    Parameters
    ----------
    memory : buffer
        The memory, of `commons_bytes`, which begins at a cache line.
    merged : MergedTable
        A table of the size of the job's.
    size : int
        Number of workers.

    Attributes
    ----------
    order : (1,) array of ORDER
        Order for the next stretch; the hub writes it before it sends for that.
    text : array of uint8
        Exploration rate as JSON (`schedules.to_config`), of `order["text"]` bytes.
    barrier : array of uint8
        Memory of the barrier at which workers meet.
    known : array of uint8
        Pairs whose visits are counted: 1, else 0.
    visits : array of int64
        Visits of each pair before the stretch.
    desks : list of Desk
        Parts of the workers, by rank.
    """

    def __init__(self, memory: Any, merged: MergedTable, size: int) -> None:
        lengths = list(_lengths(merged, size))
        memory = np.frombuffer(memory, np.uint8)
        if len(memory) < sum(lengths):
            raise ValueError(f"the memory of workers has {len(memory)} bytes, not {sum(lengths)}")
        starts = accumulate(lengths[:-1], initial=0)
        parts = iter([memory[at : at + n] for at, n in zip(starts, lengths, strict=True)])
        self.order = next(parts)[: ORDER.itemsize].view(ORDER)
        self.text, self.barrier, self.known = next(parts), next(parts), next(parts)
        self._n_known = merged.values.size // merged.rule.tables
        self.visits = next(parts)[: merged.visits.nbytes].view(np.int64).reshape(merged.visits.shape)
        self.desks = [
            Desk(next(parts)[:TOKEN_BYTES], next(parts), next(parts), *_log(next(parts), next(parts)))
            for _ in range(size)
        ]

    def write_plan(self, plan: Plan, target: int) -> None:
        """Write what stays the same in all orders: the plan, and the steps of all workers at which to end."""
        order, text = self.order, _text_of(plan)
        assert isinstance(plan.rule, str)
        order["rule"], order["needs_mass"], order["target"] = RULES[plan.rule], plan.needs_mass, target
        order["mass"], order["floor"], order["longest"] = lengths_of(plan.window)
        order["text"], self.text[: len(text)] = len(text), np.frombuffer(text, np.uint8)

    def write(self, steps: int, window: float, look: Look, visits: npt.NDArray[np.int64]) -> None:
        """Write the order for the next stretch, from *steps* and a *window* on, and the *visits* before."""
        self.order["steps"], self.order["window"] = steps, window
        self.visits[:] = visits  # of other rounds, workers do not know them
        self.order["knows"] = 0 if look.known is None else len(look.known)
        if look.known is not None:
            self.known[: len(look.known)] = look.known
        for name in set(Look._fields) - {"known"}:
            self.order[name] = getattr(look, name)

    def read(self) -> dict[str, Any]:
        """Return a copy of the order, with the exploration rate; `ValueError` if it is none."""
        order = dict(zip(ORDER.names or (), self.order[0].item(), strict=True))
        if not _is_possible(order, self._n_known):
            raise ValueError(f"an order for a stretch cannot be: {order}")
        order["exploration"] = json.loads(self.text[: order.pop("text")].tobytes())
        return order

    def release(self) -> None:
        """Keep nothing of the memory, which ends with its last user."""
        self.__dict__.clear()


def _is_possible(order: dict[str, Any], n_known: int) -> bool:
    """Return whether compiled code can follow an order, in windows of which each ends."""
    lengths = order["window"], order["floor"], order["longest"]
    return (
        0 <= order["steps"] < order["target"] <= MOST_STEPS
        and order["rule"] in RULES.values()
        and all(order[name] in {0, 1} for name in ("needs_mass", "unseen", "counts"))
        and min(order["at"], order["steps_per_look"], order["seen"]) >= 0
        and order["most_rows"] > 0
        and order["knows"] in {0, n_known}
        and 0 < order["text"] <= MOST_TEXT
        and all(0 < length <= _MOST_WINDOW for length in lengths)
        and 0 <= order["seconds"] <= _MOST_SECONDS
        and 0 <= order["mass"] < math.inf
    )


def fits(plan: Plan) -> bool:
    """Return whether an order has room for the exploration rates of a plan."""
    return len(_text_of(plan)) <= MOST_TEXT


def _text_of(plan: Plan) -> bytes:
    return json.dumps(to_config(plan.exploration)).encode()


def commons_bytes(merged: MergedTable, size: int) -> int:
    """Return how much memory *size* workers share that learn a table of the size of *merged*."""
    return sum(_lengths(merged, size))


def _lengths(merged: MergedTable, size: int) -> Iterator[int]:
    """Yield the bytes of all parts in order."""
    n_states, columns = merged.values.shape
    most = most_merged_bytes(n_states, columns, merged.values.itemsize, size)
    shared = [ORDER.itemsize, MOST_TEXT, barrier_bytes(size), merged.values.size, merged.visits.nbytes]
    desk = [TOKEN_BYTES, table_bytes(merged), board_bytes(most)]
    desk += [MOST_ROUNDS * RECORD.itemsize, MOST_TALLIES * TALLY_WIDTH * 8]
    for length in (*shared, *desk * size):
        yield -(-length // _LINE) * _LINE


def _log(
    records: npt.NDArray[np.uint8], tallies: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return records and tallies over their memory."""
    own = records[: MOST_ROUNDS * RECORD.itemsize].view(RECORD)
    return own, tallies.view(np.float64).reshape(MOST_TALLIES, TALLY_WIDTH)
