"""Model of a run that is looked at, for the grid of its table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cdq.errors import TableError, UnsupportedEnvironment
from cdq.job import env_in
from cdq.mdp import MDP, model_of
from cdq.storage import Part
from cdq.training import JOURNAL, MOST_CELLS


def has_features(header: Mapping[str, Any]) -> bool:
    """Return whether the Q-function of a run is a sum of weights of features."""
    settings = header.get("settings")
    return isinstance(settings, dict) and "features" in settings


def model_of_run(directory: Path, part: Part, env: str | None) -> MDP | None:
    """Return the model of a run; None where its table is too large for a picture of its grid, or it has none.

    Parameters
    ----------
    directory : Path
        Directory of the run.
    part : Part
        Part of its newest checkpoint.
    env : str or None
        The environment that the user names.

    Raises
    ------
    CdqError
        If the environment cannot be made, or has another model.
    """
    if part.rows["values"] > MOST_CELLS:
        return None
    if (directory / JOURNAL).exists():
        known = env_in(directory)
        return known if isinstance(known, MDP) else None
    if "keys" in part.tensors or has_features(part.header):
        return None
    from cdq.learner.assembly import environment_of, make_task
    from cdq.settings import arguments_of, make_settings

    settings = make_settings(**arguments_of(directory, part.header, None))
    known = environment_of(directory, part.header, env)
    task = make_task(known, settings)[0]
    if task.fingerprint() != part.header.get("model"):
        raise TableError(f"{task.name} as it is here is not the environment that {directory} was learnt on")
    return model_of(known) if task.model is None else task.model


def has_no_table(env: str, error: Exception) -> bool:
    """Return whether an error says that an environment, which there is, has no table of transitions."""
    from cdq.envs.origin import spec_of

    return isinstance(error, UnsupportedEnvironment) and spec_of(env) is not None
