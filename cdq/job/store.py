"""Beginning of a job, in a file of its own: with the journal, all that it takes to repeat the job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdq.errors import FileError
from cdq.job.handshake import model_of, model_tensors
from cdq.mdp import MDP
from cdq.storage import read_tensors, require_kind, write_tensors
from cdq.training import State, Tensors, lanes_of

if TYPE_CHECKING:
    from cdq.job.service import LearningService

NAME = "job.safetensors"


def write_beginning(
    directory: Path, model: MDP | None, about: Mapping[str, Any], state: State, service: LearningService
) -> None:
    """Write what a job begins with: its model, if it has one, settings, table, and where known lanes are."""
    tensors, counters = state.everything()
    lanes = lanes_of([service.lanes(uid) for uid in range(service.least)])
    header = {"kind": "job", **about, **counters, "rounds": service.rounds}
    if model is None:
        write_tensors(directory / NAME, {**tensors, "lanes": lanes}, header)
        return
    sizes = [model.n_states, model.n_actions]
    header |= {"sizes": sizes, "time_limit": model.time_limit, "name": model.name, "grid": model.grid}
    if model.opponent is not None:
        header["opponent"] = model.opponent
    write_tensors(directory / NAME, {**tensors, **model_tensors(model), "lanes": lanes}, header)


def read_beginning(directory: Path) -> tuple[MDP | None, Tensors, dict[str, Any]]:
    """Return the model that a job has, None of a network's, and the tensors and the header of what it began with.

    Raises
    ------
    FileError
        If there is none, it was altered, or it lacks something.
    """
    path = directory / NAME
    tensors, header = read_tensors(path, follow=False)
    require_kind(path, header, "job")
    try:
        _, _ = int(header["rounds"]), tensors["lanes"]
        for name, kind in (("settings", dict), ("model", str), ("environment", str)):
            if not isinstance(header[name], kind):
                raise TypeError(f"{name} is {header[name]!r}")
        is_network = header["settings"].get("network") is not None
        model = None if is_network else model_of(header, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} lacks what a job begins with: {error!r}; use another copy") from None
    return model, tensors, header
