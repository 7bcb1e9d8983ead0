"""Learning from logged transitions: each worker replays its part, and all merge as in any run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats, Loop
from cdq.core.lanes import Lanes
from cdq.core.loops.offline import Replay, learn_log
from cdq.core.table.qfunction import QFunction, TableQ
from cdq.core.table.rows import Law, Rows
from cdq.errors import ConfigError
from cdq.offline.logs import Log
from cdq.qfunctions import DivergenceGuard

# Learns under a law, for a policy that explores so much, in a turn of that number, from one transition of the log to
# another; returns how many it learnt.
Learn = Callable[[Law, float, int, int, int], int]

# Observations that a hashed table looks up at a time.
_LOOKUPS = 256

if TYPE_CHECKING:
    from typing_extensions import Self


def steps_of(log: Log, size: int, passes: int) -> int:
    """Return how many steps, of all of *size* workers, *passes* take: shorter parts wait at their end."""
    return passes * size * -(-len(log) // size)


class Replays:
    """A learning task on a log: a `cdq.contracts.Task` whose lanes are positions in the log.

    Each worker has one lane, and learns its own part, transition by transition, as often as it is run through.

    Parameters
    ----------
    log : Log
        The logged transitions.
    n_rows, n_actions : int
        The table's size.
    dtype : dtype
        Type of the table's values.
    q_function : callable
        Makes the Q-function of a table (`Rows`) for so many lanes.
    name : str
        Name of the environment.
    horizon : float
        Steps that a discounted reward counts for at most: a value may become so many rewards.

    paid : (n, width) array, optional
        Numbers that each transition pays to several tasks; by default its reward to one.

    Raises
    ------
    ConfigError
        If a reward is beyond what the table holds, or may lead there.
    """

    # The first and the last of the part, the next one, after how many the part begins again, and the turn's number.
    own_bytes = 40
    lanes_each = 1
    resumable = True

    def __init__(
        self,
        log: Log,
        n_rows: int,
        n_actions: int,
        *,
        dtype: npt.DTypeLike,
        q_function: Callable[[Rows, int], QFunction],
        name: str,
        horizon: float = 1.0,
        paid: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self.n_rows, self.n_actions, self._paid = n_rows, n_actions, paid
        self._log, self._q_function, self._dtype, self._name = log, q_function, np.dtype(dtype), name
        most = float(np.finfo(self._dtype).max) / max(2.0 * horizon, 1.0)
        rewards = (log.rewards if paid is None else paid).reshape(len(log), -1)
        beyond = np.abs(rewards) > most
        if beyond.any():
            first, column = np.argwhere(beyond)[0]
            raise ConfigError(
                f"the reward of transition {first} is {rewards[first, column]}; allowed: up to {most:.3g}, whose sums "
                f"{self._dtype} holds"
            )

    @cached_property
    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        """The log as the loop over a table with a row for each state reads it; for all workers of the process."""
        log = self._log
        states, next_states = log.states.astype(np.uint32), log.next_states.astype(np.uint32)
        return states, log.actions, log.rewards.astype(self._dtype), next_states, log.terminated

    def lane(self, rank: int, size: int, turn: int = 0) -> bytes:
        """Return the lane of a worker before its first step: its part is as long as the others', or one shorter.

        *turn* is the number of the first pass, from which random bits of update rules follow.
        """
        lanes, n = Lanes(1, self.own_bytes), len(self._log)
        first, last = n * rank // size, n * (rank + 1) // size
        lanes.own.view(np.int64)[0] = first, last, 0, -(-n // size), turn
        return lanes.memory.tobytes()

    def of_worker(self, rank: int) -> Self:
        """Return the task itself, which all workers learn."""
        return self

    def loop(self, rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        """Return the loop of a worker over its table and its lane."""
        q = self._q_function(rows, 1)
        plain = type(q) is TableQ and self._log.next_masks is None and not rows.rule
        learn = self._of_table(rows, gamma, stop) if plain else self._of_function(q, gamma, stop)
        loop = ReplayLoop(learn, lanes.own.view(np.int64)[0])
        return DivergenceGuard(loop, q, self._name) if q.continuous else loop

    def _of_table(self, rows: Rows, gamma: float, stop: npt.NDArray[np.int32]) -> Learn:
        states, actions, rewards, next_states, terminated = self._columns

        def learn(law: Law, explored: float, turn: int, first: int, last: int) -> int:
            return learn_log(
                rows, law, gamma, states, actions, rewards, next_states, terminated, first, last, stop
            )

        return learn

    def _of_function(self, q: QFunction, gamma: float, stop: npt.NDArray[np.int32]) -> Learn:
        log = self._log
        one_by_one = q.continuous or log.next_masks is not None or q.rows.rule != 0 or self._paid is not None
        paid = log.rewards if self._paid is None else self._paid
        rewards = paid if one_by_one else paid.astype(self._dtype)
        q = q if one_by_one else self._q_function(q.rows, _LOOKUPS)
        columns = log.states, log.actions, rewards, log.next_states, log.terminated
        replay = Replay(q, *columns, log.next_masks)

        def learn(law: Law, explored: float, turn: int, first: int, last: int) -> int:
            return replay.learn(law, gamma, explored, turn, first, last, stop)

        return learn


class ReplayLoop:
    """A worker's loop over its part of a log.

    Parameters
    ----------
    learn : callable
        Learns from one transition to another under a law, and returns how many it learnt.
    position : (5,) array of int64
        The part's first transition and its end, the next one from there, after how many it begins again, and the
        number of the turn.
    """

    def __init__(self, learn: Learn, position: npt.NDArray[np.int64]) -> None:
        self._learn, self._position = learn, position

    def reset(self) -> None:
        """Go back to the beginning."""
        self._position[2] = 0

    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Floats | None = None
    ) -> tuple[bool, int, int, float]:
        """Learn the next *sweeps* transitions; return whether nothing ended that early.

        Nothing is explored; a rule that values what exploration leads to goes by the window's first rate.
        """
        first, last, at, period, turn = self._position.tolist()
        left = sweeps
        while left > 0:
            count = min(left, period - at)
            begin, end = min(first + at, last), min(first + at + count, last)
            if self._learn(law, explore_first, turn, begin, end) < end - begin:
                return False, 0, 0, 0.0
            left, turn, at = left - count, turn + (at + count) // period, (at + count) % period
        self._position[[2, 4]] = at, turn
        if parts is not None:
            parts[:, 0] = np.diff(np.arange(len(parts) + 1) * sweeps // len(parts))
        return True, 0, 0, 0.0
