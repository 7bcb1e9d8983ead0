"""Tasks of a job as messages and files hold them: a model as it is, an environment by what makes it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from cdq.errors import ConfigError
from cdq.mdp import MDP
from cdq.settings import Goals, Rewards, Tasks, Weights
from cdq.storage import Tensors
from cdq.training import EnvironmentTask, FleetTask, ModelTask, WideTask

Described = tuple[dict[str, Any], Tensors]
# Makes the task of an environment of what a learner says of itself (`training.call.about`).
Make = Callable[[Mapping[str, Any]], EnvironmentTask]

_MEMBERS, _SIGNALS = "members", "signals"
_MODEL = ("offsets", "next_state", "probability", "reward", "terminated", "start")
# Hyper-parameters that say nothing of an environment, and that a worker might not know; those of a network do.
_OF_HUB = {"merge": "pooled", "workers": 1, "comm": "auto"}
_OF_NETWORK = {"comm": "auto"}


def make_nothing(about: Mapping[str, Any]) -> EnvironmentTask:
    """Refuse to make an environment, where nobody has said how."""
    raise ConfigError(f"{about.get('environment')!r:.200} is made again where `cdq join` is; start that")


# ---- out


def describe(task: EnvironmentTask, about: Mapping[str, Any]) -> Described:
    """Return what a task is made of again, by `open_task`: a JSON object, and arrays.

    Parameters
    ----------
    task : EnvironmentTask
        Task of a learner.
    about : dict
        Description of the learner (`training.call.about`).

    Raises
    ------
    ConfigError
        If messages do not hold what it takes.
    """
    if isinstance(task, FleetTask):
        return _describe_all(task, about)
    inner = task.inner if isinstance(task, WideTask) else task
    if isinstance(inner, ModelTask):
        told, tensors = _describe_model(inner.model)
        told["model"] = task.fingerprint()
        if isinstance(task, WideTask):
            told["tasks"] = task.tasks.to_config()
            if task.signals is not None:
                tensors = {**tensors, _SIGNALS: task.signals}
        return told, tensors
    if isinstance(task, WideTask) and _is_by_function(task.tasks):
        raise ConfigError(
            f"the tasks on {task.name} are of a function, which a hub does not send; learn a model (cdq.MDP), give "
            "goals or weights of rewards that are arrays, or let ranks learn them: cdq launch, or mpiexec"
        )
    made = {"made_of": about["made_of"]} if about.get("made_of") else {}
    told = {"model": task.fingerprint(), "name": task.name, "environment": task.name}
    return {**told, "settings": _of_environment(about["settings"]), **made}, {}


def _of_environment(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without those that say nothing of an environment and what is learnt of it."""
    return {**settings, **(_OF_HUB if settings.get("network") is None else _OF_NETWORK)}


def _describe_all(fleet: FleetTask, about: Mapping[str, Any]) -> Described:
    told, tensors = list[dict[str, Any]](), dict[str, Any]()
    for number in range(len(fleet.members)):
        own, arrays = describe(*member_of(fleet, about, number))
        told.append(own)
        tensors.update({f"{number}.{name}": array for name, array in arrays.items()})
    return {_MEMBERS: told, "model": fleet.fingerprint()}, tensors


def member_of(
    task: EnvironmentTask, about: Mapping[str, Any], number: int
) -> tuple[EnvironmentTask, Mapping[str, Any]]:
    """Return the task of one worker of a job, and the description of a learner that has no other one."""
    if not isinstance(task, FleetTask):
        return task, about
    origins = about.get("made_of", {}).get(_MEMBERS) or [{}] * len(task.members)
    return task.members[number], {**about, "made_of": origins[number].get("made_of")}


def _describe_model(model: MDP) -> Described:
    told: dict[str, Any] = {
        "sizes": [model.n_states, model.n_actions],
        "time_limit": model.time_limit,
        "name": model.name,
    }
    if model.opponent is not None:
        told["opponent"] = model.opponent
    return told, model_tensors(model)


def model_tensors(model: MDP) -> Tensors:
    """Return the arrays that a model is made of."""
    tensors = {f"model.{name}": getattr(model, name) for name in _MODEL}
    return tensors if model.actions is None else {**tensors, "model.actions": model.actions}


# ---- back


def open_task(about: Mapping[str, Any], tensors: Tensors, dtype: str, make: Make) -> EnvironmentTask:
    """Return the task that `describe` described, checked.

    Parameters
    ----------
    about, tensors : dict
        Result of `describe`, which may have more besides.
    dtype : str
        Type of the table's values.
    make : callable
        Makes environments that are no models.

    Raises
    ------
    ConfigError
        If it is another one than it says, or an environment cannot be made.
    KeyError, TypeError, ValueError
        If it is none.
    """
    if _MEMBERS in about:
        task: EnvironmentTask = FleetTask(
            [
                open_task(own, _of_member(tensors, number), dtype, make)
                for number, own in enumerate(about[_MEMBERS])
            ],
            list,
        )
    elif _has_model(about, tensors):
        task = _open_models(about, tensors, dtype)
    else:
        task = make({**about, "settings": _of_environment(about["settings"])})
    if task.fingerprint() != about["model"]:
        what = "its model is another one than it says"
        if not _has_model(about, tensors):
            what = f"{task.name} is another environment here; use the same versions, or name it: cdq join URL ENV"
        raise ConfigError(what)
    return task


def _of_member(tensors: Tensors, number: int) -> Tensors:
    prefix = f"{number}."
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _has_model(about: Mapping[str, Any], tensors: Tensors) -> bool:
    return "sizes" in about or any(name.startswith("model.") for name in tensors)


def models_of(about: Mapping[str, Any], tensors: Tensors) -> list[MDP | None]:
    """Return the model of each worker of what was described, None where it learns none."""
    if _MEMBERS not in about:
        return [model_of(about, tensors) if _has_model(about, tensors) else None]
    each = enumerate(about[_MEMBERS])
    return [model for number, own in each for model in models_of(own, _of_member(tensors, number))]


def _open_models(about: Mapping[str, Any], tensors: Tensors, dtype: str) -> EnvironmentTask:
    task = ModelTask(model_of(about, tensors), dtype)
    if about.get("tasks") is None:
        return task
    return WideTask(task, _tasks_of(about["tasks"]), dtype, list, tensors.get(_SIGNALS))


def model_of(about: Mapping[str, Any], tensors: Tensors) -> MDP:
    """Return the model of *about* ("sizes", "time_limit", "name") and what `model_tensors` returned; it is checked."""
    arrays: dict[str, Any] = {name: tensors[f"model.{name}"] for name in _MODEL}
    n_states, n_actions = about["sizes"]
    grid = about.get("grid")  # for drawings: no worker needs it
    return MDP(
        n_states,
        n_actions,
        **arrays,
        time_limit=about["time_limit"],
        name=str(about["name"]),
        actions=tensors.get("model.actions"),
        grid=None if grid is None else tuple(grid),
        opponent=about.get("opponent"),
    )


def _is_by_function(tasks: Tasks) -> bool:
    return isinstance(tasks, Rewards) or (isinstance(tasks, Weights) and tasks.features is not None)


def _tasks_of(config: Mapping[str, Any]) -> Tasks:
    """Return the tasks of a JSON object; what a function would make comes with them as arrays."""
    if config["kind"] == Goals.kind:
        return Goals(config["states"])
    if config["kind"] == Rewards.kind:
        return Rewards(config["names"], _elsewhere)
    by_function = _elsewhere if config["by_function"] else None
    return Weights(config["weights"], by_function, names=config.get("names"))


def _elsewhere(*transitions: npt.NDArray[Any]) -> Any:
    raise AssertionError("what transitions pay was made at the hub")
