"""Assembly of fleets: an environment for each worker, and tables of their own beside the common one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from cdq.errors import ConfigError
from cdq.learner.common import in_common
from cdq.learner.elsewhere import described, reads_alike
from cdq.merges import Personal
from cdq.offline import Names
from cdq.qfunctions import PersonalTable, blocks_of_fleet
from cdq.settings import Settings
from cdq.training import EnvironmentTask, FleetTask

Make = Callable[[Any, Settings], tuple[EnvironmentTask, Settings]]

# Rows are numbered with 32 bits, a pair too.
_MOST_PAIRS = 2**32 - 1


def make_fleet(envs: Sequence[Any], settings: Settings, make: Make) -> tuple[FleetTask, Settings]:
    """Return the task of workers that have an environment each, and the settings that follow from it.

    Parameters
    ----------
    envs : sequence
        An environment, or what makes one, for each worker.
    settings : Settings
        Settings of the learner.
    make : callable
        Makes the task of one environment (`assembly.make_task`).

    Raises
    ------
    ConfigError
        If there are not as many environments as workers, or a Q-function of one does not read another.
    """
    if not envs or any(isinstance(env, (list, tuple, Names)) for env in envs):
        raise ConfigError("a list of environments holds an environment, or what makes one, for each worker")
    if settings.tasks is not None or settings.opponent is not None:
        what = "tasks" if settings.tasks is not None else "opponent"
        raise ConfigError(
            f"{what} and a list of environments exclude each other; learn one environment, or leave it out"
        )
    if len(envs) != settings.workers:
        raise ConfigError(
            f"there are {len(envs)} environments and {settings.workers} workers; give one environment to each worker"
        )
    recipe, is_common = partial(_recipe, envs), settings.key is not None or settings.actions is not None
    plain = replace(settings, key=None, actions=None, table="dense") if is_common else settings
    made = [make(env, plain) for env in envs]
    if is_common:
        members, readings, settings = in_common(made, settings)
        settings = replace(settings, num_envs=min(own.num_envs for _, own in made))
        return FleetTask(members, recipe, _personal(members[0], settings), readings), settings
    first = made[0][0]
    for number, (task, _) in enumerate(made):
        if not reads_alike(first, task):
            raise ConfigError(
                f"environment {number} ({task.name}) has other observations or actions than environment 0 "
                f"({first.name}): {described(task)}, there {described(first)}; say which are the same: key=, a "
                "function of an observation, and actions=, the names of each environment's"
            )
    settings = replace(made[0][1], num_envs=min(own.num_envs for _, own in made))
    return FleetTask([task for task, _ in made], recipe, _personal(first, settings)), settings


def _recipe(envs: Sequence[Any]) -> list[Any]:
    from cdq.envs.sending import sendable

    return [sendable(env) for env in envs]


def require_fleet(task: EnvironmentTask, settings: Settings) -> None:
    """Raise `ConfigError` if a list of environments is wanted, and there is one environment."""
    if isinstance(settings.merge, Personal) and not isinstance(task, FleetTask):
        raise ConfigError(
            "merge=cdq.Personal(...) is for workers that have an environment each: give a list of environments, "
            "or --fleet"
        )
    if (settings.key is not None or settings.actions is not None) and not isinstance(task, FleetTask):
        what = "key" if settings.key is not None else "actions"
        raise ConfigError(
            f"{what} is for environments that differ: give a list of environments, one per worker"
        )


def _personal(task: EnvironmentTask, settings: Settings) -> PersonalTable | None:
    """Return the table of a fleet whose workers have one of their own beside the common one; None where none has."""
    merge = settings.merge
    if not isinstance(merge, Personal):
        return None
    blocks = blocks_of_fleet(task.n_rows, task.n_actions, settings.workers)
    if blocks.n_rows * blocks.n_actions > _MOST_PAIRS:
        raise ConfigError(
            f"a table of {task.n_rows:,} rows for all and for each of {settings.workers} workers has "
            f"{blocks.n_rows * blocks.n_actions:,} pairs; allowed: up to {_MOST_PAIRS:,}"
        )
    initial = task.initial(settings.initial_value)
    return PersonalTable(blocks, merge.prior, merge.memory, settings.dtype, initial)
