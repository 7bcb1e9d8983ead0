"""What was learnt: the part of a learner's face that changes nothing."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from cdq._arguments import whole
from cdq.comm.base import Communicator
from cdq.comm.registry import choose
from cdq.errors import ConfigError
from cdq.evaluation import Evaluation, evaluate_greedy
from cdq.files import write_tensors
from cdq.hashing import HashedMerged
from cdq.history import History
from cdq.mdp import MDP
from cdq.monitor import STEPS_PER_OUTCOME, Monitor
from cdq.planning import OptimalityGap, Solution, optimality_gap, solve
from cdq.report import make_report
from cdq.representation import Floats
from cdq.run import about, is_hub, is_spread
from cdq.settings import Settings
from cdq.state import State
from cdq.subject import Subject
from cdq.table import QTable
from cdq.until import Until

# Steps of an environment in Python take a thousand times as long.
_EPISODES, _EPISODES_IN_PYTHON = 1000, 100
# Where a condition on returns waits for an environment without a model: steps between two looks, and episodes of each.
_STEPPED_LEAST, _STEPPED_EPISODES = 20_000, 100
_SOLVED_OUTCOMES = 2_000_000


class Learnt:
    """A table of action values, and how it came to be; see `QLearner`."""

    settings: Settings
    _subject: Subject
    _state: State
    _comm: Communicator | str
    _optimum: Solution | None = None

    @property
    def model(self) -> MDP | None:
        """The environment's finite model, where that is known."""
        return self._subject.model

    @property
    def name(self) -> str:
        """The environment's name."""
        return self._subject.name

    @property
    def stepping(self) -> str:
        """How it is stepped.

        "compiled model", "compiled environment", "vector environment" or "Python environment".
        """
        return self._subject.way

    @property
    def representation(self) -> str:
        """What the Q-function is made of, in words."""
        return self._subject.representation

    @property
    def rank(self) -> int:
        """Which worker this process is, where each process is one; else 0."""
        return self._comm.rank if isinstance(self._comm, Communicator) else 0

    @property
    def history(self) -> History:
        """A row per round; on rank 0."""
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

        Where states do not have every action (`MDP.actions`), the values of the others are -inf.
        """
        merged = self._state.merged
        keys = merged.keys.copy() if isinstance(merged, HashedMerged) else None
        return QTable(merged.values.copy(), merged.visits.copy(), self.name, keys, self._state.actions)

    def predict(self, observation: Any, action_mask: Any = None) -> int:
        """Return the greedy action for an observation, the lowest among equals.

        Parameters
        ----------
        observation : object
            As the environment gives them.
        action_mask : (n_actions,) array, optional
            Nonzero where an action is allowed; by default what the observation says, if it holds a mask, else all.

        Raises
        ------
        ConfigError
            If the observation is not one of the environment's, or the mask allows nothing.
        """
        values = self._subject.action_values(self._state.merged.values, observation)
        return best_action(values, self._subject.mask_of(observation) if action_mask is None else action_mask)

    def evaluate(self, episodes: float | None = None) -> Evaluation:
        """Run episodes of the greedy policy, the lowest action among equals, and return how it did.

        An episode is cut at the environment's time limit, or after 10,000 steps where it has none.

        Parameters
        ----------
        episodes : int, optional
            How many; by default 1,000, or 100 where the environment is stepped in Python.

        Raises
        ------
        ConfigError
            If *episodes* is not a whole number of at least 1.
        """
        usual = _EPISODES if self._subject.threads else _EPISODES_IN_PYTHON
        n = usual if episodes is None else whole("episodes", episodes, 1)
        self._state.evaluations += 1
        key = (self._state.session, self._state.evaluations)
        values = self._state.merged.values
        return evaluate_greedy(self._subject, values, seed=self.settings.seed, key=key, episodes=n)

    def _gap(self) -> OptimalityGap | None:
        """Return how far from optimal the table is; None where the model is not known."""
        if self.model is None:
            return None
        return optimality_gap(self.model, self._state.merged.values, self.settings.gamma, self._optimum)

    def _solved(self) -> Solution | None:
        if self.model is None or self.model.n_outcomes > _SOLVED_OUTCOMES:
            return None
        return self._optimum or solve(self.model, self.settings.gamma)

    def report(self) -> dict[str, Any]:
        """Return what a run came to, as a JSON object: settings, speed, the greedy policy's return, and the gap.

        `stepping` says how the environment is stepped and `representation` what the Q-function is made of.
        `solved` is whether `mean_return` reaches the environment's own `reward_threshold`; None where it has none.
        `policy_value` and `optimal_value` are exact discounted values from the start distribution, `gap` a bound on
        their difference that holds; None where the model is not known. `mean_return` is the undiscounted return of
        the greedy policy over the episodes of `evaluate`; `digest` the SHA-256 of the values' and the visits' bytes.
        """
        from cdq.envs.opening import reward_threshold  # here: it takes Gymnasium with it

        comm = choose(self._comm) if isinstance(self._comm, str) else type(self._comm).__name__
        about = {
            "env": self.name,
            "stepping": self.stepping,
            "representation": self.representation,
            "comm": comm,
            "workers_are": self._workers_are(),
            "steps": self.steps,
            "digest": self.table.digest(),
        }
        evaluation, threshold = self.evaluate(), reward_threshold(self.name)
        solved = {
            "reward_threshold": threshold,
            "solved": None if threshold is None else evaluation.mean_return >= threshold,
        }
        return {**make_report(about, self.settings, self.history, self._gap(), evaluation), **solved}

    def _monitor(self) -> Monitor:
        if self.model is None:
            least, episodes = _STEPPED_LEAST, _STEPPED_EPISODES
        else:
            least, episodes = STEPS_PER_OUTCOME * self.model.n_outcomes, None
        return Monitor(
            self.history,
            least,
            lambda: math.nan if (gap := self._gap()) is None else gap.gap,
            lambda: self.evaluate(episodes).mean_return,
            self._state.goal,
        )

    def _workers_are(self) -> str:
        if self._subject.threads or self.settings.workers == 1:
            return "processes" if is_hub(self._comm) or is_spread(self._comm) else "threads"
        return "processes, as threads would take turns at the interpreter to step the environment"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write table, counts and settings to a safetensors file, atomically; `load` reads it back.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        made_of = about(self._subject, self.settings)
        write_tensors(path, self._state.tables(), {"kind": "learner", **made_of, **self._state.counters()})

    def close(self) -> None:
        """Close the environments that were made here; those that were given stay open."""
        self._subject.close()


def best_action(values: Floats, action_mask: Any) -> int:
    """Return the lowest action among the best that the mask allows."""
    if action_mask is None:
        return int(values.argmax())
    allowed = np.asarray(action_mask) != 0
    if allowed.shape != values.shape or not allowed.any():
        raise ConfigError(
            f"the action mask is {action_mask!r}; allowed: {len(values)} numbers, of which at least one is not 0"
        )
    among = np.where(allowed, values, -np.inf)
    if among.max() == -np.inf:
        raise ConfigError(
            "the state has none of the actions that the action mask allows; allow one of MDP.actions"
        )
    return int(among.argmax())
