"""Protocols of environments, models, encoders and Q-functions, by which the rooms know each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cdq.core.envs.encode import Encoding
from cdq.core.lanes import Lanes
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Law, Rows


class Loop(Protocol):
    """Steps the lanes of a worker, and learns."""

    def reset(self) -> None:
        """Start an episode in every lane."""

    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Floats | None = None
    ) -> tuple[bool, int, int, float]:
        """Step every lane *sweeps* times; return whether nothing ended that early, and the episodes that ended.

        These are their number, the sum of their lengths, and that of their undiscounted returns. *parts*, (n, 8) in
        float64, gets the figures of n parts of the window, one after another: steps; episodes, sums of lengths and
        returns; least and greatest length; least and greatest return. The last six are 0 where no episode ended.
        """


class EnvironmentSpec(Protocol):
    """Properties of an environment, whatever is learnt in it."""

    @property
    def n_actions(self) -> int:
        """Actions are 0 to n_actions - 1."""

    @property
    def own_bytes(self) -> int:
        """Bytes that one environment needs besides its random stream, counters and state index."""

    @property
    def resumable(self) -> bool:
        """True if a lane goes on from its memory; else it begins an episode."""

    @property
    def name(self) -> str:
        """Name of the environment, for messages and files."""

    @property
    def stepping(self) -> str:
        """Way of stepping: "compiled model", "compiled environment", "vector environment", ..."""

    @property
    def threads(self) -> bool:
        """True if several workers may be threads of one process."""

    @property
    def default_num_envs(self) -> int:
        """Number of environments that a worker steps by default."""

    @property
    def time_limit(self) -> int | None:
        """Steps after which an episode is truncated."""

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a learnt table depends on, as hexadecimal digits."""

    def mask_of(self, observation: Any) -> Any:
        """Return the allowed actions, where the observation itself holds a mask that is heeded; else None."""

    def close(self) -> None:
        """Close the environments that were made here; loops must not be used afterwards."""


class Environment(EnvironmentSpec, Protocol):
    """The place where transitions come from, as far as it is stepped; a model is a `Task` without one."""

    def loop(
        self, q: QFunction, lanes: Lanes, gamma: float, seeds: Sequence[int], stop: npt.NDArray[np.int32]
    ) -> Loop:
        """Return the loop of a worker; *seeds* are for environments with randomness of their own, one a lane."""

    def episodes(
        self, q: QFunction, words: npt.NDArray[np.uint64], n: int, longest: int, stop: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Play *n* greedy episodes of at most *longest* steps; return their returns and lengths.

        Episode i has the stream i % words.shape[1].
        """

    def board(self) -> Board:
        """Return a board of its own, where it is a game."""


class Ply(NamedTuple):
    """Result of a move in a game of two players in turn.

    Attributes
    ----------
    observation : object
        The position, as whoever is next sees it.
    mask : array or None
        Nonzero where a move is allowed; None: all are.
    reward : float
        Reward of whoever has moved.
    over : bool
        True if the game is over.
    turns : bool
        True if the other player is next.
    """

    observation: Any
    mask: Any
    reward: float
    over: bool
    turns: bool


class Board(Protocol):
    """A game as it is played move by move; moves are numbered from 0."""

    def begin(self, random: np.random.Generator) -> Ply:
        """Begin a game, and return the position."""

    def move(self, action: int) -> Ply:
        """Make a move, and return what came of it."""


Floats = npt.NDArray[np.floating[Any]]


class Model(Protocol):
    """A finite model as arrays; `cdq.MDP` is one, and says what each array holds."""

    @property
    def n_states(self) -> int:
        """Number of states."""

    @property
    def n_actions(self) -> int:
        """Number of actions."""

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """First outcome of each pair, and the number of all outcomes."""

    @property
    def next_state(self) -> npt.NDArray[np.int32]:
        """State that each outcome leads to."""

    @property
    def probability(self) -> npt.NDArray[np.float64]:
        """Probability of each outcome."""

    @property
    def reward(self) -> npt.NDArray[np.float64]:
        """Reward of each outcome."""

    @property
    def terminated(self) -> npt.NDArray[np.bool_]:
        """True for each outcome that ends the episode."""

    @property
    def start(self) -> npt.NDArray[np.float64]:
        """Distribution of the first state."""

    @property
    def name(self) -> str:
        """Name, for reports."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns, if the states are the cells of a grid, row by row."""

    @property
    def n_pairs(self) -> int:
        """Number of pairs of a state and an action."""

    @property
    def n_outcomes(self) -> int:
        """Number of outcomes of all pairs."""

    def reachable(self) -> npt.NDArray[np.bool_]:
        """Return the states in which an episode can take an action."""

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a table learnt on the model depends on, as hexadecimal digits."""


class ObservationEncoder(Protocol):
    """Observations and actions as numbers; `cdq.envs.spaces.Encoder` makes them of Gymnasium's spaces."""

    @property
    def n_states(self) -> int | None:
        """Number of indices of observations; None if observations have a hash or nothing but a vector."""

    @property
    def countable(self) -> bool:
        """True if observations have an index or a key."""

    @property
    def width(self) -> int:
        """Length of the vector of an observation."""

    @property
    def first_action(self) -> int:
        """Name that the environment gives to action 0."""

    def encoding(self, *, vectors: bool) -> Encoding:
        """Return the reader of observations: as *vectors*, or as indices or keys."""

    def state_of(self, observation: object) -> int:
        """Return the index or key of an observation; raises `ConfigError` if it is not in the space."""

    def observation_of(self, state: int) -> Any:
        """Return the observation with an index, without a mask; raises `ConfigError` if there is none."""

    def vector_of(self, observation: object) -> npt.NDArray[np.float64]:
        """Return the numbers of an observation; raises `ConfigError` if their number is wrong."""

    def mask_of(self, observation: object) -> npt.NDArray[np.bool_]:
        """Return the actions that the mask in an observation allows; raises `ConfigError` if there is none."""

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch, as vector environments give them; None if it is no batch."""


class QFunctionKind(Protocol):
    """Kind of Q-function: leads from observations to rows of the table, and from rows to action values."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def threads(self) -> bool:
        """True if several workers that learn it may be threads of one process."""

    @property
    def step_scale(self) -> float:
        """Factor of all step sizes."""

    @property
    def fingerprint(self) -> str:
        """Text that stands for all that gives a row its meaning. Tables with different texts must not be mixed."""

    @property
    def input_bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Lowest and highest inputs that are told apart, (width,) arrays; None where observations are states."""

    @property
    def own_table(self) -> Any:
        """The `MergedTable` that it reads, where rows are added as they are met; else None."""

    def __str__(self) -> str:
        """Return what it is, in words."""

    @property
    def first_action(self) -> int:
        """The number that the environment has for action 0."""

    def encoding(self) -> Encoding:
        """Return what makes of observations what the Q-function locates."""

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a table, for *n* lanes."""

    def reader(self, values: Floats, n: int) -> QFunction:
        """Return the Q-function of these values, to be read, for *n* lanes."""

    def initial(self, value: float) -> float:
        """Return what every entry of the table is where every action is worth *value*."""

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the table's value of each action; raises `ConfigError` if the observation is not one."""

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""


Episodes = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


class WorkerTask(Protocol):
    """The task of one worker: an environment or a log together with a Q-function."""

    @property
    def own_bytes(self) -> int:
        """Bytes that one lane needs besides its random stream, counters and state index."""

    @property
    def resumable(self) -> bool:
        """True if a lane goes on from its memory; else it begins an episode."""

    def loop(self, rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        """Return the loop of the worker over its table and lanes; the flag *stop* ends its windows early."""


class Task(Protocol):
    """The task of a run: what its workers have in common, and the task of each."""

    @property
    def n_actions(self) -> int:
        """Actions are 0 to n_actions - 1."""

    @property
    def own_bytes(self) -> int:
        """Bytes that one lane needs besides its random stream, counters and state index."""

    @property
    def resumable(self) -> bool:
        """True if a lane goes on from its memory; else it begins an episode."""

    @property
    def lanes_each(self) -> int:
        """Lanes of an environment: one for each agent that acts in every step."""

    @property
    def n_rows(self) -> int:
        """Rows of the table; an update rule with two tables has both side by side in a row."""

    def of_worker(self, rank: int) -> WorkerTask:
        """Return the task that the worker of this rank learns."""
