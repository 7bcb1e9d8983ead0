"""What a learner learns, as its face needs it: named, compared, evaluated, and turned into loops for its workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cdq.core.model import Sampler
from cdq.core.rollout import follow
from cdq.mdp import MDP
from cdq.problem import Problem, pack_model

Floats = npt.NDArray[np.floating[Any]]
Episodes = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


class Subject(Problem, Protocol):
    """An environment, and what its Q-function is made of."""

    @property
    def name(self) -> str:
        """Of the environment."""

    @property
    def way(self) -> str:
        """How it is stepped: "compiled model", "compiled environment", "vector environment", "Python environment"."""

    @property
    def representation(self) -> str:
        """What the Q-function is made of, in words."""

    @property
    def model(self) -> MDP | None:
        """Its finite model, where that is known."""

    @property
    def threads(self) -> bool:
        """Whether several workers may be threads of one process."""

    @property
    def lanes(self) -> int:
        """How many environments a worker steps unless told otherwise."""

    @property
    def time_limit(self) -> int | None:
        """Steps after which an episode is truncated."""

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a table depends on, as hexadecimal digits."""

    def initial(self, value: float) -> float:
        """Return what every entry of the table is where every action is worth *value*."""

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return what the table says each action is worth; raises `ConfigError` for what is no observation."""

    def run_episodes(self, values: Floats, words: npt.NDArray[np.uint64], n: int, longest: int) -> Episodes:
        """Run *n* episodes of the greedy policy, the lowest action among equals; return their returns and lengths.

        Stream i % words.shape[1] serves episode i, which is cut after *longest* steps.
        """

    def close(self) -> None:
        """Let go of what was made here; loops must not be used afterwards."""


class ModelSubject:
    """A finite model and a table with a row for each of its states."""

    way = "compiled model"
    threads = True
    resumable = True
    own_bytes = 0
    lanes = 16

    def __init__(self, model: MDP, dtype: npt.DTypeLike) -> None:
        self.model = model
        self._packed = pack_model(model, dtype)
        self.loop = self._packed.loop
        self.n_rows, self.n_actions = model.n_states, model.n_actions
        self.name, self.time_limit = model.name, model.time_limit

    @property
    def representation(self) -> str:
        """What the Q-function is made of, in words."""
        return f"table of {self.n_rows:,} states"

    def fingerprint(self) -> str:
        """Return that of the model."""
        return self.model.fingerprint()

    def initial(self, value: float) -> float:
        """Return *value*."""
        return value

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the row of the observed state."""
        row: Floats = values[self.model.state_of(observation)]
        return row

    def run_episodes(self, values: Floats, words: npt.NDArray[np.uint64], n: int, longest: int) -> Episodes:
        """Run episodes in the model."""
        return follow_policy(self._packed, values.argmax(axis=1), words, n, longest)

    def close(self) -> None:
        """Do nothing: a model holds nothing."""


def follow_policy(
    sampler: Sampler,
    policy: Sequence[int] | npt.NDArray[Any],
    words: npt.NDArray[np.uint64],
    n: int,
    longest: int,
) -> Episodes:
    """Run *n* episodes of *policy*, an action per state; return their returns and lengths."""
    returns, lengths = np.zeros(n), np.zeros(n, np.int64)
    actions = np.asarray(policy, np.uint32)
    follow(sampler, actions, words, longest, returns, lengths, np.zeros(1, np.int32))
    return returns, lengths
