"""Compiled environments with finitely many states: Garnet, RiverSwim, DeepSea."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cdq.core.draws import distinct
from cdq.core.envs.envs import FUNCTIONS
from cdq.envs.compiled import CompiledEnv
from cdq.envs.drawing import FREE, GOAL, METADATA, START, Picture, checked_mode, render
from cdq.errors import ConfigError

Outcome = tuple[float, int, float, bool]

MASK = 2**64 - 1

# Up to here `P` lists the outcomes; beyond, the lists would take gigabytes.
LISTED_STATES = 100_000


class FiniteEnv(CompiledEnv):
    """A compiled environment whose outcomes are known: `P` lists them, as those of Gymnasium's toy-text family.

    So `MDP.from_gymnasium` reads its model. An environment of more than 100,000 states has no `P`.
    """

    @property
    def P(self) -> dict[int, dict[int, list[Outcome]]]:
        """The outcomes (probability, next state, reward, terminated) of each pair: ``P[state][action]``."""
        actions = range(self.n_actions)
        return {s: {a: list(self._outcomes(s, a)) for a in actions} for s in range(self._listed())}

    @property
    def initial_state_distrib(self) -> npt.NDArray[np.float64]:
        """The distribution of the first state."""
        weights = self._starts(self._listed())
        return weights / float(weights.sum())

    def _listed(self) -> int:
        """Return how many states there are; no attribute, in Python's sense, lists too many."""
        n_states = self.n_states or 0
        if n_states > LISTED_STATES:
            raise AttributeError(f"{self.name} has {n_states} states; P lists at most {LISTED_STATES}")
        return n_states

    def _starts(self, n_states: int) -> npt.NDArray[np.float64]:
        """Return a weight for each state to start in; by default it is the first."""
        return np.eye(1, n_states).ravel()

    def _outcomes(self, state: int, action: int) -> Iterator[Outcome]:
        raise NotImplementedError


class Garnet(FiniteEnv):
    """A random model, that of `MDP.garnet` with the same arguments, stepped.

    Each pair leads to `branching` states drawn at random, and pays a reward uniform on [0, 1). Nothing ends; the first
    state is uniform.

    Parameters
    ----------
    n_states, n_actions : int
        Numbers of states and actions.
    branching : int
        Successors of each pair, 1 to n_states.
    seed : int
        The same seed gives the same model.
    """

    def __init__(
        self,
        n_states: int = 100,
        n_actions: int = 4,
        *,
        branching: int = 3,
        seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        if not 1 <= branching <= n_states:
            raise ConfigError(f"branching is {branching}; allowed: 1 to n_states = {n_states}")
        random = np.random.default_rng(np.random.SeedSequence(seed))
        self._next_state = distinct(random, n_states * n_actions, branching, n_states)
        probability = random.standard_exponential((n_states * n_actions, branching))
        self._probability = probability / probability.sum(axis=1, keepdims=True)
        self._cumulative = self._probability.cumsum(axis=1)
        self._reward = random.random(n_states * n_actions)
        super().__init__(
            *FUNCTIONS["garnet"],
            n_actions=n_actions,
            n_states=n_states,
            context=np.array([n_states, n_actions, branching, 0, 0, 0], np.int64),
            uniforms=1,
            name=f"garnet-{n_states}x{n_actions}x{branching}",
        )
        self._link()

    def _link(self) -> None:
        arrays = (self._next_state, self._cumulative, self._reward)
        self._context[3:] = [array.ctypes.data for array in arrays]

    def parameters(self) -> bytes:
        """Return the bytes by which this model differs from others."""
        arrays = (self._next_state, self._cumulative, self._reward)
        return b"".join(array.tobytes() for array in arrays)

    def _starts(self, n_states: int) -> npt.NDArray[np.float64]:
        return np.ones(n_states)

    def _outcomes(self, state: int, action: int) -> Iterator[Outcome]:
        pair = state * self.n_actions + action
        for probability, after in zip(self._probability[pair], self._next_state[pair], strict=True):
            yield float(probability), int(after), float(self._reward[pair]), False


class RiverSwim(FiniteEnv):
    """A river to swim up: action 0 drifts left, with the current, action 1 swims right, against it.

    Swimming gets on with probability 0.35 (0.6 from the first state) and is driven back with 0.05 (0.4 in the last
    one). Drifting in the first state pays 0.005, swimming in the last one 1.

    Parameters
    ----------
    n_states : int
        Number of states, at least 2.

    Notes
    -----
    After Strehl and Littman (2008), with the numbers of Osband, Russo and Van Roy (2013).
    """

    def __init__(self, n_states: int = 6, *, render_mode: str | None = None) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        if n_states < 2:
            raise ConfigError(f"n_states is {n_states}; allowed: at least 2")
        super().__init__(
            *FUNCTIONS["river"],
            n_actions=2,
            n_states=n_states,
            context=np.array([n_states], np.int64),
            uniforms=1,
            name="RiverSwim",
        )

    def _outcomes(self, state: int, action: int) -> Iterator[Outcome]:
        last = (self.n_states or 0) - 1
        if action == 0:
            yield 1.0, max(state - 1, 0), 0.005 if state == 0 else 0.0, False
            return
        back, on = (0.0, 0.6) if state == 0 else (0.4, 0.0) if state == last else (0.05, 0.35)
        for probability, after in ((back, state - 1), (1.0 - back - on, state), (on, state + 1)):
            if probability:
                yield probability, after, float(state == last), False


class DeepSea(FiniteEnv):
    """A dive in which only one way of all pays: what it takes to explore.

    A grid of size x size; each step goes down a row, and left or right. Right costs move_cost / size, and pays 1 in the
    last column. Which of the two actions goes right differs from cell to cell. An episode has `size` steps.

    Parameters
    ----------
    size : int
        Rows and columns.
    seed : int, optional
        Seed of the hash that says which action goes right in a cell; None: action 1 goes right everywhere.
    move_cost : float
        Total cost of going right in every step.
    render_mode : {"ansi", "rgb_array"}, optional
        Result of `render`: text, or pixels.

    Notes
    -----
    After Osband and others, "Behaviour suite for reinforcement learning" (2020), without its noise.
    """

    metadata = METADATA

    def __init__(
        self, size: int = 10, *, seed: int | None = 0, move_cost: float = 0.01, render_mode: str | None = None
    ) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        if size < 1:
            raise ConfigError(f"size is {size}; allowed: at least 1")
        self._size, self._move_cost = size, float(move_cost)
        self._seed = 0 if seed is None else mix(seed & MASK) or 1
        context = np.zeros(1, [("size", "i8"), ("seed", "u8"), ("move_cost", "f8")])
        context[0] = (size, self._seed, move_cost)
        super().__init__(
            *FUNCTIONS["sea"], n_actions=2, n_states=size * size, context=context, uniforms=0, name="DeepSea"
        )

    def render(self) -> Picture | None:
        """Return a picture: "@" is the diver, "S" the start, "G" the cell that pays."""
        last = self._size - 1
        symbols = {(0, 0): START, (last, last): GOAL}
        return render(self, (self._size, self._size), self._shown(), lambda cell: symbols.get(cell, FREE))

    def _outcomes(self, state: int, action: int) -> Iterator[Outcome]:
        (row, column), last = divmod(state, self._size), self._size - 1
        right = action != (self._seed != 0 and mix(state ^ self._seed) & 1)
        reward = (column == last) - self._move_cost / self._size if right else 0.0
        column = min(column + 1, last) if right else max(column - 1, 0)
        yield 1.0, min(row + 1, last) * self._size + column, float(reward), row == last


def mix(x: int) -> int:
    """Return splitmix64's hash of 64 bits, as env_grid.h."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)
