"""Environments of a hub's job without a model: each worker makes its own, of what the hub says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdq.errors import ConfigError
from cdq.learner.assembly import environment_of, made_with, make_task
from cdq.merges import MEAN
from cdq.qfunctions import MergedNetwork
from cdq.settings import arguments_of, make_settings
from cdq.training import EnvironmentTask, FleetTask, ModelTask, WideTask

_JOB = "the hub's job"


def task_of(about: Mapping[str, Any], env: Any = None, network: str | None = None) -> EnvironmentTask:
    """Return the task of an environment of which a hub, or the file of its job, says what a learner's file does.

    Parameters
    ----------
    about : dict
        Name of the environment, what it is made of, and settings.
    env : str, optional
        The environment, where it is of a module: that its user names it says that the module may be imported.
    network : str, optional
        The function of a Keras model, "module:function", where one is learnt: the same.

    Raises
    ------
    ConfigError
        If it cannot be made of that, or is stepped in Python.
    """
    settings = make_settings(**{**arguments_of(_JOB, about, None, network=network), "per_worker": None})
    known = environment_of(_JOB, about, env)
    task, _ = make_task(made_with(known, None, settings.opponent), settings)
    _require_compiled(task)
    return task


def _require_compiled(task: EnvironmentTask) -> None:
    stepped = getattr(task, "environment", task)  # a Keras model wants processes, and steps nothing
    if not (stepped.threads and stepped.resumable):
        raise ConfigError(
            f"a hub holds jobs of models and compiled environments, and {task.name} is stepped in Python "
            f"({task.why}); let ranks learn it: cdq launch, or mpiexec"
        )


def require_hostable(task: EnvironmentTask, about: Mapping[str, Any], least: int | None) -> None:
    """Raise `ConfigError` unless the workers of a hub can learn a task, which each makes of what the hub says.

    *about* is the description of its learner (`training.call.about`), *least* the number of workers of a round.
    """
    from cdq.job.tasks import describe, member_of

    if isinstance(task.own_table, MergedNetwork) and about["settings"]["merge"] != MEAN:
        raise ConfigError(
            f"a hub averages what each window has learnt, and merge is {about['settings']['merge']!r}; give "
            "merge='mean' (--merge mean)"
        )
    if task.own_table is not None and task.own_table.grows:
        raise ConfigError(
            f"{task.name} is learnt with a hashed table, whose rows workers of a hub would each add on their own; let "
            "ranks learn it: cdq launch, or mpiexec"
        )
    _require_compiled(task)
    places = len(task.members) if isinstance(task, FleetTask) else 1
    if isinstance(task, FleetTask) and least is not None and least > places:
        raise ConfigError(
            f"a round is to have {least} workers, and the fleet has {places} environments; allowed: up to {places}"
        )
    for number in range(places):
        own, told = member_of(task, about, number)
        made_of, _ = describe(own, told)
        inner = own.inner if isinstance(own, WideTask) else own
        if not isinstance(inner, ModelTask):
            _require_made_again(own, made_of)


def _require_made_again(task: EnvironmentTask, about: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless what a hub says of an environment makes it."""
    how = (
        "workers of a hub make the environment by its id and arguments: give these, as in "
        'QLearner("cdq/Signals-v0", env_kwargs={"rows": 3}), in place of the environment'
    )
    try:
        network = about["settings"].get("network") or {}
        made = task_of(about, _vouched(about), network.get("model"))
    except ConfigError as error:
        raise ConfigError(f"{task.name} cannot be made again elsewhere: {error}; {how}") from None
    made.close()
    if made.fingerprint() != task.fingerprint():
        raise ConfigError(f"{task.name} would be made otherwise elsewhere; {how}")


def _vouched(about: Mapping[str, Any]) -> str | None:
    """Return the id of an environment with its module, which was imported here: its user named it."""
    told = about.get("made_of")
    return told.get("id") if isinstance(told, dict) else None
