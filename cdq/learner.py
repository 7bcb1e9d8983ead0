"""QLearner: the face. Learn, predict, evaluate, save, load."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cdq import replaying
from cdq.agreement import agree_on_seed
from cdq.choice import make_subject, make_table
from cdq.comm.base import Communicator
from cdq.comm.registry import LOCAL_HUB, choose
from cdq.errors import ConfigError
from cdq.files import read_tensors, require_kind
from cdq.interrupts import Requests
from cdq.keeping import Checkpoints
from cdq.learnt import Learnt
from cdq.merges import MergeRule, resolve
from cdq.rounds import Window
from cdq.run import Run, is_spread, join, make_goal, suited
from cdq.schedules import Rate, StepSize
from cdq.settings import arguments_of, make_settings, size_of
from cdq.state import State, Tensors
from cdq.team import Team
from cdq.training import Progress
from cdq.until import OptimalWithin, Until

if TYPE_CHECKING:
    from cdq.features import FeatureMap
    from cdq.job.hub import Hosting


class QLearner(Learnt):
    """Learn the optimal action values of an environment with several workers.

    Parameters
    ----------
    env : str, gymnasium.Env, gymnasium.vector.VectorEnv, callable or MDP
        A Gymnasium id, an environment, a callable that makes one, or a model. It is stepped by the fastest way there
        is: as a compiled model where it carries its transition table (FrozenLake, CliffWalking and Taxi do), as a
        compiled environment (`cdq.envs`), else by its own `step`. Several workers are then processes, not threads.
    gamma : float
        Discount, above 0 and up to 1.
    step_size : float, Constant, LinearDecay, ExponentialDecay, RescaledLinear, Polynomial or None
        None: `RescaledLinear(gamma)`, that is 1 / (1 + (1 - gamma) n); where gamma is 1, `Polynomial(0.77)`,
        or 0.1 with features.
    exploration : float, Constant, LinearDecay or ExponentialDecay
        Probability of a uniformly random action.
    merge : str or MergeRule
        How the workers' tables become one: "pooled", "mean", "visits", "importance", "affine", "sum", "max".
    sync_every : "auto", int or AutoWindow
        Steps per worker between two merges; "auto" chooses each window from what was merged.
    workers : int, optional
        How many learn together. Default: 1, or as many as the communicator has ranks in other processes (under mpiexec,
        each process is one worker).
    num_envs : int, optional
        Environments that a worker steps in lockstep; by default 16, and 1 where they are stepped in Python.
    comm : str or Communicator
        "auto", the name of a communicator ("inprocess": threads of this process; "zmq": processes that `learn` starts;
        "mpi": those that mpiexec or srun started), a URL, or a communicator, of which this process is then one rank. A
        URL may set the deadline of every merge, in seconds ("mpi://?timeout=60"; an hour by default). "auto" takes what
        CDQ_COMM in the environment names, else "mpi" where a launcher started several processes, else "inprocess".
    dtype : {"float64", "float32"}
        Of the table.
    seed : int or None
        Same seed and number of workers: same table, bit for bit. None draws one.
    initial_value : float
        What every action is worth before learning.
    features : TileCoding, PolynomialBasis or FourierBasis, optional
        Learn a linear function of the features of an observation, a vector, in place of a table.
    bins : int or sequence of int, optional
        Cut each number of such an observation into so many parts, and learn a table; of the cells that were met alone,
        with ``table="hash"``.
    table : {"dense", "hash"}
        "hash": a row for each state that was met, where there are too many or nobody knows how many.
    masks : {"auto", True, False}
        Whether only the actions are taken, and valued, that the environment's `action_mask` allows, in the observation
        or in `info`; "auto": where there is one, but for Taxi, whose mask is advice.
    stepping : {"auto", "python"}
        "python": by the environment's own `step`, even where there is a faster way.
    overlap : bool
        Let each merge travel while the next window is learnt; it is applied one window late.
    checkpoint : path, optional
        A directory for checkpoints, from which `resume` goes on exactly where the run was. One run writes it at a time.
        With it, SIGTERM ends `learn` after the round in hand, with a checkpoint and exit status 0, and so does Ctrl-C,
        which still raises KeyboardInterrupt.
    checkpoint_every : float, optional
        Steps, of all workers, between two checkpoints; by default a twentieth of each call of `learn`, which ends with
        one. With overlap no merge travels while one is written: the tables depend on when they are.

    Attributes
    ----------
    model : MDP
        The environment.
    settings : Settings
        The arguments, checked.
    history : History
        A row per round; on rank 0.
    rank : int
        Which worker this process is, where each process is one; else 0.
    hosting : cdq.job.hub.Hosting, optional
        How workers of "zmq" may join and leave, in place of those that `learn` starts.

    Raises
    ------
    ConfigError, UnsupportedEnvironment, ModelError
        Before any work starts, if an argument is not allowed; the message says what is.

    Notes
    -----
    Q-learning after Watkins and Dayan (1992). A learner belongs to one thread; it starts its own for the workers.

    Examples
    --------
    >>> agent = QLearner("FrozenLake-v1", workers=2, seed=0).learn(200_000)
    >>> agent.predict(14)
    1
    """

    def __init__(
        self,
        env: Any,
        *,
        gamma: float = 0.99,
        step_size: float | StepSize | None = None,
        exploration: float | Rate = 0.1,
        merge: str | MergeRule = "pooled",
        sync_every: str | int | Window = "auto",
        workers: int | None = None,
        num_envs: int | None = None,
        comm: str | Communicator = "auto",
        dtype: str = "float64",
        seed: int | None = None,
        initial_value: float = 0.0,
        features: FeatureMap | None = None,
        bins: int | Sequence[int] | None = None,
        table: str = "dense",
        masks: bool | str = "auto",
        stepping: str = "auto",
        overlap: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float | None = None,
    ) -> None:
        self._rule = resolve(merge)
        self.settings = make_settings(
            gamma=gamma,
            step_size=step_size,
            exploration=exploration,
            merge=merge,
            sync_every=sync_every,
            workers=workers,
            num_envs=num_envs,
            comm=comm,
            dtype=dtype,
            seed=seed,
            initial_value=initial_value,
            overlap=overlap,
            features=features,
            bins=bins,
            table=table,
            masks=masks,
            stepping=stepping,
        )
        self._checkpoints = Checkpoints(checkpoint, checkpoint_every)
        self._subject, self.settings = make_subject(env, self.settings)
        if step_size is None:
            self.settings = replace(self.settings, step_size=self._subject.step_size(gamma))
        self._requests = Requests()
        workers = self.settings.workers
        self._comm = join(suited(comm, self._subject, workers), workers)
        agreed = agree_on_seed(self._comm, self.settings.seed, seed is not None)
        self.settings = replace(self.settings, seed=agreed)
        subject = self._subject
        joinable = isinstance(self._comm, str) and choose(self._comm) == LOCAL_HUB
        alone = self.settings.workers == 1 and not joinable
        merged = make_table(subject, self.settings, alone=alone)
        self._state = State(merged, Progress(0, float(self.settings.window.floor)))
        self._team = Team(subject, self._state, self.settings, self._requests.stop)
        self.hosting: Hosting | None = None

    def __repr__(self) -> str:
        return f"QLearner({self.name!r}, workers={self.settings.workers}, steps={self.steps})"

    # ---- learning

    def learn(self, steps: float | None = None, *, until: Until | None = None) -> QLearner:
        """Learn for *steps* more environment steps, summed over all workers and lanes, rounded up to whole sweeps.

        Shows a line of progress where standard error is a terminal. Ctrl-C stops cleanly: the last whole round is
        kept, KeyboardInterrupt is raised, and `learn` may be called again.

        Parameters
        ----------
        steps : float, optional
            At least 0; a whole number. May be left out after `resume`: the call that was cut short is finished.
        until : OptimalWithin or MeanReturn, optional
            Stop before, once this holds; all workers stop after the same round. It is looked at whenever the steps
            have grown by a twentieth.

        Returns
        -------
        QLearner
            The learner itself.

        Raises
        ------
        ConfigError
            If *steps* or *until* is not allowed, or if the ranks of the run were not made with the same.
        CommError
            If the workers lose each other; the table is that of the last whole round.
        FileError
            If the checkpoint directory is in use, belongs to another run, or cannot be written; the last good
            checkpoint is still there.
        DivergenceError
            If the tables of the ranks differ at a checkpoint.
        """
        self._state.goal = make_goal(self._state, self._checkpoints, steps, until)
        if self.model is None and isinstance(self.until, OptimalWithin):
            raise ConfigError(
                f"{self.name} has no model, so that no distance from optimal is known; use cdq.MeanReturn(...)"
            )
        self._optimum = self._solved()  # before the clock starts
        self._run().play()
        return self

    def learn_from(
        self,
        observations: Any,
        actions: Any = None,
        rewards: Any = None,
        next_observations: Any = None,
        terminated: Any = None,
        *,
        passes: int = 1,
    ) -> QLearner:
        """Learn from logged transitions, in the order in which they are given; each counts as a step.

        With several workers each learns its part, a contiguous one, and they merge as ever. Ranks that are other
        processes all get the same log. No checkpoint is written.

        Parameters
        ----------
        observations, next_observations : arrays, pandas columns, lists, or tuples or dicts of columns
            As the environment gives them, one for each transition. *observations* may be a Minari dataset, or the
            name of one, which has all columns.
        actions : (n,) integers
            As the environment calls them.
        rewards : (n,) numbers
            Finite.
        terminated : (n,) bool
            Whether the transition ended its episode; False where a time limit cut it. Where it is true, the next
            observation may be anything.
        passes : int
            How often the log is gone through.

        Returns
        -------
        QLearner
            The learner itself.

        Raises
        ------
        ConfigError
            Before any work starts, if a column is missing or has another length, or an entry is not allowed; names
            the transition. On all ranks, if they were given different logs.
        CommError
            As `learn`.

        Examples
        --------
        >>> agent = QLearner("FrozenLake-v1", seed=0, step_size=0.5)
        >>> agent.learn_from([13, 14], [2, 2], [0.0, 1.0], [14, 15], [False, True], passes=2).predict(14)
        2
        """
        log = replaying.log_for(self._subject, observations, actions, rewards, next_observations, terminated)
        self._state.goal = replaying.goal_of(
            self._state, log, replaying.size_of(self._comm, self.settings), passes
        )
        replaying.replay(self._run(), log)
        return self

    def _run(self) -> Run:
        return Run(
            self._subject,
            self.settings,
            self._rule,
            self._state,
            self._team,
            self._comm,
            self._checkpoints,
            self._requests,
            self._monitor(),
            self.hosting,
        )

    # ---- files

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], env: Any = None, *, merge: MergeRule | None = None
    ) -> QLearner:
        """Return the learner of a file that `save` wrote; it may learn on, with fresh random streams.

        Parameters
        ----------
        path : path
            The file.
        env : str, gymnasium.Env, callable or MDP, optional
            The environment; needed where the file's name for it is not a registered id.
        merge : MergeRule, optional
            The rule, where it is one of your own.

        Raises
        ------
        FileError
            If the file is missing, truncated, altered or holds no learner.
        TableError
            If the environment is another one than the table's.
        """
        tensors, header = read_tensors(path)
        require_kind(path, header, "learner")
        return cls._made(path, env, arguments_of(path, header, merge), tensors, header)

    @classmethod
    def resume(
        cls,
        checkpoint: str | os.PathLike[str],
        env: Any = None,
        *,
        workers: int | None = None,
        comm: str | Communicator = "auto",
        merge: MergeRule | None = None,
    ) -> QLearner:
        """Return the learner of a directory's newest checkpoint; `learn` without steps finishes the call it is from.

        With as many workers as before, the run is the one that was not interrupted, bit for bit. With another number
        the table, visits, clocks and schedules go on, and the random streams begin anew; a warning says so.

        Parameters
        ----------
        checkpoint : path
            The directory. Rank 0 reads it; further checkpoints go there.
        env : str, gymnasium.Env, callable or MDP, optional
            The environment; needed where the checkpoint's name for it is not a registered id.
        workers : int, optional
            As for `QLearner`; default: as many as the checkpoint has, or the ranks that there are.
        comm : str or Communicator
            As for `QLearner`; it need not be the one that the run began with.
        merge : MergeRule, optional
            The rule, where it is one of your own.

        Raises
        ------
        FileError
            If the directory holds no checkpoint, or none that is whole. Damaged ones that are newer than the one
            taken are named in warnings of the logger "cdq".
        TableError
            If the environment is another one than the checkpoint's.
        """
        joined = join(comm, size_of(comm, workers))
        checkpoints = Checkpoints(checkpoint, None)
        path, tensors, header = checkpoints.newest(joined)
        require_kind(path, header, "checkpoint")
        arguments = {**arguments_of(path, header, merge), "comm": joined}
        if workers is not None:
            arguments["workers"] = workers
        learner = cls._made(path, env, arguments, tensors, header)
        learner._checkpoints = checkpoints
        return learner

    @classmethod
    def _made(
        cls, path: Any, env: Any, arguments: dict[str, Any], tensors: Tensors, header: Mapping[str, Any]
    ) -> QLearner:
        """Return a learner that holds what a file does; with fresh streams unless the file has its lanes."""
        if is_spread(arguments["comm"]):
            arguments["workers"] = None  # as many as there are processes
        learner = cls(env if env is not None else header["environment"], **arguments)
        learner._state.restore(path, tensors, header, learner._subject)
        learner._team.go_on(tensors.get("lanes"), learner.rank)
        return learner
