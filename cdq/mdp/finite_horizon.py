"""Finite horizons: backward induction."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.mdp.bellman import Backups, FloatArray


class Stages(NamedTuple):
    """Action values and actions, stage by stage from the first step on, and a bound of their rounding."""

    values: FloatArray
    policy: NDArray[np.int64]
    error: float


def backward_induction(backups: Backups, gamma: float, horizon: int) -> Stages:
    """Return the optimal action values of every stage, the last stage being one step."""
    shape = horizon, backups.n_states, backups.n_actions
    values, policy = np.empty(shape), np.empty(shape[:2], np.int64)
    best, off, error = np.zeros(shape[1]), np.zeros(shape[1]), 0.0
    for stage in reversed(range(horizon)):
        values[stage], rounding, errors = _stage(backups, gamma, best, off)
        low, high = values[stage] - errors, values[stage] + errors
        best, floor = values[stage].max(axis=1), low.max(axis=1)
        # Within the rounding of this stage alone, so that the losses of all stages add up to the error.
        surely = (values[stage] - rounding).max(axis=1)
        policy[stage] = (values[stage] + rounding >= surely[:, None]).argmax(axis=1)
        off = np.maximum(high.max(axis=1) - best, best - floor)
        error = max(error, float(errors.max()))
    return Stages(values, policy, error)


def follow(chains: list[Backups], gamma: float) -> FloatArray:
    """Return the values of every stage of a policy, given its chain at each stage."""
    values = np.zeros((len(chains) + 1, chains[0].n_states))
    for stage in reversed(range(len(chains))):
        values[stage] = chains[stage].action_values(gamma, values[stage + 1])[:, 0]
    return values[:-1]


def _stage(
    backups: Backups, gamma: float, values: FloatArray, off: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the backup of every pair, its own rounding and its error, where the values may be off by so much."""
    table, rounding = backups.rounded_action_values(gamma, values)
    passed_on = replace(backups, reward=rounding.ravel(), size=rounding.ravel())
    return table, rounding, passed_on.action_values(gamma, off) * (1.0 + 2.0**-40)
