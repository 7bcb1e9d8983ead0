"""QLearner, the public class: learn, predict, evaluate, save, load."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.errors.naming import named
from cdq.learner import backends, initial
from cdq.learner.assembly import made_with, make_table, make_task, origin_of, require_homes, require_rule_fits
from cdq.learner.exclusion import Turn
from cdq.learner.fleets import require_fleet
from cdq.learner.learning import Learning
from cdq.learner.policies import with_policies
from cdq.merges import MergeRule, Personal, resolve
from cdq.rules import Hysteretic
from cdq.schedules import Constant, Federation, Rate, StepSize
from cdq.schedules.windows import Window
from cdq.settings import make_settings, require_workers
from cdq.training import Checkpoints, Progress, Requests, State, Team, agree_on_seed, allowed_in

if TYPE_CHECKING:
    from cdq.features import FeatureMap
    from cdq.learner.results import Results
    from cdq.mdp import Solution
    from cdq.qfunctions import QTable
    from cdq.settings import Goals, Network, Rewards, Weights


class QLearner(Learning):
    """Learn the optimal action values of an environment with several workers.

    Parameters
    ----------
    env : str, gymnasium.Env, gymnasium.vector.VectorEnv, PettingZoo environment, callable, MDP, or list of these
        A Gymnasium id, an environment, a callable that makes one, or a model. One of several agents has `tables`, one
        for each of them or for each of *groups*. It is stepped by the fastest way there
        is: as a compiled model where it carries its transition table (FrozenLake, CliffWalking and Taxi do), as a
        compiled environment (`cdq.envs`), else by its own `step`. Several workers are then processes, not threads.
        A list has an environment for each worker, with the same observations and actions, or with *key* and *actions*.
    env_kwargs : dict or list of dict, optional
        Arguments with which *env*, an id or a callable, makes the environment; files keep them with its name. A list of
        them makes an environment for each worker.
    gamma : float
        Discount, from 0 to 1.
    step_size : float, Constant, LinearDecay, ExponentialDecay, RescaledLinear, Polynomial, str, callable or None
        Step size, or its law; text and functions as for *exploration*. None: `RescaledLinear(gamma)`, that is
        1 / (1 + (1 - gamma) n); where gamma is 1, `Polynomial(0.77)`, or 0.1 with features; 0.05 with "double-q"; of a
        network ``LinearDecay(1e-3, 2e-5, 300_000)``.
    exploration : float, Constant, LinearDecay, ExponentialDecay, str, callable or None
        Probability of a uniformly random action. None: 0.1, 0.3 in games, of a network
        ``LinearDecay(1.0, 0.05, 75_000)``. Text is read as on the command line:
        "linear(1.0, 0.05, 1e5)". A function gets the number of environment steps of all workers; it is tabulated at
        once, with straight lines between places that are 3 % apart, so that files hold it and every rank has the same.
    rule : {"q-learning", "expected-sarsa", "sarsa", "double-q"} or Hysteretic
        Update rule, by which values move. "q-learning": towards the best action of the next state. "expected-sarsa":
        towards the mean of what exploration will do there, and "sarsa": towards the action that it does, so that the
        values are those of the policy that explores. "double-q": two tables, of which each is updated with the other
        one's values, and which acts and answers by their mean; it does not take luck for value, and wants
        a small step size. `cdq.Hysteretic` (beta): agents with a common reward do not punish an action for
        what another agent tried; with several workers it wants ``merge="visits"``.
    merge : str, MergeRule, Personal or None
        Rule by which the workers' tables become one: "pooled", which None stands for, "mean", "visits", "importance",
        "affine", "sum", "max". Networks: "gradient" (None), the mean of the gradients of every minibatch, or "mean", of
        parameters and moments at the end of a window. `Personal`: each worker of a list of environments has a table of
        its own beside it.
    sync_every : "auto", int or AutoWindow
        Steps per worker between two merges; "auto" chooses each window from what was merged. Of a network a multiple of
        its rollout times *num_envs*: "auto" is one, or four where several workers have ``merge="mean"``.
    workers : int, optional
        Number of workers that learn together. Default: 1, or as many as the communicator has ranks in
        other processes (under mpiexec, each process is one worker).
    num_envs : int, optional
        Environments that a worker steps in lockstep; by default 16, and 1 where they are stepped in Python. Of a
        network 64 in all, shared by the workers, and at least 4 of each.
    comm : str or Communicator
        "auto", the name of a communicator ("inprocess": threads of this process; "zmq": processes that `learn` starts;
        "mpi": those that mpiexec or srun started), a URL, or a communicator, of which this process is then one rank. A
        URL may set the deadline of every merge, in seconds ("mpi://?timeout=60"; an hour by default). "auto" takes what
        CDQ_COMM in the environment names, else "mpi" where mpiexec or srun started several processes, else
        "zmq+env://" where torchrun, an indexed Job or AWS Batch did, else "inprocess".
    dtype : {"float64", "float32"}, or NumPy's types of these names, or None
        Type of the table. None: float64, of a network float32.
    seed : int or None
        Seed of all random streams. Same seed and number of workers: same table, bit for bit. None draws one.
    initial_value : float
        Value of every action before learning.
    initial_table : QTable, (n_states, n_actions) array, Solution, or QLearner, optional
        Value of each action of each state before learning, -inf where a state does not have the action; visits are
        counted from 0. A learner with features begins with weights, one with a hashed table with the rows of another
        one. Files hold the table as it is then.
    features : TileCoding, PolynomialBasis or FourierBasis, optional
        Learn a linear function of the features of an observation, a vector, in place of a table.
    network : Network, optional
        Learn a neural network of the observation's numbers in place of a table.
    bins : int or sequence of int, optional
        Cut each number of such an observation into so many parts, and learn a table; of the cells that were met alone,
        with ``table="hash"``.
    table : {"dense", "hash"}
        "hash": a row for each state that was met, where there are too many or nobody knows how many.
    masks : {"auto", True, False}
        True: take and value only the actions that the environment's `action_mask`, in the observation
        or in `info`, allows. "auto": where there is a mask, but for Taxi, whose mask is advice.
    stepping : {"auto", "model", "python"}
        "auto": by the fastest way that is what `step` does: from a transition table ``P`` where that is known to hold,
        or where playing the environment first finds nothing against it. "model": from ``P``, whatever `step` does.
        "python": by the environment's own `step`, even where there is a faster way.
    opponent : {None, "self"}
        "self", for games of two players in turn, which need it: both sides are learnt from one table, of positions as
        whoever moves sees them. Values are the mover's; what is gained is lost by the opponent, in a zero-sum game.
        Keep *exploration* at 0.2 or more: greedy play never visits the moves that refute it.
    groups : {"own", "shared"} or dict
        Tables of an environment of several agents: one for each of them, one for all, or one for each group, such as
        ``{"lights": ["n0", "n1"], "buses": ["b0"]}``. Agents share a table only where their spaces are equal.
    key : callable, or list of callables, optional
        Key of an observation, text or numbers, where the environments of a list differ in their states: states with
        equal keys share a row of the table. One function, or one for each environment; called at once, for all states.
    actions : list of list of str, optional
        Names of the actions of each environment of a list, in its order: ``[["left", "right"], ["left", "up"]]``.
        Actions of one name share a column; those that an environment lacks are never taken there, nor valued.
    tasks : Goals, Rewards or Weights, optional
        Learn several tasks of the same environment at once: every transition teaches each. The lanes of the workers act
        for one after another. `tables`, `predict` and `evaluate` have each task by its name.
    overlap : bool
        Let each merge travel while the next window is learnt; it is applied one window late.
    per_worker : dict of lists, optional
        Schedules of each worker in place of the common ones, in rank order: ``{"exploration": [0.05, 0.2, 0.5]}``, and
        "step_size" likewise. Workers that explore differently see more of an environment. "policy": None, or a fixed
        policy by which the worker acts in place of its values: an action, one for each state, the probability of each
        action in each state, or a function of an observation that returns either, which is asked at once.
    federation : Federation, optional
        Conditions of federated learning: rounds without some of the workers, contributions that are lost, and workers
        that send nonsense.
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
        Model of the environment, where that is known.
    settings : Settings
        The arguments, checked.
    history : History
        Figures of the rounds so far; on rank 0.
    rank : int
        Number of the worker that this process is, where each process is one; else 0.

    Raises
    ------
    ConfigError, UnsupportedEnvironment, ModelError
        Before any work starts, if an argument is not allowed; the message says what is.

    Notes
    -----
    Q-learning after Watkins and Dayan (1992). A learner does one thing at a time: a call in the course of
    another one is refused. It starts threads of its own for the workers. ``with QLearner(...) as agent:`` closes the
    environments that it made when the block ends.

    Examples
    --------
    >>> agent = QLearner("FrozenLake-v1", workers=2, seed=0).learn(200_000)
    >>> agent.predict(14)
    1
    """

    @named
    def __init__(
        self,
        env: Any,
        *,
        env_kwargs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        gamma: float = 0.99,
        step_size: float | str | Callable[[int], float] | StepSize | None = None,
        exploration: float | str | Callable[[int], float] | Rate | None = None,
        rule: str | Hysteretic = "q-learning",
        merge: str | MergeRule | Personal | None = None,
        sync_every: str | int | Window = "auto",
        workers: int | None = None,
        num_envs: int | None = None,
        comm: str | Communicator = "auto",
        dtype: npt.DTypeLike | None = None,
        seed: int | None = None,
        initial_value: float = 0.0,
        initial_table: QTable | Results | Solution | npt.ArrayLike | None = None,
        features: FeatureMap | None = None,
        network: Network | None = None,
        bins: int | Sequence[int] | None = None,
        table: str = "dense",
        masks: bool | str = "auto",
        stepping: str = "auto",
        opponent: str | None = None,
        groups: str | Mapping[str, Sequence[str]] = "own",
        key: Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None = None,
        actions: Sequence[Sequence[str]] | None = None,
        tasks: Goals | Rewards | Weights | None = None,
        overlap: bool = False,
        per_worker: Mapping[str, Sequence[Any]] | None = None,
        federation: Federation | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float | None = None,
    ) -> None:
        self._turn, self._env = Turn(), (env := made_with(env, env_kwargs, opponent))
        self.settings = make_settings(
            gamma=gamma,
            step_size=step_size,
            exploration=exploration,
            rule=rule,
            merge=merge,
            sync_every=sync_every,
            workers=workers,
            num_envs=num_envs,
            comm=backends.named(comm),
            dtype=dtype,
            seed=seed,
            initial_value=initial_value,
            overlap=overlap,
            per_worker=per_worker,
            federation=federation,
            features=features,
            network=network,
            bins=bins,
            table=table,
            masks=masks,
            stepping=stepping,
            opponent=opponent,
            groups=groups,
            key=key,
            actions=actions,
            tasks=tasks,
        )
        self._rule = resolve(self.settings.merge)
        asked = self.settings.workers or (len(env) if isinstance(env, (list, tuple)) else 0)
        workers = backends.count_workers(comm, asked)
        self.settings = replace(self.settings, workers=workers)
        require_workers(self.settings)
        self._checkpoints = Checkpoints(checkpoint, checkpoint_every)
        self._task, self.settings = make_task(env, self.settings)
        self._origin = origin_of(env, self._task)
        require_homes(self._task, self.settings)
        if step_size is None:
            own = self.settings.rule.step_size
            usual = self._task.step_size(self.settings.gamma) if own is None else Constant(own)
            self.settings = replace(self.settings, step_size=usual)
        require_fleet(self._task, self.settings)
        self.settings = with_policies(self._task, self.settings)
        self._requests = Requests()
        self._backend = backends.choose_backend(comm, self._task, workers)
        require_rule_fits(self.settings, alone=self._backend.alone)
        if self._backend.comm is not None:
            agreed = agree_on_seed(self._backend.comm, self.settings.seed, seed is not None)
            self.settings = replace(self.settings, seed=agreed)
        task = self._task
        merged = make_table(task, self.settings, alone=self._backend.alone)
        if initial_table is not None:
            initial.fill(merged, initial_table, task, self.settings.initial_value)
        progress = Progress(0, float(self.settings.sync_every.floor))
        self._state = State(merged, progress, actions=allowed_in(task, task.blocks), blocks=task.blocks)
        self._team = Team(task, self._state, self.settings, self._requests.stop)

    def __repr__(self) -> str:
        return f"QLearner({self.name!r}, workers={self.settings.workers}, steps={self.steps})"
