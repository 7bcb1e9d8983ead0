"""A call of `learn_from`: a run whose workers replay a log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError
from cdq.errors.checks import MOST_STEPS, whole
from cdq.learner import backends
from cdq.offline import Log, LoggedTask, Replays, masks, read_log, read_minari, steps_of
from cdq.qfunctions import MergedNetwork
from cdq.rules import RULES, UpdateRule
from cdq.training import (
    Checkpoints,
    EnvironmentTask,
    Goal,
    LearnCall,
    State,
    Team,
    WideTask,
    of_log,
    pays_features,
)

# Without discount a value may become the sum of all rewards that there are time for.
_UNDISCOUNTED = 1e12

_COLUMNS = ("actions", "rewards", "next_observations", "terminated")


def log_for(task: EnvironmentTask, observations: Any, *others: Any, next_masks: Any, masked: bool) -> Log:
    """Return a log of what *task* learns: of all columns, or of a Minari dataset in place of the observations.

    *next_masks* are as `read_log` takes them, *masked* says whether masks in observations are heeded.

    Raises
    ------
    ConfigError
        If a column is missing, or an entry is not allowed.
    """
    if isinstance(task.own_table, MergedNetwork):
        raise ConfigError(
            f"{task.name} is learnt with a network, from rollouts of its own policy; learn the log with a table or "
            "features: leave network out"
        )
    if task.blocks is not None:
        raise ConfigError(
            f"{task.name} is learnt with several tables, and a log does not say which each transition is of; learn "
            "the log of each agent by itself, with cdq.QLearner.from_log(...)"
        )
    columns = (observations, *others)
    if isinstance(observations, str) or hasattr(observations, "iterate_episodes"):
        if any(other is not None for other in others):
            raise ConfigError("a Minari dataset has all columns; give no others")
        columns = read_minari(observations)
    elif missing := [name for name, other in zip(_COLUMNS, others, strict=True) if other is None]:
        raise ConfigError(f"{', '.join(missing)} missing; a log has observations, {', '.join(_COLUMNS)}")
    if isinstance(task, LoggedTask):
        return task.read(columns, next_masks)
    if isinstance(task, WideTask) and pays_features(task.tasks):
        columns = (*columns[:2], np.zeros(np.shape(columns[1])), *columns[3:])
    log = read_log(
        *columns,
        encoding=task.encoding(),
        n_actions=task.n_actions,
        first_action=task.first_action,
        next_masks=next_masks,
        masked=masked,
        ends=isinstance(task, WideTask) and not pays_features(task.tasks),
    )
    model = task.inner.model if isinstance(task, WideTask) else task.model
    actions = getattr(model, "actions", None)
    return log if actions is None else among(log, actions)


def among(log: Log, actions: npt.NDArray[np.bool_]) -> Log:
    """Return a log in which each next state allows no action but those that it has.

    Parameters
    ----------
    log : Log
        A log whose states are rows of a table.
    actions : (n_states, n_actions) array of bool
        The actions that each state has.

    Raises
    ------
    ConfigError
        If an action was taken that its state does not have, or masks leave none; names the transition.
    """
    wrong = ~actions[log.states, log.actions]
    if wrong.any():
        first = int(wrong.argmax())
        state, taken = int(log.states[first]), int(log.actions[first])
        raise ConfigError(
            f"the action of transition {first} is {taken}, which state {state} does not have; allowed: "
            f"{', '.join(map(str, np.flatnonzero(actions[state])))}"
        )
    left = (
        actions[log.next_states]
        if log.next_masks is None
        else actions[log.next_states] & (log.next_masks != 0)
    )
    return replace(log, next_masks=masks(left, actions.shape[1], log.terminated))


def require_no_game(opponent: str | None) -> None:
    """Raise `ConfigError` if a learner learns a game: a log does not say who moves next, nor which moves there are."""
    if opponent is not None:
        raise ConfigError(
            "a game is learnt by playing, and this is a log; call learn, which plays both sides"
        )


def require_loggable(rule: UpdateRule) -> None:
    """Raise `ConfigError` if a rule needs more than a log says."""
    if rule.acts_ahead:
        raise ConfigError(
            f"rule={rule.name!r} takes the action that follows each transition, which a log does not say; allowed: "
            f"{', '.join(repr(other.name) for other in RULES.values() if not other.acts_ahead)}"
        )


def goal_of(state: State, log: Log, size: int, passes: int) -> Goal:
    """Return the goal of a call of `learn_from` with *size* workers.

    Raises
    ------
    ConfigError
        If *passes* is not a whole number of at least 1.
    """
    done, of_a_pass = state.progress.steps, steps_of(log, size, 1)
    return Goal(done + of_a_pass * whole("passes", passes, 1, (MOST_STEPS - done) // of_a_pass))


def replay(backend: backends.Backend, call: LearnCall, log: Log, rewards: Any) -> None:
    """Learn *log* with the workers of a backend, each its part, until the goal of the call.

    *rewards* are those that were given: features, where the tasks weigh some. Nothing is stepped: the workers are
    threads of this process where they would be processes that it starts.
    """
    paid = (
        of_log(call.task.tasks, call.settings.dtype, call.task.name, log, rewards)
        if isinstance(call.task, WideTask)
        else None
    )
    backends.require_same_log(backend, log.fingerprint(paid))
    task, settings, size = call.task, replace(call.settings, num_envs=1), call.settings.workers
    replays = Replays(
        log,
        task.n_rows,
        task.n_actions,
        dtype=settings.dtype,
        q_function=task.q_function,
        name=task.name,
        horizon=1.0 / (1.0 - settings.gamma) if settings.gamma < 1.0 else _UNDISCOUNTED,
        paid=paid,
    )
    team = Team(replays, call.state, settings, call.requests.stop)
    team.lane_states = {rank: replays.lane(rank, size, call.state.progress.steps) for rank in range(size)}
    call.team.forget_tables()
    logged = replace(call, settings=settings, team=team, checkpoints=Checkpoints(None, None))
    backends.learn(backend.without_stepping(), logged)
