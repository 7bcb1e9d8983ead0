"""Optimal plans for a finite horizon, by backward induction."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdq.errors import ConfigError
from cdq.mdp.arrays import FloatArray
from cdq.mdp.bellman import Backups


class Stages(NamedTuple):
    """Action values and actions, stage by stage from the first step on, and a bound of their rounding."""

    values: FloatArray
    policy: NDArray[np.int64]
    error: float


def check_memory(horizon: int, of_stage: int) -> None:
    """Raise unless the tables of all stages, of so many bytes each, fit the memory that is free.

    Raises
    ------
    ConfigError
        If they do not.
    """
    free = free_memory()
    if horizon * of_stage > free:
        raise ConfigError(
            f"horizon is {horizon}; its tables, one for every stage, need {horizon * of_stage / 2**30:.3g} GiB and "
            f"{free / 2**30:.3g} GiB are free; allowed here: 1 to {free // of_stage}; or use gamma < 1 without a "
            "horizon, or criterion='average'"
        )


def free_memory() -> int:
    """Return how many bytes the machine has free, or has at all where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024
    except (OSError, StopIteration):
        pass
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


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
