"""State of a learner: all that learning changes, and its way to files and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts.blocks import Blocks
from cdq.errors import ConfigError, FileError, NotLearnt, TableError
from cdq.errors.checks import MOST_STEPS, read_only, real, shown, whole
from cdq.qfunctions import MergedNetwork, MergedTable, QTable
from cdq.schedules.windows import LONGEST_WINDOW
from cdq.settings.network import named_model
from cdq.training.course import Progress
from cdq.training.goals import Goal
from cdq.training.history import History
from cdq.training.kinds import EnvironmentTask
from cdq.training.played import FIRST_COLUMNS, Row

_HISTORY = "history."

Tensors = dict[str, npt.NDArray[Any]]


@dataclass
class State:
    """State of a learner: everything that learning changes.

    Attributes
    ----------
    merged : MergedTable
        The table, clocks and visits.
    progress : Progress
        Steps, and the length of the next window.
    history : History
        A row per round.
    session : int
        Number of restarts of the run with fresh streams.
    evaluations : int
        Number of evaluations that were made; each has streams of its own.
    goal : Goal
        Goal of the last call of `learn`.
    actions : (n_states, n_actions) array of bool, optional
        The actions that states have, where a model says that they do not have all (`cdq.MDP.actions`).
    blocks : Blocks, optional
        The blocks of the table, where it has some.
    """

    merged: MergedTable
    progress: Progress
    history: History = field(default_factory=History)
    session: int = 0
    evaluations: int = 0
    goal: Goal = field(default_factory=lambda: Goal(0))
    actions: npt.NDArray[np.bool_] | None = None
    blocks: Blocks | None = None

    def allowed(self) -> npt.NDArray[np.bool_] | None:
        """Return the actions that each row has, of the model or of its block; None where all rows have all."""
        if self.blocks is None or not self.blocks.uneven:
            return self.actions
        keys = getattr(self.merged, "keys", None)
        rows = np.arange(len(self.merged.values)) if keys is None else keys
        return self.blocks.masks[self.blocks.of_rows(rows)].astype(np.bool_)

    def tables(self) -> Tensors:
        """Return the part of the table that is saved; views, but for the actions of blocks."""
        tables = self.merged.tensors()
        actions = self.allowed()
        return tables if actions is None else {**tables, "actions": actions}

    def network(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """Return a copy of the network's tensors, by name; read-only.

        Raises
        ------
        NotLearnt
            If a table is learnt.
        """
        if not isinstance(self.merged, MergedNetwork):
            raise NotLearnt("a table or features are learnt, and no network; use `table`")
        views = self.merged.views(self.merged.values)
        return MappingProxyType({name: read_only(tensor.copy()) for name, tensor in views.items()})

    def counters(self) -> dict[str, Any]:
        """Return the counters that are saved, as a JSON object."""
        return {
            "steps": self.progress.steps,
            "window": self.progress.window,
            "session": self.session,
            "evaluations": self.evaluations,
        }

    def saved(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all that a learner's file holds: table, history and counters, as tensors and a JSON object."""
        history = {_HISTORY + name: column for name, column in self.history.to_arrays().items()}
        return {**self.tables(), **history}, self.counters()

    def everything(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all that a checkpoint holds besides the lanes: tensors and a JSON object."""
        tensors, counters = self.saved()
        return tensors, {**counters, "goal": self.goal.to_config()}

    def restore(
        self, path: object, tensors: Tensors, header: Mapping[str, Any], task: EnvironmentTask
    ) -> None:
        """Take over what `saved` or `everything` returned, and *path* holds; it is for *task*.

        Earlier files have a history in checkpoints alone.

        Raises
        ------
        FileError
            If something is missing, of another kind, or out of range.
        TableError
            If the table is none, has another size or type, or is that of another environment.
        """
        if header.get("model") != task.fingerprint():
            raise TableError(f"{path} was learnt {_of_another_origin(tensors, header, task)}")
        try:
            self._require_table(tensors)
            told = {"evaluations": 0, **header}  # files of 0.1 know none
            counts = {name: whole(name, told[name], 0) for name in ("steps", "session", "evaluations")}
            window = real("window", header["window"], f"1 to {LONGEST_WINDOW} steps", 1.0, LONGEST_WINDOW)
            goal = Goal.from_config(header["goal"]) if "goal" in header else self.goal
            history = (
                history_of(tensors) if "goal" in header or f"{_HISTORY}steps" in tensors else self.history
            )
            self.merged.fill(tensors)
            self.progress = Progress(counts["steps"], window)
            self.session, self.evaluations = counts["session"], counts["evaluations"]
            self.goal, self.history = goal, history
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, TableError):
                raise
            raise FileError(f"{path} lacks what a learner goes on from: {error!r}; use another") from None

    def _require_table(self, tensors: Tensors) -> None:
        """Raise unless the tensors of a file are a table, where one is learnt; a network checks its own."""
        if isinstance(self.merged, MergedNetwork):
            return
        QTable(tensors["values"], tensors["visits"], keys=tensors.get("keys"))
        if tensors["visits"].max(initial=0) > MOST_STEPS:
            raise ConfigError(f"visits go up to {tensors['visits'].max()}; allowed: up to 2**62")


def _made_in_words(header: Mapping[str, Any]) -> str:
    """Return the environment of a file, and what it was made with where that is written down."""
    told = header.get("made_of")
    made = {name: value for name, value in told.items() if name != "id"} if isinstance(told, dict) else {}
    arguments = made.pop("arguments", {})
    parts = [f"with the arguments {shown(arguments)}"] if arguments else []
    parts += [f"and {name} {shown(value)}" for name, value in made.items()]
    return " ".join([str(header.get("environment")), *parts])


def history_of(tensors: Mapping[str, npt.NDArray[Any]]) -> History:
    """Return the history of a file; raise `KeyError` or `ConfigError` if it has none."""
    names = [name for name in Row._fields if name in FIRST_COLUMNS or _HISTORY + name in tensors]
    return History.from_arrays({name: tensors[_HISTORY + name] for name in names})


def lanes_of(parts: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Return the lanes of all ranks as one array, a row per rank."""
    return np.stack([np.frombuffer(part, np.uint8) for part in parts])


def _of_another_origin(tensors: Tensors, header: Mapping[str, Any], task: EnvironmentTask) -> str:
    """Return in words on which other environment, or with which other Keras model, a file was learnt."""
    of_file, network = named_model(header), getattr(getattr(task, "kind", None), "network", None)
    remedy = "give the environment that it was learnt on, with the arguments it had"
    if of_file is not None and network is not None and header.get("environment") == task.name:
        own = {name: tensor.shape for name, tensor in task.own_table.tensors().items()}
        same = own == {name: tensors[name].shape for name in own if name in tensors}
        differing = "layers" if not same else "arguments of layers, reward_scale or environment's arguments"
        return (
            f"with the Keras model of {of_file!r}, whose {differing} differ from those of {network.model_name!r}, as "
            "it is here; give the function that returns the same model as then"
        )
    what = (
        "id, class, arguments, spaces, names, masks or features differ from those"
        if getattr(task, "model", task) is None
        else "model differs from that"
    )
    return f"on {_made_in_words(header)}, whose {what} of {task.name}, as it is here; {remedy}"
