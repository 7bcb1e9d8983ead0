"""Beginning of a job, in a file of its own: with the journal, all that it takes to repeat the job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdq.errors import FileError
from cdq.job.tasks import describe, models_of
from cdq.storage import read_tensors, require_kind, write_tensors
from cdq.training import State, Tensors, lanes_of

if TYPE_CHECKING:
    from cdq.job.service import LearningService

NAME = "job.safetensors"


def write_beginning(directory: Path, state: State, service: LearningService) -> None:
    """Write what a job begins with: what it learns, settings, table, and where known lanes are."""
    job = service.job
    tensors, counters = state.everything()
    lanes = lanes_of([service.lanes(uid) for uid in range(job.places or service.least)])
    told, arrays = describe(job.task, job.about)
    grid = None if job.task.model is None else job.task.model.grid
    header = {"kind": "job", **told, **job.about, **counters, "rounds": service.rounds, "grid": grid}
    write_tensors(directory / NAME, {**tensors, **arrays, "lanes": lanes}, header)


def read_beginning(directory: Path) -> tuple[Tensors, dict[str, Any]]:
    """Return the tensors and the header of what a job began with.

    Raises
    ------
    FileError
        If there is none, it was altered, or it lacks something.
    """
    path = directory / NAME
    tensors, header = read_tensors(path, follow=False)
    require_kind(path, header, "job")
    try:
        int(header["rounds"]), tensors["lanes"]
        for name, kind in (("settings", dict), ("model", str), ("environment", str)):
            if not isinstance(header[name], kind):
                raise TypeError(f"{name} is {header[name]!r}")
        models_of(header, tensors)  # raises if they are none
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} lacks what a job begins with: {error!r}; use another copy") from None
    return tensors, header


def model_in_file(tensors: Tensors, header: Mapping[str, Any]) -> Any:
    """Return the model that a job learns, of a fleet a list of them; None where it learns none."""
    models = models_of(header, tensors)
    if None in models:
        return None
    return models if "members" in header else models[0]
