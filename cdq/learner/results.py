"""Results of learning: the part of a learner's interface that changes nothing."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from cdq.contracts import Floats
from cdq.errors import ConfigError
from cdq.errors.checks import as_array, shown, whole
from cdq.learner.backends import Backend
from cdq.learner.evaluation import Evaluation, evaluate_greedy
from cdq.learner.exclusion import Turn, exclusive, playing
from cdq.learner.report import hints, make_report, unvisited
from cdq.mdp import MDP, OptimalityGap, Solution, optimality_gap, solve
from cdq.offline import LoggedTask, Names
from cdq.qfunctions import HashedTable, QTable
from cdq.training import (
    STEPS_PER_OUTCOME,
    EnvironmentTask,
    History,
    Monitor,
    Requests,
    Settings,
    State,
    Until,
)

# Steps of an environment in Python take a thousand times as long.
_EPISODES, _EPISODES_IN_PYTHON = 1000, 100
# The return and the length of each take 16 bytes.
_MOST_EPISODES = 10**9
# Where a condition on returns waits for an environment without a model: steps between two looks, and episodes of each.
_STEPPED_LEAST, _STEPPED_EPISODES = 20_000, 100
_SOLVED_OUTCOMES = 2_000_000


class Results:
    """A table of action values, and the record of how it was learnt; see `QLearner`."""

    _origin: dict[str, Any]
    settings: Settings
    _task: EnvironmentTask
    _state: State
    _backend: Backend
    _turn: Turn
    _env: Any
    _requests: Requests
    _optimum: Solution | None = None

    @property
    def model(self) -> MDP | None:
        """The environment's finite model, where that is known."""
        return self._task.model

    @property
    def name(self) -> str:
        """The environment's name."""
        return self._task.name

    @property
    def stepping(self) -> str:
        """The way in which the environment is stepped.

        "compiled model", "compiled environment", "vector environment" or "Python environment".
        """
        return self._task.stepping

    @property
    def names(self) -> Names | None:
        """The names of a log's states and actions, in the order of the table's rows and columns; see `from_log`."""
        return self._task.names if isinstance(self._task, LoggedTask) else None

    @property
    def stepping_reason(self) -> str:
        """The reason for which it is stepped so: how its model is known to hold, or why it has none."""
        return self._task.why

    @property
    def representation(self) -> str:
        """The Q-function in words: its kind and its size."""
        return self._task.representation

    @property
    def rank(self) -> int:
        """Number of the worker that this process is, where each process is one; else 0."""
        return self._backend.rank

    @property
    def history(self) -> History:
        """Figures of the rounds so far, those of a file included; on rank 0."""
        return self._state.history

    @property
    def steps(self) -> int:
        """Environment steps taken so far, by all workers in all lanes."""
        return self._state.progress.steps

    @property
    def steps_left(self) -> int:
        """Steps that a call of `learn` has left, which was cut short and is finished by `learn` without steps."""
        return max(0, self._state.goal.target - self.steps)

    @property
    def until(self) -> Until | None:
        """The condition of the last call of `learn`."""
        return self._state.goal.until

    @property
    def table(self) -> QTable:
        """A copy of the merged table as it is now: a row per state, per state that was met (`keys`), or per feature.

        Where states do not have every action (`MDP.actions`), the values of the others are -inf. The arrays are
        read-only; a learner takes a table as its `initial_table`.

        Raises
        ------
        LearnerBusy
            If the learner is in the course of another call: the table is whole between two.
        """
        with self._turn.taken("table"):
            return self._table()

    def _table(self) -> QTable:
        merged = self._state.merged
        keys = merged.keys.copy() if isinstance(merged, HashedTable) else None
        return QTable(
            merged.mean_values().copy(), merged.updates().copy(), self.name, keys, self._state.actions
        )

    def predict(self, observation: Any, action_mask: Any = None) -> Any:
        """Return the greedy action for an observation, the lowest among equals, as `step` takes it.

        Parameters
        ----------
        observation : object
            An observation of the environment; if a log was learnt, the name of a state, and the
            name of an action is returned.
        action_mask : (n_actions,) array, optional
            Nonzero where an action is allowed; by default what the observation says, if it holds a mask, else all.

        Raises
        ------
        ConfigError
            If the observation is not one of the environment's, or the mask allows nothing.
        LearnerBusy
            If the table is hashed, and the learner in the course of another call: its rows may be moving.
        """
        if self._state.merged.grows:
            with self._turn.taken("predict"):
                return self._predict(observation, action_mask)
        return self._predict(observation, action_mask)

    def _predict(self, observation: Any, action_mask: Any) -> Any:
        values = self._task.action_values(self._state.merged.mean_values(), observation)
        mask = self._task.mask_of(observation) if action_mask is None else action_mask
        best = best_action(values, mask)
        return best + self._task.first_action if self.names is None else self.names.actions[best]

    @exclusive
    def evaluate(self, episodes: float | None = None) -> Evaluation:
        """Run episodes of the greedy policy, the lowest action among equals, and return how it did.

        An episode is cut at the environment's time limit, or after 10,000 steps where it has none.

        Parameters
        ----------
        episodes : int, optional
            Number of episodes; by default 1,000, or 100 where the environment is stepped in Python.

        Raises
        ------
        ConfigError
            If *episodes* is not a whole number of at least 1, or the environment that was given has changed since the
            learner was made of its model.
        LearnerBusy
            If the learner is in the course of another call, or another learner is stepping the environment that was
            given.
        """
        with self._stepped("evaluate"):
            return self._evaluate(episodes)

    def _stepped(self, call: str) -> AbstractContextManager[None]:
        """Return a context that has the environment for this learner alone, where it is stepped itself."""
        itself = self._task.stepping in {"Python environment", "vector environment"}
        return playing(self._env, call) if itself else nullcontext()

    def _evaluate(self, episodes: float | None = None) -> Evaluation:
        self._require_unchanged()
        usual = _EPISODES if self._task.threads else _EPISODES_IN_PYTHON
        n = usual if episodes is None else whole("episodes", episodes, 1, _MOST_EPISODES)
        self._state.evaluations += 1
        key = (self._state.session, self._state.evaluations)
        values = self._state.merged.mean_values()
        return evaluate_greedy(
            self._task, values, self._requests.stop, seed=self.settings.seed, key=key, episodes=n
        )

    def _require_unchanged(self) -> None:
        if self._task.changed():
            raise ConfigError(
                f"{self.name} has changed since this learner was made, which learns it by what it was then "
                f"({self.stepping}); make another learner, or give stepping='python'"
            )

    def _gap(self) -> OptimalityGap | None:
        """Return how far from optimal the table is; None where the model is not known."""
        if self.model is None:
            return None
        return optimality_gap(
            self.model, self._state.merged.mean_values(), self.settings.gamma, self._optimum
        )

    def _solved(self) -> Solution | None:
        if self.model is None or self.model.n_outcomes > _SOLVED_OUTCOMES:
            return None
        return self._optimum or solve(self.model, self.settings.gamma)

    @exclusive
    def report(self) -> dict[str, Any]:
        """Return a run's results as a JSON object: settings, speed, the greedy policy's return, and the gap.

        `stepping` says how the environment is stepped, `stepping_reason` why so, and `representation` what the
        Q-function is made of.
        `solved` is whether `mean_return` reaches the environment's own `reward_threshold`; None where it has none.
        `policy_value` and `optimal_value` are exact discounted values from the start distribution, `gap` a bound on
        their difference that holds; None where the model is not known. `mean_return` is the undiscounted return of
        the greedy policy over the episodes of `evaluate`; `digest` the SHA-256 of the values' and the visits' bytes.
        `pairs_unvisited` is the part of the model's pairs that episodes can reach and none visited, and `hints` says in
        words what stands out: that no reward was seen, for example, and what helps.
        """
        from cdq.envs.opening import reward_threshold  # here: it takes Gymnasium with it

        about = {
            "env": self.name,
            "stepping": self.stepping,
            "stepping_reason": self.stepping_reason,
            "representation": self.representation,
            "comm": self._backend.name,
            "workers_are": self._workers_are(),
            "steps": self.steps,
            "digest": self._table().digest(),
        }
        with self._stepped("report"):
            evaluation = self._evaluate()
        threshold = reward_threshold(self.name)
        solved = {
            "reward_threshold": threshold,
            "solved": None if threshold is None else evaluation.mean_return >= threshold,
        }
        report = {**make_report(about, self.settings, self.history, self._gap(), evaluation), **solved}
        merged = self._state.merged
        missed = unvisited(self.model, merged.updates())
        return {
            **report,
            "pairs_unvisited": missed,
            "hints": hints(report, self.model, merged.values, missed),
        }

    def _monitor(self) -> Monitor:
        if self.model is None:
            least, episodes = _STEPPED_LEAST, _STEPPED_EPISODES
        else:
            least, episodes = STEPS_PER_OUTCOME * self.model.n_outcomes, None
        return Monitor(
            self.history,
            least,
            lambda: math.nan if (gap := self._gap()) is None else gap.gap,
            lambda: self._evaluate(episodes).mean_return,
            self._state.goal,
        )

    def _workers_are(self) -> str:
        if self._task.threads or self.settings.workers == 1:
            return "processes" if self._backend.in_processes else "threads"
        return "processes, as threads would take turns at the interpreter to step the environment"

    @exclusive
    def close(self) -> None:
        """Close the environments that were made here; those that were given stay open."""
        self._task.close()


def best_action(values: Floats, action_mask: Any) -> int:
    """Return the lowest action among the best that the mask allows."""
    if action_mask is None:
        return int(values.argmax())
    mask = as_array("the action mask", action_mask)
    plain = mask.shape == values.shape and mask.dtype.kind in "biuf" and not np.isnan(mask).any()
    if not plain or not mask.any():
        raise ConfigError(
            f"the action mask is {shown(action_mask)}; allowed: {len(values)} numbers, of which at least one is not 0"
        )
    among = np.where(mask != 0, values, -np.inf)
    if among.max() == -np.inf:
        raise ConfigError(
            "the state has none of the actions that the action mask allows; allow one of MDP.actions"
        )
    return int(among.argmax())
