"""Kinds of learning tasks, as protocols: of an environment, and of a game."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cdq.contracts import Board, EnvironmentSpec, Episodes, Floats, Task
from cdq.contracts.blocks import Blocks
from cdq.core.envs.encode import Encoding
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Rows
from cdq.mdp import MDP
from cdq.schedules import StepSize


class EnvironmentTask(EnvironmentSpec, Task, Protocol):
    """An environment together with a Q-function: what workers need, and what evaluation, files and reports do."""

    @property
    def why(self) -> str:
        """The reason for which it is stepped in this way."""

    @property
    def changed(self) -> Callable[[], bool]:
        """A test for changes of the environment that was given, where it is not stepped itself."""

    @property
    def representation(self) -> str:
        """The Q-function in words: its kind and its size."""

    @property
    def in_python(self) -> bool:
        """True if its environment is stepped in Python, whose workers are processes."""

    @property
    def columns(self) -> int:
        """Columns of a row, of one table of the update rule: the actions, or more of each."""

    @property
    def model(self) -> MDP | None:
        """The environment's finite model, where that is known."""

    @property
    def blocks(self) -> Blocks | None:
        """The blocks of its table, where that has parts with names; else None."""

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents of its environment, where it has several; episodes then have a column for each."""

    @property
    def step_scale(self) -> float:
        """Factor of all step sizes."""

    @property
    def own_table(self) -> Any:
        """The table (`qfunctions.merged.MergedTable`) of a task whose rows are added as they are met; else None."""

    @property
    def input_bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Lowest and highest inputs that are told apart, (width,) arrays; None where observations are states."""

    @property
    def first_action(self) -> int:
        """The number that the environment has for action 0."""

    def encoding(self) -> Encoding:
        """Return the encoding that makes observations into arguments of the Q-function."""

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a table, for *n* lanes."""

    def step_size(self, gamma: float) -> StepSize:
        """Return the step sizes with which it is learnt unless its user says so."""

    def kinds(self) -> list[str]:
        """Return the names of the classes that step it, where they are of Python."""

    def recipe(self) -> Any:
        """Return what another process of this machine makes the environment of; raises `ConfigError` if it cannot."""

    def trial(self) -> list[Any]:
        """Return how it plays, for other processes to compare with; empty where nothing of Python steps it."""

    def initial(self, value: float) -> float:
        """Return the entry of the table for which every action has the value *value*."""

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the table's value of each action; raises `ConfigError` if the observation is not one."""

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of an observation as a function, which later learning does not change."""

    def run_episodes(
        self,
        values: Floats,
        words: npt.NDArray[np.uint64],
        n: int,
        longest: int,
        stop: npt.NDArray[np.int32],
    ) -> Episodes:
        """Run *n* episodes of the greedy policy, the lowest action among equals; return their returns and lengths.

        Stream i % words.shape[1] serves episode i, which is cut after *longest* steps. They end early, and what they
        came to is void, once *stop* is not 0.
        """


class GameTask(EnvironmentTask, Protocol):
    """A game of two players together with a Q-function."""

    def board(self) -> Board:
        """Return a board for a game of its own."""

    def positions(self) -> tuple[MDP, list[Any]]:
        """Return the model of a small game, and an observation of each of its positions."""
