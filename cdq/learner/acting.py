"""Actions by action values: the best of them, or now and then any other; for one observation, or for a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats
from cdq.errors import ConfigError, TableError
from cdq.errors.checks import as_array, is_flag, shown
from cdq.learner.exclusion import Turn
from cdq.learner.parts import Part, part_of
from cdq.offline import LoggedTask
from cdq.qfunctions import MergedNetwork
from cdq.settings import Settings
from cdq.training import EnvironmentTask, State
from cdq.workers import PREDICTION

Choice = Callable[[Floats, Any], int]


def act(task: Part, values_of: Callable[[Any], Floats], choose: Choice) -> Callable[..., Any]:
    """Return a policy: a function of an observation, or a batch, and a mask, that returns what `step` takes.

    Parameters
    ----------
    task : Part
        Task of the observations, or a part of one.
    values_of : callable
        Returns the action values of an observation.
    choose : callable
        Returns an action, numbered from 0, by action values and a mask, which may be None.
    """

    def one(observation: Any, action_mask: Any) -> Any:
        values = values_of(observation)
        mask = task.mask_of(observation) if action_mask is None else action_mask
        chosen = choose(values, mask)
        return task.names.actions[chosen] if isinstance(task, LoggedTask) else chosen + task.first_action

    def policy(observation: Any, action_mask: Any = None) -> Any:
        several = task.split(observation)
        if several is None:
            return one(observation, action_mask)
        masks = [None] * len(several) if action_mask is None else _rows(action_mask, len(several))
        actions = [one(*pair) for pair in zip(several, masks, strict=True)]
        return actions if isinstance(task, LoggedTask) else np.array(actions, np.int64)

    return policy


def _rows(action_mask: Any, n: int) -> Sequence[Any]:
    masks = as_array("the action masks", action_mask)
    if masks.ndim != 2 or len(masks) != n:
        raise ConfigError(
            f"the action masks have shape {masks.shape}; allowed: a row for each of the {n} observations"
        )
    return list(masks)


def best_action(values: Floats, action_mask: Any) -> int:
    """Return the lowest action among the best that the mask allows."""
    return int(_allowed(values, action_mask).argmax())


def exploring(rate: float, random: np.random.Generator) -> Choice:
    """Return a choice that takes, with probability *rate*, any of the actions that there are, else the best one."""
    return partial(_explore, rate, random)


def _explore(rate: float, random: np.random.Generator, values: Floats, action_mask: Any) -> int:
    among = _allowed(values, action_mask)
    if random.random() < rate:
        return int(random.choice(np.flatnonzero(among > -np.inf)))
    return int(among.argmax())


def _allowed(values: Floats, action_mask: Any) -> Floats:
    """Return action values, -inf where the mask forbids the action."""
    if action_mask is None:
        return values
    mask = as_array("the action mask", action_mask)
    plain = mask.shape == values.shape and mask.dtype.kind in "biuf" and not np.isnan(mask).any()
    if not plain or not mask.any():
        raise ConfigError(
            f"the action mask is {shown(action_mask)}; allowed: {len(values)} numbers, of which at least one is not 0"
        )
    among: npt.NDArray[Any] = np.where(mask != 0, values, -np.inf)
    if among.max() == -np.inf:
        raise ConfigError(
            "the state has none of the actions that the action mask allows; allow one of MDP.actions"
        )
    return among


class Acting:
    """Actions of a learner, and the values behind them; see `QLearner`."""

    settings: Settings
    _task: EnvironmentTask
    _state: State
    _turn: Turn
    _explorer: np.random.Generator | None = None

    @property
    def steps(self) -> int:
        """Environment steps taken so far, by all workers in all lanes."""
        return self._state.progress.steps

    @property
    def network(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """A copy of the network's tensors by name, ``layer.0.kernel``, ``norm.0.gain``, ..., as they are; read-only.

        Raises
        ------
        NotLearnt
            If a table or features are learnt.
        LearnerBusy
            If the learner is in the course of another call.
        """
        with self._turn.taken("network"):
            return self._state.network()

    def predict(
        self,
        observation: Any,
        name: Any = None,
        action_mask: Any = None,
        *,
        weights: Any = None,
        deterministic: bool = True,
    ) -> Any:
        """Return the greedy action for an observation, the lowest among equals, as `step` takes it.

        Parameters
        ----------
        observation : object
            An observation of the environment, or a batch of them: an array with one axis more, as vector environments
            give it, or a list. If a log was learnt, the name of a state, or a list of names; names of actions are
            returned.
        name : str or int, optional
            Agent, group of agents, or task, where there are several: whose observation it is. A mask may stand here.
        action_mask : (n_actions,) array, optional
            Nonzero where an action is allowed, a row for each observation of a batch; by default what the observation
            says, if it holds a mask, else all.
        weights : (n_features,) array, optional
            Act for these weights of features, which no task need have, where tasks are `Weights`: the best action by
            the policies of all tasks.
        deterministic : bool
            False: as in learning, any action with the probability of exploration that holds after the steps so far,
            else the greedy one. The actions are drawn from a stream of the learner's seed.

        Returns
        -------
        int, or array of int64
            An action, or one for each observation of a batch.

        Raises
        ------
        ConfigError
            If the observation is not one of the environment's, the mask allows nothing, or a name is missing or not
            known.
        LearnerBusy
            If the table is hashed, and the learner in the course of another call: its rows may be moving.

        Examples
        --------
        >>> from cdq import QLearner
        >>> agent = QLearner("FrozenLake-v1", seed=0).learn(200_000)
        >>> agent.predict(14), agent.predict([0, 13, 14]).tolist()
        (1, [0, 2, 1])
        """
        if not isinstance(name, (str, int, np.integer, NoneType)) and action_mask is None:
            name, action_mask = None, name  # the second argument was the mask before there were names
        part, grows = part_of(self._task, name, weights), self._state.merged.grows
        with self._turn.taken("predict") if grows else nullcontext():
            values_of = partial(part.action_values, self._state.merged.mean_values())
            return act(part, values_of, self._choice(deterministic))(observation, action_mask)

    def to_keras(self) -> Any:
        """Return the network as a Keras model: from observations, (n, width), to action values, (n, n_actions).

        Values are in the units of the rewards, as those of `action_values`. `Network.from_keras` is the way back.

        Raises
        ------
        TableError
            If a table or features are learnt.
        PackageMissing
            If Keras or TensorFlow is not installed (the extra ``keras``).
        ConfigError
            If Keras has another backend than TensorFlow.
        LearnerBusy
            If the learner is in the course of another call.

        Examples
        --------
        >>> import cdq
        >>> agent = cdq.QLearner("CartPole-v1", network=cdq.Network((16,)), seed=0)
        >>> agent.to_keras().summary()  # doctest: +SKIP
        """
        with self._turn.taken("to_keras"):
            kind = getattr(self._task, "kind", None)
            if not isinstance(self._state.merged, MergedNetwork) or kind is None:
                raise TableError("a table or features are learnt, and no network: Keras has no model of them")
            return kind.to_keras(self._state.merged.values)

    def action_values(self, observation: Any, name: Any = None, *, weights: Any = None) -> Floats:
        """Return the value of each action for an observation, (n_actions,), or for each of a batch, a row each.

        Parameters
        ----------
        observation, name, weights
            The same as for `predict`.

        Raises
        ------
        ConfigError
            If the observation is not one of the environment's.
        LearnerBusy
            If the table is hashed, and the learner in the course of another call.

        Examples
        --------
        >>> from cdq import QLearner
        >>> agent = QLearner("FrozenLake-v1", seed=0, initial_value=1.0)
        >>> agent.action_values(14).tolist(), agent.action_values([13, 14]).shape
        ([1.0, 1.0, 1.0, 1.0], (2, 4))
        """
        task, merged = part_of(self._task, name, weights), self._state.merged
        with self._turn.taken("action_values") if merged.grows else nullcontext():
            several = task.split(observation)
            if several is None:
                return np.array(task.action_values(merged.mean_values(), observation))
            rows = [task.action_values(merged.mean_values(), one) for one in several]
            return np.array(rows, merged.values.dtype).reshape(len(rows), task.n_actions)

    def policy(
        self, name: Any = None, *, weights: Any = None, deterministic: bool = True
    ) -> Callable[..., Any]:
        """Return the policy of now as a plain function of an observation, which what is learnt later does not change.

        Parameters
        ----------
        name, weights
            The same as for `predict`.
        deterministic : bool
            False: as in learning, any action with the probability of exploration that holds now.

        Returns
        -------
        callable
            Takes the same observations and masks as `predict`, and returns the same actions.

        Raises
        ------
        LearnerBusy
            If the learner is in the course of another call.
        """
        with self._turn.taken("policy"):
            part = part_of(self._task, name, weights)
            values_of = part.values_now(self._state.merged.mean_values())
            return act(part, values_of, self._choice(deterministic))

    def _choice(self, deterministic: bool) -> Choice:
        if not is_flag(deterministic):
            raise ConfigError(f"deterministic is {shown(deterministic)}; allowed: True or False")
        if deterministic:
            return best_action
        if self._explorer is None:
            key = (PREDICTION, self._state.session)
            self._explorer = np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=key))
        return exploring(self.settings.exploration.at(self.steps), self._explorer)
