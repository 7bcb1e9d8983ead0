"""Games of two players in turn, as models whose discount has the other sign: optimum, bounds, and the worst result.

T is antitone here, as larger values of the opponent are smaller ones of the mover, so that the bounds of MacQueen and
Porteus, which rest on a monotone T, do not hold. T is a contraction all the same: |max x - max y| <= max |x - y|, so
that the distance from Q* is at most |TQ - Q| and gamma times the largest distance of the successor's actions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cdq.errors import ConfigError, ModelError
from cdq.mdp.arrays import FloatArray
from cdq.mdp.bellman import Backups, fold
from cdq.mdp.model import MDP
from cdq.mdp.solution import Bounds, OptimalityGap, Solution

_SETTLED = 2.0**-40  # of the largest value: rounding alone, where a discount makes sweeps converge
_PATIENCE = 64  # sweeps in which the values come no nearer to those of the sweep before


def refuse(model: MDP, what: str) -> None:
    """Raise `ConfigError` if a model is that of a game, for which there is no such answer."""
    if model.opponent is not None:
        raise ConfigError(
            f"{model.name} is a game of two players, for which there is no {what}; allowed: solve, bounds and "
            "optimality_gap with a gamma, and QLearner.exploit for a policy's worst result"
        )


def optimum(model: MDP, gamma: float, tolerance: float, max_iterations: int) -> Solution:
    """Return the value of a game to whoever moves, by sweeps of value iteration."""
    backups = fold(model, gamma)
    values, sweeps = np.zeros(backups.n_states), 0
    least, idle = np.inf, 0
    while sweeps < max_iterations:
        sweeps += 1
        best = backups.action_values(-gamma, values).max(axis=1)
        change = float(np.abs(best - values).max())
        values = best
        least, idle = (change, 0) if change < least else (least, idle + 1)
        cycles = idle > _PATIENCE and change <= _SETTLED * float(np.abs(values).max())
        if change == 0.0 or cycles or gamma * change <= tolerance * (1.0 - gamma):
            break
        if gamma == 1.0 and sweeps > backups.n_states:
            raise _endless(model)
    table, spare = _backed_up(backups, gamma, values)
    error = _distances(backups, gamma, table, np.ones(backups.n_states, np.bool_))
    margin = float(np.max(error, initial=0.0, where=~backups.missing)) + spare
    best = table.max(axis=1)
    residual = gamma * float(np.abs(best - values).max())
    return Solution(table, best, table.argmax(axis=1), residual, margin, margin, sweeps, (margin, margin))


def bounds(model: MDP, table: FloatArray, gamma: float) -> Bounds:
    """Return bounds of Q* from any table, by the distance of the table from its backup."""
    backups, reachable = fold(model, gamma), model.reachable()
    missing = backups.missing
    error = _distances(backups, gamma, table, reachable)
    onward = _onward(backups, gamma, error.max(axis=1, where=~missing, initial=0.0))
    middle, spare = _backed_up(backups, gamma, table.max(axis=1))
    onward += spare
    lower, upper = middle - onward, middle + onward
    wide = np.where(missing, 0.0, 2.0 * onward)
    return Bounds(lower, upper, float(wide.max(axis=1)[reachable].max()))


def gap(model: MDP, policy: NDArray[np.int64], gamma: float, best: Solution) -> OptimalityGap:
    """Return a policy's worst value, for whoever moves first, beside the value of the game."""
    mine, _ = worst(model, policy, gamma)
    value, optimal = float(model.start @ mine), float(model.start @ best.state_values)
    return OptimalityGap(value, optimal, max(0.0, optimal - value) + best.above)


def worst_results(model: MDP, policy: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean result of a policy against the opponent that is best against it: as the first player, and second.

    Raises
    ------
    ModelError
        If a game may go on for ever.
    """
    mine, theirs = worst(model, policy, 1.0)
    return float(model.start @ mine), float(model.start @ theirs)


def worst(model: MDP, policy: NDArray[np.int64], gamma: float) -> tuple[FloatArray, FloatArray]:
    """Return the result of a policy against the best opponent: from states where it moves, and where the other does.

    Raises
    ------
    ModelError
        If a game without discount may go on for ever.
    """
    backups = fold(model, gamma)
    states = np.arange(backups.n_states)
    mine, theirs = np.zeros((2, backups.n_states))
    for _ in range(backups.n_states + 2 if gamma == 1.0 else 100_000):
        moves = backups.action_values(gamma, theirs)[states, policy]
        replies = -backups.action_values(-gamma, mine).max(axis=1)
        change = max(float(np.abs(moves - mine).max()), float(np.abs(replies - theirs).max()))
        mine, theirs = moves, replies
        if change <= (0.0 if gamma == 1.0 else _SETTLED * (1.0 - gamma) * float(np.abs(mine).max())):
            return mine, theirs
    raise _endless(model)


def _endless(model: MDP) -> ModelError:
    return ModelError(f"{model.name} without discount may go on for ever; give a gamma below 1")


def _backed_up(backups: Backups, gamma: float, values: FloatArray) -> tuple[FloatArray, float]:
    """Return TQ from the values of states, and a bound of its rounding."""
    _, rounding = backups.rounded_action_values(gamma, np.abs(values))
    return backups.action_values(-gamma, values), float(rounding.max())


def _onward(backups: Backups, gamma: float, errors: FloatArray) -> FloatArray:
    """Return what errors of the successors come to in every pair; 0 where a state lacks the action."""
    unpaid = replace(backups, reward=np.zeros_like(backups.reward))
    passed_on = unpaid.action_values(gamma, errors) * (1.0 + 2.0**-40)
    return np.where(backups.missing, 0.0, passed_on)


def _distances(backups: Backups, gamma: float, table: FloatArray, among: NDArray[np.bool_]) -> FloatArray:
    """Return a bound of |Q - Q*| for every pair; *among* are states that moves do not leave, of which it is the least.

    With a discount, that of all states is the greatest residual, divided by 1 - gamma. Without one, residuals add up
    along the ways that a game takes, which are finite where it ends.
    """
    missing = backups.missing
    middle, spare = _backed_up(backups, gamma, table.max(axis=1))
    off = np.where(missing, 0.0, np.abs(middle - np.where(missing, 0.0, table))) + spare
    off[missing] = 0.0
    if gamma < 1.0:
        inside = np.where(among, off[among].max(initial=0.0), off.max(initial=0.0))
        return np.where(missing, 0.0, (inside / (1.0 - gamma * backups.goes_on[1]))[:, None])
    errors = np.zeros(backups.n_states)
    for _ in range(backups.n_states + 1):
        pairs = off + _onward(backups, 1.0, errors)
        after = pairs.max(axis=1)
        if np.array_equal(after, errors):
            return pairs
        errors = after
    return np.where(missing, 0.0, np.inf)
