"""QLearner: the face. Learn, predict, evaluate, save, load."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.comm.registry import choose, connect
from cdq.errors import ConfigError, FileError, TableError
from cdq.evaluation import Evaluation, run_episodes
from cdq.files import read_tensors, write_tensors
from cdq.history import History
from cdq.mdp import MDP
from cdq.merges import MergeRule, resolve
from cdq.monitor import Monitor, ProgressLine, watch_nothing
from cdq.planning import OptimalityGap, Solution, optimality_gap, solve
from cdq.rounds import Window
from cdq.schedules import Rate, StepSize
from cdq.settings import as_arguments, make_settings, whole
from cdq.table import QTable
from cdq.training import Plan, Progress, learn_rounds, run_workers
from cdq.until import MeanReturn, OptimalWithin, Until
from cdq.worker import Merged, Worker, pack_model

# A window may take long where steps are slow; a worker that fails is noticed at once, whatever the deadline.
_TIMEOUT = 3600.0
# Evaluation cuts an episode here where the environment has no limit of its own: a poor policy may never end one.
_LONGEST_EPISODE = 10_000
_EVALUATION_EPISODES = 1000
_SOLVED_OUTCOMES = 2_000_000
_TENSORS = ("values", "visits", "clock")


class QLearner:
    """Learn the optimal action values of an environment with several workers.

    Parameters
    ----------
    env : str, gymnasium.Env, callable or MDP
        A Gymnasium id, an environment, a callable that makes one, or a model. The environment must carry its
        transition table (FrozenLake, CliffWalking and Taxi do): the loop then runs on the compiled model.
    gamma : float
        Discount, above 0 and up to 1.
    step_size : float, Constant, LinearDecay, ExponentialDecay, RescaledLinear, Polynomial or None
        None: `RescaledLinear(gamma)`, that is 1 / (1 + (1 - gamma) n), or `Polynomial(0.77)` where gamma is 1.
    exploration : float, Constant, LinearDecay or ExponentialDecay
        Probability of a uniformly random action.
    merge : str or MergeRule
        How the workers' tables become one: "pooled", "mean", "visits", "importance", "affine", "sum", "max".
    sync_every : "auto", int or AutoWindow
        Steps per worker between two merges; "auto" chooses each window from what was merged.
    workers : int
        How many learn together; a given communicator's size if there is one.
    num_envs : int
        Environments that a worker steps in lockstep.
    comm : str or Communicator
        "auto", the name of a communicator ("inprocess": threads of this process), a URL, or a communicator, of which
        this process is then one rank. "auto" takes what the environment variable CDQ_COMM names, else "inprocess".
    dtype : {"float64", "float32"}
        Of the table.
    seed : int or None
        Same seed and number of workers: same table, bit for bit. None draws one.
    initial_value : float
        What the table holds before learning.

    Attributes
    ----------
    model : MDP
        The environment.
    settings : Settings
        The arguments, checked.
    history : History
        A row per round.

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
        workers: int = 1,
        num_envs: int = 16,
        comm: str | Communicator = "auto",
        dtype: str = "float64",
        seed: int | None = None,
        initial_value: float = 0.0,
    ) -> None:
        self._rule = resolve(merge)
        self._comm = comm
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
        )
        self.model = env if isinstance(env, MDP) else MDP.from_gymnasium(env)
        self.history = History()
        self._sampler = pack_model(self.model, dtype)
        self._session = 0
        self._evaluations = 0
        self._stop = np.zeros(1, np.int32)
        self._progress = Progress(0, float(self.settings.window.floor))
        self._merged = Merged(self.model.n_states, self.model.n_actions, dtype, self.settings.initial_value)
        self._workers: list[Worker] = []
        self._optimum: Solution | None = None

    def __repr__(self) -> str:
        return f"QLearner({self.model.name!r}, workers={self.settings.workers}, steps={self.steps})"

    @property
    def steps(self) -> int:
        """Environment steps taken so far, by all workers in all lanes."""
        return self._progress.steps

    @property
    def table(self) -> QTable:
        """A copy of the merged table as it is now."""
        return QTable(self._merged.values.copy(), self._merged.visits.copy(), self.model.name)

    # ---- learning

    def learn(self, steps: float, *, until: Until | None = None) -> QLearner:
        """Learn for *steps* more environment steps, summed over all workers and lanes, rounded up to whole sweeps.

        Shows a line of progress where standard error is a terminal. Ctrl-C stops cleanly: the last whole round is
        kept, KeyboardInterrupt is raised, and `learn` may be called again.

        Parameters
        ----------
        steps : float
            At least 0; a whole number.
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
            If *steps* or *until* is not allowed.
        CommError
            If the workers lose each other; the table is that of the last whole round.
        """
        target = self.steps + whole("steps", steps, 0)
        if until is not None and not isinstance(until, (OptimalWithin, MeanReturn)):
            raise ConfigError(f"until is {until!r}; allowed: cdq.OptimalWithin(...) or cdq.MeanReturn(...)")
        comms = self._connect()
        self._prepare(comms)
        line = ProgressLine(self.history)
        try:
            run_workers(self._tasks(comms, target, until), comms, self._stop, line.show)
        finally:
            for worker in self._workers:
                worker.roll_back()
            line.clear()
            self._stop[0] = 0
        return self

    def _connect(self) -> list[Communicator]:
        """Return the communicators of this process's workers; they end with the call, one given to us does not."""
        if isinstance(self._comm, Communicator):
            return [comm for comm in [self._comm.split(0)] if comm is not None]
        return connect(self._comm, self.settings.workers, _TIMEOUT)

    def _prepare(self, comms: list[Communicator]) -> None:
        if not self._workers:
            self._workers = [self._make_worker(comm.rank, keeps=comm is comms[0]) for comm in comms]
        if self._optimum is None and self.model.n_outcomes <= _SOLVED_OUTCOMES:
            self._optimum = solve(self.model, self.settings.gamma)

    def _make_worker(self, rank: int, keeps: bool) -> Worker:
        return Worker(
            self._sampler,
            self._merged,
            keeps=keeps,
            gamma=self.settings.gamma,
            seed=self.settings.seed,
            rank=rank,
            session=self._session,
            num_envs=self.settings.num_envs,
            stop=self._stop,
        )

    def _tasks(self, comms: list[Communicator], target: int, until: Until | None) -> list[Any]:
        plan = Plan(
            self.settings.step_size,
            self.settings.exploration,
            self._rule,
            self.settings.window,
            self.settings.dtype,
        )
        plan.law(self.steps)  # tabulated before the clock starts, and before the threads
        watch = Monitor(
            self.history,
            self.model.n_outcomes,
            lambda: self._gap().gap,
            lambda: self.evaluate(_EVALUATION_EPISODES).mean_return,
            until,
        )
        steps, window = self._progress.steps, self._progress.window
        tasks = []
        for worker, comm in zip(self._workers, comms, strict=True):
            progress = self._progress if comm is comms[0] else Progress(steps, window)
            tasks.append(
                partial(
                    learn_rounds,
                    worker,
                    comm,
                    plan=plan,
                    progress=progress,
                    target=target,
                    watch=watch if comm.rank == 0 else watch_nothing,
                )
            )
        return tasks

    # ---- what was learnt

    def predict(self, observation: Any) -> int:
        """Return the greedy action for an observation, the lowest among equals.

        Raises
        ------
        ConfigError
            If the observation is not a state of the environment.
        """
        try:
            state = int(np.asarray(observation).item())
        except (TypeError, ValueError, OverflowError):
            state = -1
        if not 0 <= state < self.model.n_states or state != observation:
            raise ConfigError(
                f"observation {observation!r} is no state; allowed: 0 to {self.model.n_states - 1}"
            )
        return int(self._merged.values[state].argmax())

    def evaluate(self, episodes: int = _EVALUATION_EPISODES) -> Evaluation:
        """Run episodes of the greedy policy, the lowest action among equals, and return how it did.

        An episode is cut at the environment's time limit, or after 10,000 steps where it has none.

        Raises
        ------
        ConfigError
            If *episodes* is not a whole number of at least 1.
        """
        n = whole("episodes", episodes, 1)
        self._evaluations += 1
        return run_episodes(
            self._sampler,
            self._merged.values.argmax(axis=1),
            seed=self.settings.seed,
            key=(self._session, self._evaluations),
            longest=self.model.time_limit or _LONGEST_EPISODE,
            episodes=n,
        )

    def _gap(self) -> OptimalityGap:
        return optimality_gap(self.model, self._merged.values, self.settings.gamma, self._optimum)

    def report(self) -> dict[str, Any]:
        """Return what a run came to, as a JSON object: settings, speed, the greedy policy's return, and the gap.

        `policy_value` and `optimal_value` are exact discounted values from the start distribution, `gap` a bound on
        their difference that holds; `mean_return` is the undiscounted return of the greedy policy over 1,000
        episodes; `digest` the SHA-256 of the values' and the visits' bytes.
        """
        last = self.history[-1] if len(self.history) else None
        seconds = last.seconds if last else 0.0
        gap = self._gap()
        evaluation = self.evaluate()
        return {
            "env": self.model.name,
            "comm": choose(self._comm) if isinstance(self._comm, str) else type(self._comm).__name__,
            "workers": self.settings.workers,
            "num_envs": self.settings.num_envs,
            "seed": self.settings.seed,
            "gamma": self.settings.gamma,
            "merge": self.settings.to_config()["merge"],
            "steps": self.steps,
            "seconds": seconds,
            "steps_per_second": self.steps / seconds if seconds else 0.0,
            "rounds": last.rounds if last else 0,
            "bytes": last.bytes if last else 0,
            "episodes": last.episodes if last else 0,
            "mean_return": evaluation.mean_return,
            "mean_return_error": evaluation.standard_error,
            "policy_value": gap.policy_value,
            "optimal_value": gap.optimal_value,
            "gap": gap.gap,
            "digest": self.table.digest(),
        }

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write table, counts and settings to a safetensors file, atomically; `load` reads it back.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        header = {
            "kind": "learner",
            "environment": self.model.name,
            "model": self.model.fingerprint(),
            "settings": self.settings.to_config(),
            "steps": self.steps,
            "window": self._progress.window,
            "session": self._session,
        }
        write_tensors(path, {name: getattr(self._merged, name) for name in _TENSORS}, header)

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
        if header.get("kind") != "learner":
            raise FileError(
                f"{path} holds a {header.get('kind')}, not a learner; read it with cdq.QTable.load"
            )
        config = header["settings"]
        learner = cls(env if env is not None else header["environment"], **as_arguments(config, merge))
        if learner.model.fingerprint() != header["model"]:
            raise TableError(
                f"{path} was learnt on {header['environment']}, whose model differs from that of "
                f"{learner.model.name}; give the environment that it was learnt on"
            )
        learner._restore(tensors, header)
        return learner

    def _restore(self, tensors: Mapping[str, npt.NDArray[Any]], header: Mapping[str, Any]) -> None:
        QTable(tensors["values"], tensors["visits"])  # raises if they are none
        for name in _TENSORS:
            own = getattr(self._merged, name)
            if tensors[name].shape != own.shape or tensors[name].dtype != own.dtype:
                raise TableError(f"the file's {name} have shape {tensors[name].shape}, not {own.shape}")
            own[:] = tensors[name]
        self._session = int(header["session"]) + 1
        self._progress = Progress(int(header["steps"]), float(header["window"]))
