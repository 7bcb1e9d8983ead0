"""Actions by action values: the best of them, or now and then any other; for one observation, or for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats
from cdq.errors import ConfigError
from cdq.errors.checks import as_array, shown
from cdq.offline import LoggedTask
from cdq.training import EnvironmentTask

Choice = Callable[[Floats, Any], int]


def act(task: EnvironmentTask, values_of: Callable[[Any], Floats], choose: Choice) -> Callable[..., Any]:
    """Return a policy: a function of an observation, or a batch, and a mask, that returns what `step` takes.

    Parameters
    ----------
    task : EnvironmentTask
        Environment of the observations.
    values_of : callable
        Returns the action values of an observation.
    choose : callable
        Returns an action, numbered from 0, by action values and a mask, which may be None.
    """

    def one(observation: Any, action_mask: Any) -> Any:
        values = values_of(observation)
        mask = task.mask_of(observation) if action_mask is None else action_mask
        chosen = choose(values, mask)
        return task.names.actions[chosen] if isinstance(task, LoggedTask) else chosen + task.first_action

    def policy(observation: Any, action_mask: Any = None) -> Any:
        several = task.split(observation)
        if several is None:
            return one(observation, action_mask)
        masks = [None] * len(several) if action_mask is None else _rows(action_mask, len(several))
        actions = [one(*pair) for pair in zip(several, masks, strict=True)]
        return actions if isinstance(task, LoggedTask) else np.array(actions, np.int64)

    return policy


def _rows(action_mask: Any, n: int) -> Sequence[Any]:
    masks = as_array("the action masks", action_mask)
    if masks.ndim != 2 or len(masks) != n:
        raise ConfigError(
            f"the action masks have shape {masks.shape}; allowed: a row for each of the {n} observations"
        )
    return list(masks)


def best_action(values: Floats, action_mask: Any) -> int:
    """Return the lowest action among the best that the mask allows."""
    return int(_allowed(values, action_mask).argmax())


def exploring(rate: float, random: np.random.Generator) -> Choice:
    """Return a choice that takes, with probability *rate*, any of the actions that there are, else the best one."""
    return partial(_explore, rate, random)


def _explore(rate: float, random: np.random.Generator, values: Floats, action_mask: Any) -> int:
    among = _allowed(values, action_mask)
    if random.random() < rate:
        return int(random.choice(np.flatnonzero(among > -np.inf)))
    return int(among.argmax())


def _allowed(values: Floats, action_mask: Any) -> Floats:
    """Return action values, -inf where the mask forbids the action."""
    if action_mask is None:
        return values
    mask = as_array("the action mask", action_mask)
    plain = mask.shape == values.shape and mask.dtype.kind in "biuf" and not np.isnan(mask).any()
    if not plain or not mask.any():
        raise ConfigError(
            f"the action mask is {shown(action_mask)}; allowed: {len(values)} numbers, of which at least one is not 0"
        )
    among: npt.NDArray[Any] = np.where(mask != 0, values, -np.inf)
    if among.max() == -np.inf:
        raise ConfigError(
            "the state has none of the actions that the action mask allows; allow one of MDP.actions"
        )
    return among
