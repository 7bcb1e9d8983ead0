"""All that learning changes in a learner, and how it goes to files and comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.errors import FileError, TableError
from cdq.history import History
from cdq.subject import Subject
from cdq.table import QTable
from cdq.training import Progress
from cdq.until import Goal
from cdq.worker import Merged

_HISTORY = "history."

Tensors = dict[str, npt.NDArray[Any]]


@dataclass
class State:
    """What a learner is at.

    Attributes
    ----------
    merged : Merged
        The table, clocks and visits.
    progress : Progress
        Steps, and the length of the next window.
    history : History
        A row per round.
    session : int
        How often the run was begun anew, with fresh streams.
    evaluations : int
        How many were made; each has streams of its own.
    goal : Goal
        Of the last call of `learn`.
    """

    merged: Merged
    progress: Progress
    history: History = field(default_factory=History)
    session: int = 0
    evaluations: int = 0
    goal: Goal = field(default_factory=lambda: Goal(0))

    def tables(self) -> Tensors:
        """Return what is saved of the table; views."""
        return {name: getattr(self.merged, name) for name in self.merged.names}

    def counters(self) -> dict[str, Any]:
        """Return what else is saved, as a JSON object."""
        return {
            "steps": self.progress.steps,
            "window": self.progress.window,
            "session": self.session,
            "evaluations": self.evaluations,
        }

    def everything(self) -> tuple[Tensors, dict[str, Any]]:
        """Return what a checkpoint holds besides the lanes: tensors and a JSON object."""
        history = {_HISTORY + name: column for name, column in self.history.to_arrays().items()}
        return {**self.tables(), **history}, {**self.counters(), "goal": self.goal.to_config()}

    def restore(self, path: object, tensors: Tensors, header: Mapping[str, Any], subject: Subject) -> None:
        """Take over what `tables` and `counters`, or `everything`, returned, and *path* holds; it is for *subject*.

        Raises
        ------
        FileError
            If something is missing or of another kind.
        TableError
            If the table is none, has another size or type, or is that of another environment.
        """
        if header.get("model") != subject.fingerprint():
            raise TableError(
                f"{path} was learnt on {header.get('environment')}, whose model differs from that of {subject.name}; "
                "give the environment that it was learnt on"
            )
        try:
            QTable(tensors["values"], tensors["visits"], keys=tensors.get("keys"))  # raises if they are none
            self.merged.fill(tensors)
            self.progress = Progress(int(header["steps"]), float(header["window"]))
            self.session, self.evaluations = int(header["session"]), int(header.get("evaluations", 0))
            if "goal" in header:
                self.goal = Goal.from_config(header["goal"])
                columns = {name: tensors[_HISTORY + name] for name in self.history.to_arrays()}
                self.history = History.from_arrays(columns)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, TableError):
                raise
            raise FileError(f"{path} lacks what a learner goes on from: {error!r}; use another") from None


def lanes_of(parts: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Return the lanes of all ranks as one array, a row per rank."""
    return np.stack([np.frombuffer(part, np.uint8) for part in parts])
