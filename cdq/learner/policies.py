"""Policies that users give to workers, as the probability of each action in each row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError
from cdq.errors.checks import described, shown, whole
from cdq.qfunctions import PersonalTable
from cdq.schedules import POLICY
from cdq.settings import Settings
from cdq.training import EnvironmentTask, FleetTask, ModelTask, Reading, WideTask

_ALLOWED = (
    "allowed: an action, an action for each state, the probability of each action in each state, or a function of an "
    "observation that returns an action or probabilities"
)
_ROUNDING = 1e-6  # of a sum of probabilities


def with_policies(task: EnvironmentTask, settings: Settings) -> Settings:
    """Return the settings with the policies of workers as probabilities, of the states and actions of each environment.

    Raises
    ------
    ConfigError
        If there can be none for what is learnt, or one is not a policy of its worker's environment.
    """
    given = settings.per_worker
    if given is None or POLICY not in given or all(one is None for one in given[POLICY]):
        return settings
    _require_rows(task, settings)
    known = tuple(_told(task, rank, policy) for rank, policy in enumerate(given[POLICY]))
    return replace(settings, per_worker={**given, POLICY: known})


def _require_rows(task: EnvironmentTask, settings: Settings) -> None:
    """Raise `ConfigError` unless what is learnt has a row for each state, and what others do teaches it."""
    fleet = isinstance(task, FleetTask)
    grows = task.own_table is not None and not isinstance(task.own_table, PersonalTable)
    if (
        settings.network is not None
        or grows
        or task.step_scale != 1.0
        or isinstance(task, WideTask)
        or (task.agents and not fleet)
    ):
        raise ConfigError(
            f"a policy of a worker is for one task and a table with a row for each state, and {task.name} is learnt "
            f"with {task.representation}"
        )
    if settings.rule.name in {"sarsa", "expected-sarsa"}:
        raise ConfigError(
            f"rule={settings.rule.name!r} learns the values of what exploration does, not of another policy; take "
            "rule='q-learning'"
        )


def _told(task: EnvironmentTask, rank: int, given: Any) -> tuple[tuple[float, ...], ...] | None:
    """Return a policy as probabilities."""
    if given is None:
        return None
    own: Any = task.reader_of(rank) if isinstance(task, FleetTask) else task
    policy = _probabilities(
        f"per_worker['{POLICY}'][{rank}]", own.own if isinstance(own, Reading) else own, given
    )
    return tuple(tuple(row) for row in policy.tolist())


def _probabilities(name: str, task: Any, given: Any) -> npt.NDArray[np.float64]:
    n_states, n_actions = task.n_rows, task.n_actions
    if callable(given):
        policy = _asked(name, task, given)
    elif isinstance(given, tuple) and isinstance(given[0], tuple):
        policy = np.array(given, np.float64)
    else:
        actions = np.broadcast_to(np.asarray(given), n_states) if np.ndim(given) == 0 else np.asarray(given)
        if len(actions) != n_states:
            raise ConfigError(
                f"{name} has {len(actions)} actions, and {task.name} has {n_states} states; {_ALLOWED}"
            )
        policy = np.stack([_one(name, task, action) for action in actions.tolist()])
    if policy.shape != (n_states, n_actions) or (policy < 0).any():
        raise ConfigError(
            f"{name} has shape {policy.shape}, or numbers below 0; {_ALLOWED}: ({n_states}, {n_actions})"
        )
    wrong = np.abs(policy.sum(axis=1) - 1) > _ROUNDING
    if wrong.any():
        state = int(wrong.argmax())
        raise ConfigError(
            f"the probabilities of state {state} in {name} sum to {policy[state].sum():g}; allowed: 1"
        )
    model = task.model
    if model is not None and model.actions is not None and (policy[~model.actions] > 0).any():
        state, action = np.argwhere((policy > 0) & ~model.actions)[0].tolist()
        raise ConfigError(
            f"{name} takes action {action} in state {state}, which does not have it; {_ALLOWED}"
        )
    return policy


def _one(name: str, task: Any, action: Any) -> npt.NDArray[np.float64]:
    """Return the probabilities of a policy that takes one action."""
    first, n = task.first_action, task.n_actions
    chosen = whole(f"an action of {name}", action, first, first + n - 1) - first
    chances = np.zeros(n)
    chances[chosen] = 1.0
    return chances


def _asked(name: str, task: Any, function: Callable[[Any], Any]) -> npt.NDArray[np.float64]:
    """Return what a function says of each observation."""
    observation_of: Callable[[int], Any] = (
        task.observation_of if isinstance(task, ModelTask) else task.kind.observation_of
    )
    rows = []
    for state in range(task.n_rows):
        observation = observation_of(state)
        try:
            said = np.asarray(function(observation))
            rows.append(_one(name, task, said.item()) if said.ndim == 0 else said.astype(np.float64))
        except Exception as error:
            raise ConfigError(
                f"{name} does not say what to do at observation {shown(observation)}: {described(error)}; {_ALLOWED}"
            ) from error
    if {row.shape for row in rows} != {(task.n_actions,)}:
        raise ConfigError(f"{name} returns no probability for each of {task.n_actions} actions; {_ALLOWED}")
    return np.stack(rows)
