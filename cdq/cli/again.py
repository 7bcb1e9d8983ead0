"""A command with ``--checkpoint`` that is given again: it goes on with the run in the directory, or begins anew."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from cdq.envs.arguments import with_arguments_of_each
from cdq.envs.origin import origin_of
from cdq.errors import ConfigError, FileError
from cdq.learner import QLearner
from cdq.learner.filing import holds_run
from cdq.settings import HYPERPARAMETERS, MAY_CHANGE, make_settings
from cdq.storage import CheckpointDirectory
from cdq.training import JOURNAL, OptimalWithin, Until


def run_in(
    directory: Path,
    env: str,
    env_kwargs: Any,
    options: Mapping[str, Any],
    *,
    given: Collection[str],
    every: float | None,
) -> QLearner | None:
    """Return the learner of the run in a directory of checkpoints, None if it holds none; a collective.

    Parameters
    ----------
    directory : Path
        The directory.
    env : str
        Id of the environment that the command names.
    env_kwargs : mapping, list of them, or None
        Arguments of the environment, or of each worker's.
    options : mapping
        Hyper-parameters of the command.
    given : collection of str
        Names of those that were given, which have to be the run's.
    every : float or None
        Steps between two checkpoints.

    Raises
    ------
    ConfigError
        If the run has something else; TableError, if another environment.
    """
    changed = {name: options[name] for name in MAY_CHANGE}
    if not holds_run(directory, **changed):
        return None
    wanted = with_arguments_of_each(env, env_kwargs)
    network = options["network"]
    model = None if network is None else network.model
    agent = QLearner.resume(directory, wanted, **changed, network=model, checkpoint_every=every)
    wrong = differing_options(agent, options, given)
    if not isinstance(wanted, list) and origin_of(wanted).get("arguments") != agent.made_of.get("arguments"):
        wrong.append("env_arg")
    require_none_differ(
        agent, wrong, "run", "leave it out to go on with the run, name another directory, or --new"
    )
    return agent


def differing_options(agent: QLearner, options: Mapping[str, Any], given: Collection[str]) -> list[str]:
    """Return the names of options that were given and are not those of a run."""
    seed = agent.settings.seed if options["seed"] is None else options["seed"]
    asked, has = make_settings(**{**options, "seed": seed}).to_config(), agent.settings.to_config()
    return [
        name
        for name, known in HYPERPARAMETERS.items()
        if name in given and name not in MAY_CHANGE and not callable(options[name])  # which no file holds
        if asked.get(known.key or name) != has.get(known.key or name)
    ]


def require_none_differ(agent: QLearner, wrong: Sequence[str], what: str, remedy: str) -> None:
    """Raise `ConfigError` if there are options in which a run, here *what* it is called, has something else."""
    if not wrong:
        return
    has = agent.settings.to_config()
    keys = {name: known.key or name for name, known in HYPERPARAMETERS.items()}
    values = [f"{name} {json.dumps(has[keys[name]])}" for name in wrong if keys.get(name) in has]
    names = ", ".join("--" + name.replace("_", "-") for name in wrong)
    raise ConfigError(
        f"{names}: the {what} in the directory has something else ({', '.join(values) or agent.name}); {remedy}"
    )


def steps_to_go(
    agent: QLearner, total: float | None, until: Until | None
) -> tuple[float | None, Until | None]:
    """Return what a run that goes on is to learn: the rest of what was asked for, or another goal.

    Parameters
    ----------
    agent : QLearner
        The run.
    total : float or None
        Steps of the whole run, where the command gives them.
    until : Until or None
        Condition that the command gives.
    """
    target, until = agent.steps + agent.steps_left, until or agent.until
    if (total is None or total == target) and until == agent.until:
        return None, None
    if until is not None and until == agent.until and not agent.steps_left and holds(until, agent.report()):
        return None, None  # it has ended, perhaps sooner
    return max((target if total is None else total) - agent.steps, 0.0), until


def holds(until: Until, report: Mapping[str, Any]) -> bool:
    """Return whether a condition is met, as a report has it."""
    if isinstance(until, OptimalWithin):
        return bool(report["gap"] <= until.tolerance)
    return report["mean_return"] is not None and bool(report["mean_return"] >= until.at_least)


def begin_anew(directory: Path) -> None:
    """Delete the checkpoints of a directory.

    Raises
    ------
    FileError
        If another process has it, or it is a hub's.
    """
    if (directory / JOURNAL).exists():
        raise FileError(
            f"{directory} holds the job of a hub, which --new does not delete; name another directory"
        )
    store = CheckpointDirectory(directory.absolute())
    with store.lock():
        store.clear()
