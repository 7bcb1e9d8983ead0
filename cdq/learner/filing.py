"""Files of a learner, and copies of it, which are made by way of a file."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdq.comm.base import Communicator
from cdq.errors import ConfigError
from cdq.errors.checks import path_of, shown
from cdq.errors.naming import named
from cdq.learner import backends
from cdq.learner.assembly import environment_of, require_size
from cdq.learner.exclusion import exclusive
from cdq.learner.results import Results
from cdq.mdp import MDP
from cdq.merges import MergeRule
from cdq.offline import LoggedTask, Names
from cdq.settings import Tasks, arguments_of
from cdq.storage import (
    CheckpointDirectory,
    pack_tensors,
    parse_tensors,
    read_tensors,
    require_kind,
    write_tensors,
)
from cdq.training import JOURNAL, Checkpoints, ModelTask, Team, Tensors, about, from_rank_0

if TYPE_CHECKING:
    from typing_extensions import Self


# The tensor of a file that names a log's states and actions.
_NAMES = "names"


class Filed(Results):
    """Files of what was learnt, and learners made from files; see `QLearner`."""

    _checkpoints: Checkpoints
    _team: Team
    _env: Any

    @exclusive
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write table, history and settings to a safetensors file, atomically; `load` reads it back.

        Raises
        ------
        FileError
            If it cannot be written.
        ConfigError
            If the states or actions of a log have names that would need pickle.
        LearnerBusy
            If the learner is in the course of another call.
        """
        where = path_of("the file", path)
        tensors, header = self._as_file()
        if self.names is not None:
            tensors[_NAMES] = np.frombuffer(self.names.to_bytes(), np.uint8)
        write_tensors(where, tensors, header)

    def _as_file(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, counters = self._state.saved()
        return tensors, {"kind": "learner", **about(self._task, self.settings, self._origin), **counters}

    @property
    def made_of(self) -> dict[str, Any]:
        """The environment as files have it, besides its name: arguments, a time limit, wrappers."""
        return dict(self._origin) if isinstance(self._origin, dict) else {}  # of a file, perhaps

    # ---- copies

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how pickle and copy.deepcopy make another learner: by way of a file's bytes, and of the environment.

        The copy has table, history and settings, writes no checkpoints, and goes on with fresh streams. An environment
        that pickle cannot take, such as a lambda, raises pickle's own error: call `save`, and `load` with ``env=``.

        Raises
        ------
        ConfigError
            If the learner is one rank of several processes.
        LearnerBusy
            If the learner is in the course of another call.
        """
        if self._backend.comm is not None:
            raise ConfigError(
                "a learner that is one rank of several, connected to the others, cannot be copied; save it on rank 0 "
                "and load that file where it is needed"
            )
        rule = self.settings.merge if isinstance(self.settings.merge, MergeRule) else None
        with self._turn.taken("a copy"):
            data = pack_tensors(*self._as_file())
        network = None if self.settings.network is None else self.settings.network.model
        return _unpacked, (type(self), data, self._env, rule, self.settings.tasks, network)

    def __copy__(self) -> Self:
        """Return what `copy.deepcopy` does: two learners cannot have one environment."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a learner of a copy of the environment; `ConfigError` if that plays otherwise than the environment."""
        make, (kind, data, env, rule, tasks, network) = self.__reduce__()
        twin = copy.deepcopy(env, memo)
        if not self._task.threads:
            from cdq.envs.trial import require_alike

            require_alike(env, twin)
        made: Self = make(kind, data, twin, copy.deepcopy(rule, memo), tasks, network)
        return made

    # ---- back

    @classmethod
    @named
    def load(
        cls,
        path: str | os.PathLike[str],
        env: Any = None,
        *,
        merge: MergeRule | None = None,
        tasks: Tasks | None = None,
        network: str | Callable[[], Any] | None = None,
    ) -> Self:
        """Return the learner of a file that `save` wrote; it may learn on, with fresh random streams.

        Parameters
        ----------
        path : path
            Path of the file.
        env : str, gymnasium.Env, callable or MDP, optional
            The environment; needed where the file's name for it is not a registered id. No module is imported because
            a file names it: ``env="shop:Shop-v0"`` says that you trust it.
        merge : MergeRule, optional
            The rule, where it is one of your own.
        tasks : Rewards or Weights, optional
            The tasks, where a function of your own makes what they are paid.
        network : str or callable, optional
            The function that returns the Keras model, or its name, where one is learnt. No module is imported because
            a file names it.

        Raises
        ------
        ConfigError
            If the environment is of a module, and *env* does not say so; if the tasks are of a function, and *tasks*
            does not give it.
        FileError
            If the file is missing, truncated, altered or holds no learner.
        TableError
            If the environment is another one than the table's.
        """
        tensors, header = read_tensors(path_of("the file", path))
        require_kind(path, header, "learner")
        return cls._made(path, env, arguments_of(path, header, merge, tasks, network), tensors, header)

    @classmethod
    @named
    def resume(
        cls,
        checkpoint: str | os.PathLike[str],
        env: Any = None,
        *,
        workers: int | None = None,
        comm: str | Communicator = "auto",
        merge: MergeRule | None = None,
        tasks: Tasks | None = None,
        network: str | Callable[[], Any] | None = None,
        checkpoint_every: float | None = None,
    ) -> Self:
        """Return the learner of a directory's newest checkpoint; `learn` without steps finishes the call it is from.

        With as many workers as before, the run is the one that was not interrupted, bit for bit. With another number
        the table, visits, clocks and schedules go on, and the random streams restart; a warning says so.

        Parameters
        ----------
        checkpoint : path
            The directory. Rank 0 reads it; further checkpoints go there.
        env : str, gymnasium.Env, callable or MDP, optional
            The environment; needed where the checkpoint's name for it is not a registered id, as for `load`.
        workers : int, optional
            Number of workers; default: as many as the checkpoint has, or the ranks that there are.
        comm : str or Communicator
            Communicator, named as for `QLearner`; it need not be the one that the run began with.
        merge : MergeRule, optional
            The rule, where it is one of your own.
        tasks : Rewards or Weights, optional
            The tasks, where a function of your own makes what they are paid.
        network : str or callable, optional
            The function that returns the Keras model, or its name, where one is learnt. No module is imported because
            a file names it.
        checkpoint_every : float, optional
            Steps between two checkpoints from now on; default: as before.

        Raises
        ------
        ConfigError
            If the environment is of a module, and *env* does not say so.
        FileError
            If the directory holds no checkpoint, or none that is whole. Damaged ones that are newer than the one
            taken are named in warnings of the logger "cdq".
        TableError
            If the environment is another one than the checkpoint's.
        """
        directory = path_of("the checkpoint directory", checkpoint)
        joined = backends.join(comm, backends.count_workers(comm, workers or 0))
        checkpoints = Checkpoints(directory, checkpoint_every)
        path, tensors, header = checkpoints.newest(joined)
        require_kind(path, header, "checkpoint")
        arguments = {
            **arguments_of(path, header, merge, tasks, network),
            "comm": comm if joined is None else joined,
        }
        if workers is not None:
            arguments["workers"] = workers
        learner = cls._made(path, env, arguments, tensors, header)
        learner._checkpoints = checkpoints
        if checkpoint_every is not None:
            learner._state.goal = replace(learner._state.goal, keep_every=checkpoints.every(0))
        return learner

    @classmethod
    def _made(
        cls, path: Any, env: Any, arguments: dict[str, Any], tensors: Tensors, header: Mapping[str, Any]
    ) -> Self:
        """Return a learner that holds what a file does; with fresh streams unless the file has its lanes."""
        arguments["workers"] = backends.workers_of_file(arguments["comm"], arguments["workers"])
        if env is None and _NAMES in tensors:
            env = Names.from_bytes(tensors[_NAMES].tobytes())
        if arguments.get("features") is None and arguments.get("bins") is None and "keys" not in tensors:
            require_size(path, header, tensors.get("values"))
        made_of = environment_of(path, header, env)
        try:
            learner = cls(made_of, **arguments)  # type: ignore[call-arg]  # of QLearner
        except ConfigError as error:
            if env is None:
                raise
            raise ConfigError(f"{path} does not go with {shown(env)}: {error}") from None
        learner._origin = header.get("made_of") or learner._origin
        if isinstance(env, MDP) and isinstance(learner._task, ModelTask):
            learner._task.why = str(header.get("stepping_reason", learner._task.why))  # of this very model
        learner._state.restore(path, tensors, header, learner._task)
        if isinstance(learner._task, LoggedTask):
            learner._task.tried |= learner._state.merged.updates() > 0
        learner._team.go_on(
            tensors.get("lanes"),
            learner.rank,
            comes_and_goes=learner._backend.comes_and_goes or (Path(path).parent / JOURNAL).exists(),
        )
        return learner


def holds_run(directory: Path, *, workers: int | None = None, comm: str | Communicator = "auto") -> bool:
    """Return whether a directory has checkpoints, as rank 0 of a run sees it; a collective."""
    joined = backends.join(comm, backends.count_workers(comm, workers or 0))

    def look() -> bytes:
        return b"1" if CheckpointDirectory(directory).last_path() else b"0"

    return (look() if joined is None else from_rank_0(joined, look)) == b"1"


def _unpacked(cls: type[Filed], data: bytes, env: Any, merge: MergeRule | None, *others: Any) -> Filed:
    name = "the copy of a learner"
    tensors, header = parse_tensors(data, name)
    require_kind(name, header, "learner")
    return cls._made(name, env, arguments_of(name, header, merge, *others), tensors, header)
