"""MDP: an immutable finite model, from Gymnasium, from arrays, from flat outcomes, from samples, or random."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdq import _matrices, _model, _samples
from cdq.core import graph
from cdq.errors import ConfigError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Matrices = Any  # an array of three dimensions, or a sequence of matrices, dense or scipy.sparse

_DTYPES = {
    "offsets": np.int64,
    "next_state": np.int32,
    "probability": np.float64,
    "reward": np.float64,
    "terminated": np.bool_,
    "start": np.float64,
}


@dataclass(frozen=True, eq=False, repr=False)
class MDP:
    """Hold a finite model: what every action does in every state.

    Pair ``p = state * n_actions + action`` owns the outcomes ``offsets[p]:offsets[p + 1]``. The arrays are
    read-only. Make one with `from_gymnasium`, `from_arrays`, `from_outcomes`, `from_samples`
    or `garnet`.

    Parameters
    ----------
    n_states, n_actions : int
        At most 2**31 - 1 states and 2**32 - 1 pairs; every pair has at least one outcome.
    offsets : ndarray of int64, shape (n_states * n_actions + 1,)
        Where the outcomes of each pair begin.
    next_state : ndarray of int32, shape (n_outcomes,)
        The state that the outcome leads to.
    probability : ndarray of float64, shape (n_outcomes,)
        They sum to 1 (within 1e-9) for every pair.
    reward : ndarray of float64, shape (n_outcomes,)
        What the outcome pays.
    terminated : ndarray of bool, shape (n_outcomes,)
        Whether the outcome ends the episode; the value of its next state is then never used.
    start : ndarray of float64, shape (n_states,)
        The distribution of the first state.
    time_limit : int, optional
        Steps after which an episode is truncated. Planning takes no notice of it.
    name : str
        For reports.
    grid : (int, int), optional
        (rows, columns) if the states are the cells of a grid, row by row.

    Raises
    ------
    ModelError
        If the arrays are not a model; the message names the pair.

    Examples
    --------
    >>> model = MDP.from_gymnasium("FrozenLake-v1")
    >>> model
    MDP('FrozenLake-v1', n_states=16, n_actions=4, n_outcomes=148)
    """

    n_states: int
    n_actions: int
    offsets: NDArray[np.int64]
    next_state: NDArray[np.int32]
    probability: FloatArray
    reward: FloatArray
    terminated: BoolArray
    start: FloatArray
    time_limit: int | None = None
    name: str = "MDP"
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        _model.check_sizes(self.n_states, self.n_actions, self.time_limit)
        for field, kind in _DTYPES.items():
            array: NDArray[Any] = np.ascontiguousarray(getattr(self, field), dtype=kind).view()
            array.flags.writeable = False
            object.__setattr__(self, field, array)
        _model.check_model(self)

    def __repr__(self) -> str:
        return (
            f"MDP({self.name!r}, n_states={self.n_states}, n_actions={self.n_actions}, "
            f"n_outcomes={self.n_outcomes})"
        )

    @property
    def n_pairs(self) -> int:
        """Number of (state, action) pairs."""
        return self.n_states * self.n_actions

    @property
    def n_outcomes(self) -> int:
        """Number of outcomes of all pairs."""
        return len(self.next_state)

    @property
    def max_outcomes(self) -> int:
        """Largest number of outcomes of a pair."""
        return int(np.diff(self.offsets).max())

    def state_of(self, observation: Any) -> int:
        """Return the state that an observation stands for.

        Raises
        ------
        ConfigError
            If it stands for none.
        """
        try:
            state = int(np.asarray(observation).item())
        except (TypeError, ValueError, OverflowError):
            state = -1
        if not 0 <= state < self.n_states or state != observation:
            raise ConfigError(f"observation {observation!r} is no state; allowed: 0 to {self.n_states - 1}")
        return state

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a table learnt on the model depends on, as hexadecimal digits."""
        digest = hashlib.sha256(f"{self.n_states} {self.n_actions} {self.time_limit}".encode())
        for field in _DTYPES:
            digest.update(getattr(self, field).tobytes())
        return digest.hexdigest()

    def reachable(self) -> BoolArray:
        """Return the states in which an episode can take an action, thus not those that only end it.

        Returns
        -------
        ndarray of bool, shape (n_states,), read-only

        Examples
        --------
        >>> int(MDP.from_gymnasium("CliffWalking-v1").reachable().sum())  # without cliff and goal
        37
        """
        return self._reachable

    @cached_property
    def _reachable(self) -> BoolArray:
        seen = (self.start > 0.0).view(np.uint8)
        goes_on = (~self.terminated).view(np.uint8)
        graph.visit(
            self.offsets, self.next_state, goes_on, self.n_actions, seen, np.empty(self.n_states, np.int32)
        )
        seen.flags.writeable = False
        return seen.view(np.bool_)

    @classmethod
    def from_gymnasium(cls, env: Any, **kwargs: object) -> MDP:
        """Read the model of a Gymnasium environment that has a transition table ``P``.

        Parameters
        ----------
        env : str, gymnasium.envs.registration.EnvSpec, gymnasium.Env or callable
            An id (``"module:Env-v0"`` imports the module first), a spec, an environment (left open), or a
            callable that makes one. The time limit is the tightest of its wrappers'. An environment whose ``P`` is not
            known to be what its `step` does is played first, as a copy where there is one.
        **kwargs
            Passed to ``gymnasium.make`` or to the callable.

        Raises
        ------
        UnsupportedEnvironment
            If the id is unknown or deprecated, the environment has no ``P``, or playing it gives something else than
            its ``P`` says; a wrapper that changes rewards, for example.

        Examples
        --------
        >>> MDP.from_gymnasium("FrozenLake-v1", is_slippery=False).max_outcomes
        1
        """
        from cdq.envs.opening import read_model

        return read_model(env, lambda table: cls.from_outcomes(**table._asdict()), **kwargs)

    @classmethod
    def from_arrays(
        cls,
        P: Matrices,
        R: Matrices,
        *,
        start: ArrayLike | None = None,
        terminated: Matrices | None = None,
        layout: _matrices.Layout | None = None,
        time_limit: int | None = None,
        name: str = "MDP",
    ) -> MDP:
        """Build a model from transition and reward matrices, pymdptoolbox's convention included.

        Parameters
        ----------
        P : array of shape (A, S, S) or (S, A, S), or sequence of A matrices (S, S), dense or scipy.sparse
            Probabilities; the last axis is the next state.
        R : array of shape (S,), (S, A) or that of `P`, or sequence of A matrices (S, S)
            Rewards per state, per pair or per outcome.
        start : array of shape (S,), optional
            Distribution of the first state; uniform by default.
        terminated : bool array of shape (S,) or that of `P`, or sequence of A matrices (S, S), optional
            (S,): entering that state ends the episode. Otherwise per outcome. Default: nothing ends.
        layout : {"ASS", "SAS"}, optional
            The axes of three-dimensional arrays; needed only where A equals S.
        time_limit : int, optional
            Steps after which an episode is truncated.
        name : str
            For reports.

        Raises
        ------
        ModelError
            If shapes do not fit, or the matrices are not a model.

        Examples
        --------
        >>> P = [[[0.9, 0.1], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]  # two actions, two states
        >>> MDP.from_arrays(P, [0.0, 1.0]).probability
        array([0.9, 0.1, 1. , 1. , 1. ])
        """
        outcomes = _matrices.flatten(P, R, terminated, layout)
        return cls.from_outcomes(**outcomes, start=start, time_limit=time_limit, name=name)

    @classmethod
    def from_outcomes(  # noqa: PLR0917
        cls,
        state: ArrayLike,
        action: ArrayLike,
        next_state: ArrayLike,
        probability: ArrayLike,
        reward: ArrayLike,
        terminated: ArrayLike | None = None,
        *,
        n_states: int | None = None,
        n_actions: int | None = None,
        start: ArrayLike | None = None,
        time_limit: int | None = None,
        name: str = "MDP",
        grid: tuple[int, int] | None = None,
    ) -> MDP:
        """Build a model from flat arrays, one entry per outcome, in any order.

        Outcomes of one pair that agree in next state, reward and termination become one; those of probability
        zero are dropped. Input sorted by (state, action, next state) without repeats is not sorted again.

        Parameters
        ----------
        state, action, next_state : int arrays of shape (n,)
            From where, by what, to where.
        probability, reward : float arrays of shape (n,)
            How likely, and what it pays.
        terminated : bool array of shape (n,), optional
            Whether the outcome ends the episode; default: none does.
        n_states, n_actions : int, optional
            Default: one more than the largest index.
        start : array of shape (n_states,), optional
            Distribution of the first state; uniform by default.
        time_limit : int, optional
            Steps after which an episode is truncated.
        name : str
            For reports.
        grid : (int, int), optional
            (rows, columns) if the states are the cells of a grid.

        Raises
        ------
        ModelError
            If an index is out of range, a pair has no outcome, or the outcomes are not a model.

        Examples
        --------
        >>> MDP.from_outcomes([0, 0], [0, 0], [0, 0], [0.5, 0.5], [1.0, 1.0]).probability
        array([1.])
        """
        states, actions = _model.index_array(state, "state"), _model.index_array(action, "action")
        successors = _model.index_array(next_state, "next_state")
        n_states = int(max(states.max(), successors.max())) + 1 if n_states is None else n_states
        n_actions = int(actions.max()) + 1 if n_actions is None else n_actions
        _model.check_sizes(n_states, n_actions, time_limit)
        columns = _model.columns(len(states), probability, reward, terminated)
        outcomes = _model.outcomes((n_states, n_actions), (states, actions, successors), columns)
        start = np.full(n_states, 1.0 / n_states) if start is None else np.array(start, np.float64)
        return cls(n_states, n_actions, *outcomes, start, time_limit, name, grid)

    @classmethod
    def from_samples(
        cls,
        state: ArrayLike,
        action: ArrayLike,
        reward: ArrayLike,
        next_state: ArrayLike,
        terminated: ArrayLike,
        *,
        n_states: int,
        n_actions: int,
        untried: float | None = None,
        start: ArrayLike | None = None,
        time_limit: int | None = None,
        name: str = "MDP",
    ) -> MDP:
        """Build the empirical model of observed transitions: every outcome is as likely as it was frequent.

        Parameters
        ----------
        state, action, next_state : int arrays of shape (n,)
            From where, by what, to where.
        reward : float array of shape (n,)
            What it paid. Different rewards of one pair stay different outcomes.
        terminated : bool array of shape (n,)
            Whether it ended the episode; where a time limit cut it, False.
        n_states, n_actions : int
            Size of the model.
        untried : float, optional
            A pair that occurs in no transition ends the episode and pays this: nothing is known of it, and a plan
            should not count on it. Default: the lowest reward of all transitions.
        start : array of shape (n_states,), optional
            Distribution of the first state; uniform over all that an action was tried in by default.
        time_limit, name
            As for `from_outcomes`.

        Raises
        ------
        ModelError
            If lengths differ, an index is out of range or a reward is not finite; the message names the transition.

        Examples
        --------
        >>> MDP.from_samples([0, 0], [0, 0], [1, 0], [0, 1], [0, 1], n_states=2, n_actions=1).probability
        array([0.5, 0.5, 1. ])
        """
        indices, values = (state, action, next_state), (reward, terminated)
        outcomes, first = _samples.measured((n_states, n_actions), indices, values, untried, start)
        return cls(n_states, n_actions, *outcomes, first, time_limit, name)

    @classmethod
    def garnet(cls, n_states: int, n_actions: int, *, branching: int, seed: int) -> MDP:
        """Make a random model (Garnet: generic average reward non-stationary environment test bench).

        Each pair leads to `branching` different states drawn uniformly, with probabilities uniform on the
        simplex and one reward uniform on [0, 1). Nothing ends; the first state is uniform.

        Parameters
        ----------
        n_states, n_actions : int
            Size of the model.
        branching : int
            Successors of each pair, 1..n_states.
        seed : int
            The same seed gives the same model.

        Raises
        ------
        ConfigError
            If `branching` is outside 1..n_states.

        Notes
        -----
        After Archibald, McKinnon and Thomas, "On the generation of Markov decision processes", 1995.

        Examples
        --------
        >>> MDP.garnet(20, 4, branching=3, seed=1)
        MDP('garnet-20x4x3', n_states=20, n_actions=4, n_outcomes=240)
        """
        _model.check_sizes(n_states, n_actions, None)
        if not 1 <= branching <= n_states:
            raise ConfigError(f"branching is {branching}; allowed: 1 to n_states = {n_states}")
        random = np.random.default_rng(np.random.SeedSequence(seed))
        n_pairs = n_states * n_actions
        successors = _model.distinct(random, n_pairs, branching, n_states)
        probability = random.standard_exponential((n_pairs, branching))  # normalised: Dirichlet(1, ..., 1)
        probability /= probability.sum(axis=1, keepdims=True)
        return cls(
            n_states,
            n_actions,
            np.arange(0, n_pairs * branching + 1, branching),
            successors.ravel(),
            probability.ravel(),
            np.repeat(random.random(n_pairs), branching),
            np.zeros(n_pairs * branching, np.bool_),
            np.full(n_states, 1.0 / n_states),
            name=f"garnet-{n_states}x{n_actions}x{branching}",
        )
