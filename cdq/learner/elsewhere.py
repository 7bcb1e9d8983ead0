"""Learners for other environments than the one that was learnt, with its table: to evaluate a policy there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cdq.errors import ConfigError
from cdq.errors.checks import shown
from cdq.training import EnvironmentTask


@contextmanager
def learner_in(env: Any, own: Any) -> Iterator[Any]:
    """Make a learner of another environment, with the table of *own*, a learner in a call; it is closed at the end.

    Raises
    ------
    ConfigError
        If the Q-function of *own* does not read what *env* shows.
    """
    settings = own.settings
    if own.names is not None:
        raise ConfigError("a log has names of states, which no environment shows; evaluate without env")
    how = {"workers": 1, "comm": "inprocess", "gamma": settings.gamma, "dtype": settings.dtype}
    names = ("features", "network", "bins", "table", "masks", "opponent", "groups", "tasks")
    what = {name: getattr(settings, name) for name in names}
    try:
        other = type(own)(env, **how, **what, seed=settings.seed)
    except ConfigError as error:
        raise ConfigError(
            f"what was learnt on {own.name} cannot be evaluated on {shown(env)}: {error}"
        ) from None
    try:
        require_readable(other._task, by=own._task)
        other._state.merged.fill(own._state.tables())
        yield other
    finally:
        other.close()


def require_readable(task: EnvironmentTask, by: EnvironmentTask) -> None:
    """Raise `ConfigError` unless the Q-function of one task reads the observations of another, *task*.

    Raises
    ------
    ConfigError
        If they differ in the number of rows or actions, or in what gives a row its meaning.
    """
    if not reads_alike(by, task):
        raise ConfigError(
            f"what was learnt on {by.name} cannot be evaluated on {task.name}, whose observations or actions are "
            f"others ({described(by)}; there {described(task)}); give an environment with the same ones, within the "
            "same bounds"
        )


def reads_alike(one: EnvironmentTask, other: EnvironmentTask) -> bool:
    """Return whether rows and columns of a table mean the same for two tasks."""
    return _reading(one) == _reading(other)


def described(task: EnvironmentTask) -> str:
    """Return the size of a task's table in words."""
    return f"{task.representation} and {task.n_actions} actions"


def _reading(task: EnvironmentTask) -> tuple[Any, ...]:
    """Return all that gives the rows and columns of a task's table their meaning, as far as that is known."""
    kind = getattr(task, "kind", None)
    meaning = "table" if kind is None else kind.fingerprint
    n_rows = (
        task.n_rows if task.own_table is None else None
    )  # rows of a hashed table are added as they are met
    return meaning, n_rows, task.n_actions, task.first_action
