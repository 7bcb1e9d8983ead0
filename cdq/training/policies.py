"""Policies by which workers act, whatever they learn: Q-learning learns the best actions from those of any policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Loop, Task, WorkerTask
from cdq.core.lanes import Lanes
from cdq.core.table.rows import Rows
from cdq.training.fleet import FleetTask, OwnTask

_ALL = 1 << 32  # certainty, in the kernels' units


def acting_by(common: Task, rank: int, policies: Sequence[Any] | None) -> WorkerTask:
    """Return the task of a worker, which acts by its policy where it has one.

    Parameters
    ----------
    common : Task
        Task of all workers.
    rank : int
        Number of the worker.
    policies : sequence, optional
        Probability of each action in each state of its environment, for each worker; None for one that has no policy.
    """
    task = common.of_worker(rank)
    if policies is None or policies[rank] is None:
        return task
    chances = until(_on_table(common, rank, np.array(policies[rank], np.float64)))

    def loop(rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        rows.act_by(chances)
        return task.loop(rows, lanes, gamma, stop)

    return OwnTask(task.own_bytes, task.resumable, loop)


def _on_table(common: Task, rank: int, policy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a policy at the rows and columns of the table, where those are not the environment's own."""
    if not (isinstance(common, FleetTask) and common.readings):
        return policy
    reading, member = common.readings[rank], common.members[rank]
    wider = np.zeros((member.n_rows, member.n_actions))
    wider[:, 0] = 1.0  # of rows that nothing leads to
    wider[reading.rows] = 0.0
    wider[np.ix_(reading.rows, reading.columns)] = policy
    return wider


def until(policy: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Return the chance of each action and those before it, in units of 2^-32, as the kernels compare it with a coin.

    Examples
    --------
    >>> until(np.array([[0.25, 0.75, 0.0]])).tolist()
    [[1073741824, 4294967296, 4294967296]]
    """
    sums = np.cumsum(policy, axis=1)
    chances = np.floor(sums / sums[:, -1:] * _ALL).astype(np.uint64)
    last = policy.shape[1] - 1 - (policy[:, ::-1] > 0).argmax(axis=1)
    chances[np.arange(policy.shape[1]) >= last[:, np.newaxis]] = _ALL
    return np.ascontiguousarray(chances)
