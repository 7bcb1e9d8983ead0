"""Calls of a learner that learn: by acting, and from logged transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cdq.errors import ConfigError
from cdq.errors.checks import MOST_STEPS, whole
from cdq.errors.naming import named
from cdq.learner import backends, offline
from cdq.learner.exclusion import exclusive
from cdq.learner.filing import Filed
from cdq.merges import Personal
from cdq.offline import LoggedTask, Names
from cdq.settings import Settings
from cdq.training import (
    CallbackList,
    Checkpoints,
    Goal,
    LearnCall,
    MeanReturn,
    OptimalWithin,
    Requests,
    State,
    Until,
    WideTask,
    conditions,
    watched_by,
)
from cdq.workers import Rule

if TYPE_CHECKING:
    from typing_extensions import Self

    from cdq.job import Hosting
    from cdq.training import Callback, RunView


class Learning(Filed):
    """Calls of a learner that change its table; see `QLearner`."""

    _requests: Requests
    _rule: Rule

    @named
    @exclusive
    def learn(
        self,
        steps: float | None = None,
        *,
        until: Until | None = None,
        callbacks: Iterable[Callback | Callable[[RunView], object]] = (),
        verbose: int = 1,
        hosting: Hosting | None = None,
    ) -> Self:
        """Learn for *steps* more environment steps, summed over all workers and lanes, rounded up to whole sweeps.

        Shows progress on standard error, of a call that takes more than a second. Ctrl-C stops cleanly: the last whole
        round is kept, KeyboardInterrupt is raised, and `learn` may be called again.

        Parameters
        ----------
        steps : float, optional
            Number of steps; a whole number of at least 0. May be left out after `resume`: the call that was cut
            short is finished.
        until : OptimalWithin or MeanReturn, optional
            Condition on which to stop sooner; all workers stop after the same round. It is looked at whenever the
            steps have grown by a twentieth.
        callbacks : list of Callback or callable
            Code that is called on rank 0 while the call runs, and may stop it; a plain function after each round. The
            table is the same with and without.
        verbose : {0, 1, 2}
            0: show no progress. 1: a bar on a terminal and in a notebook, elsewhere a plain line every 10 seconds, and
            nothing of calls from other threads than the main one. 2: short calls and each measurement, too. A
            `ProgressBar` among the callbacks takes its place.
        hosting : cdq.job.Hosting, optional
            Address and rules of a hub that workers of "zmq" may join and leave, in place of workers that
            `learn` starts.

        Returns
        -------
        QLearner
            The learner itself.

        Raises
        ------
        ConfigError
            If *steps*, *until*, *callbacks*, *verbose* or *hosting* is not allowed, if the ranks of the run were not
            made with the same, or if the environment that was given has changed since the learner was made of its
            model.
        CommError
            If the workers lose each other; the table is that of the last whole round.
        LearnerBusy
            If the learner is in the course of another call, from this thread or another one, or another learner is
            stepping the environment that was given.
        FileError
            If the checkpoint directory is in use, belongs to another run, or cannot be written; the last good
            checkpoint is still there.
        DivergenceError
            If the tables of the ranks differ at a checkpoint.
        """
        if isinstance(self._task, LoggedTask):
            self._task.refuse()
        self._require_unchanged()
        backend = self._backend.hosted(hosting, self._task, lambda: self._call().about)
        if hosting is not None and hosting.asynchronous:
            require_asynchronous(self.settings)
        goal = make_goal(self._state, self._checkpoints, steps, until)
        watchers = CallbackList(watched_by(callbacks, verbose), self._view(), first=conditions(goal.until))
        if isinstance(self._task, WideTask) and isinstance(goal.until, OptimalWithin):
            raise ConfigError(
                "several tasks have a distance from optimal each; use cdq.MeanReturn(...), or --until-return"
            )
        if self.model is None and isinstance(goal.until, OptimalWithin):
            raise ConfigError(
                f"{self.name} has no model ({self.stepping_reason}), so that no distance from optimal is known; use "
                "cdq.MeanReturn(...), or --until-return"
            )
        with self._stepped("learn"), self._aiming_at(goal):
            call = replace(self._call(), callbacks=watchers)
            if call.measures:
                self._optimum = self._solved()  # before the clock starts
            backends.learn(backend, call)
        return self

    @named
    @exclusive
    def learn_from(
        self,
        observations: Any,
        actions: Any = None,
        rewards: Any = None,
        next_observations: Any = None,
        terminated: Any = None,
        *,
        next_masks: Any = None,
        passes: int = 1,
        callbacks: Iterable[Callback | Callable[[RunView], object]] = (),
    ) -> Self:
        """Learn from logged transitions, in the order in which they are given; each counts as a step.

        With several workers each learns its part, a contiguous one, and they merge as ever. Ranks that are other
        processes all get the same log. No checkpoint is written.

        Parameters
        ----------
        observations, next_observations : arrays, pandas columns, lists, or tuples or dicts of columns
            Observations in the form that the environment gives them, one for each transition.
            *observations* may be a Minari dataset, or the name of one, which has all columns.
        actions : (n,) integers
            Actions in the numbering of the environment. Whole numbers may be floats, here and in
            observations.
        rewards : (n,) numbers, or (n, n_features)
            Rewards; finite. Features, where tasks weigh those that the environment pays.
        terminated : (n,) bool, or 0 and 1
            True where the transition ended its episode; False where a time limit cut it. Where it
            is true, the next observation may be anything, and may be missing (None, NaN).
        next_masks : (n, n_actions) bool, or 0 and 1, optional
            Actions that the next state allows: the best of them is what it is worth. By default
            what the next observations say, where they hold masks and those are heeded, else all.
        passes : int
            Number of times that the log is gone through.
        callbacks : list of Callback or callable
            The same as for `learn`; there are no checkpoints.

        Returns
        -------
        QLearner
            The learner itself.

        Raises
        ------
        ConfigError
            Before any work starts, if a column is missing or has another length, or an entry is not allowed; names
            the transition; or if the learner's rule is "sarsa", or it learns a game, which need more than a log says.
            On all ranks, if they were given different logs.
        CommError
            As `learn`.

        Examples
        --------
        >>> from cdq import QLearner
        >>> agent = QLearner("FrozenLake-v1", seed=0, step_size=0.5)
        >>> agent.learn_from([13, 14], [2, 2], [0.0, 1.0], [14, 15], [False, True], passes=2).predict(14)
        2
        """
        offline.require_loggable(self.settings.rule)
        offline.require_no_game(self.settings.opponent)
        columns = observations, actions, rewards, next_observations, terminated
        masked = self.settings.masks is not False
        log = offline.log_for(self._task, *columns, next_masks=next_masks, masked=masked)
        watchers = CallbackList(callbacks, self._view())
        with self._aiming_at(offline.goal_of(self._state, log, self.settings.workers, passes)):
            offline.replay(
                self._backend, replace(self._call(explores=False), callbacks=watchers), log, rewards
            )
        return self

    @classmethod
    def from_log(
        cls,
        states: Any,
        actions: Any,
        rewards: Any,
        next_states: Any,
        terminated: Any,
        *,
        passes: int = 1,
        callbacks: Iterable[Callback | Callable[[RunView], object]] = (),
        **settings: Any,
    ) -> Self:
        """Return a learner of logged transitions alone, without an environment: states and actions have names.

        `predict` takes the name of a state and returns that of an action; `names` has them in the order of the table's
        rows and columns. A state has the actions that the log has in it: only these are taken, and valued. More of the
        same names may follow by `learn_from`. `save` and `load` keep names that are text, numbers, bytes, None, or
        tuples and frozensets of these. What needs an environment, `learn` and `evaluate`, is refused.

        Parameters
        ----------
        states, actions, next_states : sequence of hashable objects
            Text, numbers, tuples, or whatever may be a key of a dictionary; rows of arrays and frames are tuples.
            Where an episode ended, the next state may be anything.
        rewards, terminated, passes, callbacks
            The same as for `learn_from`.
        **settings
            Arguments of `QLearner`, such as *gamma*, *workers* and *seed*; none of an environment's.

        Returns
        -------
        QLearner
            The learner, which has learnt the log.

        Raises
        ------
        ConfigError
            Before any work starts, if an entry is not allowed, or an argument makes no sense without an environment.

        Examples
        --------
        >>> from cdq import QLearner
        >>> log = ["home", "shop"], ["walk", "buy"], [-1.0, 5.0], ["shop", None], [False, True]
        >>> agent = QLearner.from_log(*log, passes=100, seed=0)
        >>> agent.predict("shop"), agent.names.states
        ('buy', ('home', 'shop'))
        """
        if settings.get("checkpoint") is not None:
            raise ConfigError(
                "a log is learnt without checkpoints: leave checkpoint out, and save the learner"
            )
        names = Names.of_log(states, actions, next_states, terminated)
        return cls(names, **settings).learn_from(  # type: ignore[call-arg]  # of QLearner
            states, actions, rewards, next_states, terminated, passes=passes, callbacks=callbacks
        )

    @contextmanager
    def _aiming_at(self, goal: Goal) -> Iterator[None]:
        """Set the goal of the call; put the former one back if the call is refused."""
        before, self._state.goal = self._state.goal, goal
        try:
            yield
        except ConfigError:
            self._state.goal = before
            raise

    def _call(self, explores: bool = True) -> LearnCall:
        return LearnCall(
            self._task,
            self.settings,
            self._rule,
            self._state,
            self._team,
            self._checkpoints,
            self._requests,
            self._monitor(explores),
            self._origin,
        )


def require_asynchronous(settings: Settings) -> None:
    """Raise `ConfigError` unless contributions without rounds, which name pairs and step sizes, are what is learnt."""
    rule = settings.rule
    if not rule.spends_by_clock:
        raise ConfigError(
            f"an asynchronous hub weighs visits by their step sizes, of which rule={rule.name!r} has two; let it merge "
            "in rounds"
        )
    if settings.features is not None or isinstance(settings.merge, Personal):
        what = "features" if settings.features is not None else "merge=cdq.Personal(...)"
        raise ConfigError(
            f"an asynchronous hub merges one table, and {what} was given; let it merge in rounds"
        )


def make_goal(state: State, checkpoints: Checkpoints, steps: float | None, until: Until | None) -> Goal:
    """Return the goal of a call of `learn`: *steps* more, or without them the goal of the call that was cut short.

    Raises
    ------
    ConfigError
        If *steps* or *until* is not allowed.
    """
    done = state.progress.steps
    if steps is None and until is None and state.goal.target:
        return state.goal
    more = whole("steps", steps, 0, MOST_STEPS - done)
    if until is not None and not isinstance(until, (OptimalWithin, MeanReturn)):
        raise ConfigError(f"until is {until!r}; allowed: cdq.OptimalWithin(...) or cdq.MeanReturn(...)")
    return Goal(done + more, until, checkpoints.every(more))
