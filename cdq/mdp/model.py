"""MDP: an immutable finite model, from Gymnasium, from arrays, from flat outcomes, from samples, or random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from cdq.core.draws import distinct
from cdq.errors import ConfigError
from cdq.mdp import checks, functions, matrices, outcomes, samples
from cdq.mdp.complete import Empty, Rules, complete, from_table, start_of
from cdq.mdp.finite import FiniteModel

Matrices = Any  # an array of three dimensions, or a sequence of matrices, dense or scipy.sparse


class MDP(FiniteModel):
    """Hold a finite model: what every action does in every state.

    Pair ``p = state * n_actions + action`` owns the outcomes ``offsets[p]:offsets[p + 1]``. The arrays are
    read-only. Make one with `from_gymnasium`, `from_arrays`, `from_function`, `from_outcomes`,
    `from_samples` or `garnet`.

    Parameters
    ----------
    n_states, n_actions : int
        Numbers of states (at most 2**31 - 1) and actions (at most 2**32 - 1 pairs); every pair of `actions` has at
        least one outcome.
    offsets : ndarray of int64, shape (n_states * n_actions + 1,)
        First outcome of each pair, and the number of all outcomes.
    next_state : ndarray of int32, shape (n_outcomes,)
        The state that the outcome leads to.
    probability : ndarray of float64, shape (n_outcomes,)
        Probabilities of the outcomes, which sum to 1 (within 1e-9) for every pair.
    reward : ndarray of float64, shape (n_outcomes,)
        Reward of the outcome.
    terminated : ndarray of bool, shape (n_outcomes,)
        True if the outcome ends the episode; the value of its next state is then never used.
    start : ndarray of float64, shape (n_states,)
        The distribution of the first state.
    time_limit : int, optional
        Steps after which an episode is truncated. Planning takes no notice of it.
    name : str
        Name for reports.
    grid : (int, int), optional
        (rows, columns) if the states are the cells of a grid, row by row.
    actions : ndarray of bool, shape (n_states, n_actions), optional
        The actions that each state has, at least one; a pair that is False has no outcome. None: all.
    opponent : {None, "self"}
        "self": a game of two players in turn, where the state that follows is the opponent's to move in.

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

    @classmethod
    def from_gymnasium(cls, env: Any, **kwargs: object) -> MDP:
        """Read the model of a Gymnasium environment that has a transition table ``P``.

        Parameters
        ----------
        env : str, gymnasium.envs.registration.EnvSpec, gymnasium.Env or callable
            An id (``"module:Env-v0"`` imports it), a spec, an environment (left open), or a maker. The time limit is
            its wrappers' tightest. An environment whose ``P`` may not be what `step` does is played first, as a copy.
        **kwargs
            Arguments that are passed to ``gymnasium.make`` or to the callable.

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

        return read_model(env, lambda table: from_table(cls, table), **kwargs)

    @classmethod
    def from_arrays(
        cls,
        P: Matrices,
        R: Matrices,
        *,
        start: ArrayLike | None = None,
        terminated: Matrices | None = None,
        layout: matrices.Layout | None = None,
        time_limit: int | None = None,
        name: str = "MDP",
        actions: ArrayLike | None = None,
        empty: Empty | None = None,
        normalise: bool = False,
    ) -> MDP:
        """Build a model from transition and reward matrices, pymdptoolbox's convention included.

        Parameters
        ----------
        P : array of shape (A, S, S) or (S, A, S), sequence of A matrices (S, S), or matrix (S * A, S)
            Probabilities; the last axis is the next state. Matrices are dense or scipy.sparse. In a matrix
            (S * A, S), row s * A + a is that of action a in state s. A state whose rows are all zeros is an end:
            an action there pays its reward, and the episode is over.
        R : array of shape (S,), (S, A), (A, S) or that of `P`, or sequence of A matrices (S, S)
            Rewards of actions: per state in which they are taken, per pair, or per outcome. ``-inf``: the state
            does not have the action. Where A equals S, an array per pair is read as (S, A).
        start : array of shape (S,), optional
            Distribution of the first state; uniform by default.
        terminated : bool array of shape (S,) or that of `P`, or sequence of A matrices (S, S), optional
            (S,): entering that state ends the episode. Otherwise per outcome. Default: nothing ends.
        layout : {"ASS", "SAS"}, optional
            The axes of three-dimensional arrays; needed only where A equals S.
        time_limit : int, optional
            Steps after which an episode is truncated.
        name : str
            Name for reports.
        actions : bool array of shape (S, A), optional
            The actions that each state has; the rows of others are not looked at. Default: every state has all.
        empty : {"end", "missing"}, optional
            Meaning of an all-zero row: the action ends the episode, or the state does not have it. Needed where
            only some rows of a state are zeros.
        normalise : bool
            Divide the probabilities of each pair, and `start`, by their sum.

        Raises
        ------
        ModelError
            If shapes do not fit, or the matrices are not a model.

        Warns
        -----
        UserWarning
            If `terminated` ends the episode before a state's reward can be collected; if rows of float32 were
            divided by sums that are off 1 by rounding.

        Notes
        -----
        Textbooks that write R(s) pay it for being in s. Here, R of shape (S,) is paid for leaving s, which is the
        same sum if the goal is an end (all-zero rows), not a state in `terminated`: entering that ends the
        episode before R of the goal is paid.

        Examples
        --------
        >>> P = [[[0.9, 0.1], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]  # two actions, two states
        >>> MDP.from_arrays(P, [0.0, 1.0]).probability
        array([0.9, 0.1, 1. , 1. , 1. ])
        >>> corridor = [[[0.0, 1.0], [0.0, 0.0]]]  # one action, to state 1, where the episode ends
        >>> from cdq import solve
        >>> solve(MDP.from_arrays(corridor, [0.0, 10.0]), gamma=0.9).state_values
        array([ 9., 10.])
        """
        rules = Rules(actions, empty, normalise)
        sizes, columns, mask = matrices.flatten(P, R, terminated, layout, rules)
        first = start_of(start, sizes[0], normalise)
        matrices.tell_uncollected(terminated, sizes, columns, None if start is None else first)
        return cls(sizes[0], sizes[1], *columns, first, time_limit, name, actions=mask)

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
        actions: ArrayLike | None = None,
        empty: Empty | None = None,
        normalise: bool = False,
    ) -> MDP:
        """Build a model from flat arrays, one entry per outcome, in any order.

        Outcomes of one pair that agree in next state, reward and termination become one; those of probability
        zero are dropped. Input sorted by (state, action, next state) without repeats is not sorted again.

        Parameters
        ----------
        state, action, next_state : int arrays of shape (n,)
            State, action and next state of each outcome.
        probability, reward : float arrays of shape (n,)
            Probability and reward of each outcome. ``-inf`` for all outcomes of a pair: the state does not have the
            action.
        terminated : bool array of shape (n,), optional
            True if the outcome ends the episode; default: none does.
        n_states, n_actions : int, optional
            Size of the model; default: one more than the largest index.
        start : array of shape (n_states,), optional
            Distribution of the first state; uniform by default.
        time_limit : int, optional
            Steps after which an episode is truncated.
        name : str
            Name for reports.
        grid : (int, int), optional
            (rows, columns) if the states are the cells of a grid.
        actions : bool array of shape (n_states, n_actions), optional
            The actions that each state has; outcomes of others are left out. Default: every state has all.
        empty : {"end", "missing"}, optional
            Meaning of a pair without outcomes: it ends the episode and pays 0, or the state does not have the
            action. Default: refused.
        normalise : bool
            Divide the probabilities of each pair, and `start`, by their sum.

        Raises
        ------
        ModelError
            If an index is out of range, a pair has no outcome, or the outcomes are not a model.

        Examples
        --------
        >>> MDP.from_outcomes([0, 0], [0, 0], [0, 0], [0.5, 0.5], [1.0, 1.0]).probability
        array([1.])
        """
        indices = tuple(
            outcomes.index_array(given, what)
            for what, given in (("state", state), ("action", action), ("next_state", next_state))
        )
        sizes = outcomes.sizes_of(indices, n_states, n_actions)
        values = outcomes.columns(len(indices[0]), probability, reward, terminated)
        rules = Rules(actions, empty, normalise, values[0].dtype)
        columns, mask = complete(outcomes.gather(sizes, indices, values), sizes, rules)
        first = start_of(start, sizes[0], normalise)
        return cls(sizes[0], sizes[1], *columns, first, time_limit, name, grid, mask)

    @classmethod
    def from_function(
        cls,
        function: Callable[[int, int], functions.Outcomes | None],
        n_states: int,
        n_actions: int,
        *,
        start: ArrayLike | None = None,
        time_limit: int | None = None,
        name: str = "MDP",
        grid: tuple[int, int] | None = None,
        normalise: bool = False,
    ) -> MDP:
        """Build a model from a function that says what an action does in a state; it is called once for each pair.

        Parameters
        ----------
        function : callable
            Takes a state and an action, and returns outcomes as Gymnasium's ``P`` has them: tuples (probability, next
            state, reward, terminated), of which the last may be left out: False. None, or no outcome: the state does
            not have the action; a state that has none is an end.
        n_states, n_actions : int
            Size of the model; states are 0 to n_states - 1.
        start, time_limit, name, grid, normalise
            The same as for `from_outcomes`.

        Raises
        ------
        ModelError
            If the function returns something else, or the outcomes are not a model; the message names the pair.

        Examples
        --------
        >>> def stock(level, order):  # sell one a day with probability 0.5; two fit
        ...     if level + order > 2:
        ...         return None
        ...     full = level + order
        ...     return [(0.5, full, -order), (0.5, max(full - 1, 0), min(full, 1) * 3.0 - order)]
        >>> MDP.from_function(stock, 3, 3).actions.sum(axis=1)
        array([3, 2, 1])
        """
        sizes = checks.size("n_states", n_states), checks.size("n_actions", n_actions)
        checks.check_sizes(*sizes, None)
        return cls.from_outcomes(
            *functions.outcomes_of(function, sizes),
            n_states=sizes[0],
            n_actions=sizes[1],
            start=start,
            time_limit=time_limit,
            name=name,
            grid=grid,
            empty="missing",
            normalise=normalise,
        )

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
        untried: float | Literal["missing"] | None = None,
        start: ArrayLike | None = None,
        time_limit: int | None = None,
        name: str = "MDP",
    ) -> MDP:
        """Build the empirical model of observed transitions: every outcome is as likely as it was frequent.

        Parameters
        ----------
        state, action, next_state : int arrays of shape (n,)
            State, action and next state of each transition; whole numbers of another type, too. A next state may be
            missing (NaN or None) where the transition ended the episode.
        reward : float array of shape (n,)
            Reward of each transition. Different rewards of one pair stay different outcomes.
        terminated : bool array of shape (n,)
            True if the transition ended the episode; False where a time limit cut it.
        n_states, n_actions : int
            Size of the model.
        untried : float or "missing", optional
            A pair that occurs in no transition ends the episode and pays this: nothing is known of it, and a plan
            should not count on it. Default: the lowest reward of all transitions. "missing": the state does not
            have the action; where no action was tried in a state, each ends the episode at the lowest reward.
        start : array of shape (n_states,), optional
            Distribution of the first state; uniform over all that an action was tried in by default.
        time_limit, name
            The same as for `from_outcomes`.

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
        sizes = checks.size("n_states", n_states), checks.size("n_actions", n_actions)
        columns, mask, first = samples.measured(sizes, indices, values, untried, start)
        return cls(sizes[0], sizes[1], *columns, first, time_limit, name, actions=mask)

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
        checks.check_sizes(n_states, n_actions, None)
        if not 1 <= branching <= n_states:
            raise ConfigError(f"branching is {branching}; allowed: 1 to n_states = {n_states}")
        random = np.random.default_rng(np.random.SeedSequence(seed))
        n_pairs = n_states * n_actions
        successors = distinct(random, n_pairs, branching, n_states)
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
