"""A learning task: an environment together with a Q-function, and the loops that workers run on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from cdq.contracts import (
    Board,
    Environment,
    Episodes,
    Floats,
    Loop,
    ObservationEncoder,
    QFunctionKind,
)
from cdq.contracts.blocks import Blocks
from cdq.core.envs.encode import Encoding
from cdq.core.lanes import Lanes
from cdq.core.table.qfunction import QFunction, TableQ
from cdq.core.table.rows import Rows
from cdq.errors import ConfigError
from cdq.errors.checks import batch_of
from cdq.mdp import MDP, ModelBoard, follow_policy, from_table, pack_model
from cdq.offline import encoding_of_states
from cdq.qfunctions import DivergenceGuard, MergedNetwork, Trained, TrainedQ
from cdq.schedules import Constant, StepSize, as_step_size
from cdq.settings.of_networks import STEPS, step_size_of

if TYPE_CHECKING:
    from typing_extensions import Self

_SHOWN = 6  # names of blocks in words


class ModelTask:
    """A finite model and a table with a row for each of its states.

    Parameters
    ----------
    model : MDP
        Model to learn from.
    dtype : dtype
        Type of the table's values.
    encoder : ObservationEncoder, optional
        Observations and actions of the environment that the model is of; by default they are its states and actions.
    why : str
        Reason for which the environment is learnt from a model.
    changed : callable
        Tells whether the environment has changed since the model was read.
    """

    stepping = "compiled model"
    threads = True
    in_python = False
    resumable = True
    own_bytes = 0
    default_num_envs = 16
    step_scale = 1.0
    own_table = None
    input_bounds = None
    blocks = None
    lanes_each = 1
    agents = ()

    def __init__(
        self,
        model: MDP,
        dtype: npt.DTypeLike,
        encoder: ObservationEncoder | None = None,
        why: str = "a model was given",
        changed: Callable[[], bool] = bool,
    ) -> None:
        self.model, self.why, self.changed, self._encoder = model, why, changed, encoder
        self.first_action = 0 if encoder is None else encoder.first_action
        self._packed = pack_model(model, dtype)
        self.loop = self._packed.loop
        self.n_rows, self.n_actions = model.n_states, model.n_actions
        self.columns = self.n_actions
        self.name, self.time_limit = model.name, model.time_limit

    @property
    def representation(self) -> str:
        """The Q-function in words: its kind and its size."""
        return f"table of {self.n_rows:,} states"

    def of_worker(self, rank: int) -> Self:
        """Return the task itself, which all workers learn."""
        return self

    def encoding(self) -> Encoding:
        """Return the encoding of states."""
        return (
            encoding_of_states(self.n_rows)
            if self._encoder is None
            else self._encoder.encoding(vectors=False)
        )

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a table, for *n* lanes."""
        return TableQ(rows, n)

    def fingerprint(self) -> str:
        """Return the fingerprint of the model."""
        return self.model.fingerprint()

    def step_size(self, gamma: float) -> StepSize:
        """Return the step size of tables."""
        return as_step_size(None, gamma)

    def kinds(self) -> list[str]:
        """Return none: nothing steps a model."""
        return []

    def trial(self) -> list[Any]:
        """Return nothing: a model plays alike everywhere."""
        return []

    def recipe(self) -> Any:
        """Raise: a hub sends the model itself."""
        raise ConfigError(f"{self.name} is a model, which is sent as it is")

    def initial(self, value: float) -> float:
        """Return *value*."""
        return value

    def state_of(self, observation: Any) -> int:
        """Return the state that is observed; raises `ConfigError` if it is none."""
        state_of = self.model.state_of if self._encoder is None else self._encoder.state_of
        return state_of(observation)

    def observation_of(self, state: int) -> Any:
        """Return the observation of a state."""
        return state if self._encoder is None else self._encoder.observation_of(state)

    def of_model(self, model: MDP, dtype: npt.DTypeLike) -> ModelTask:
        """Return another model with the same states, as observations and actions are here."""
        return ModelTask(model, dtype, self._encoder, self.why, self.changed)

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the row of the observed state, -inf at actions that it does not have."""
        state = self.state_of(observation)
        row: Floats = values[state]
        allowed = self.model.actions_in(state)
        return row if allowed is None else np.where(allowed, row, -np.inf)

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        if self._encoder is not None:
            return self._encoder.split(observations)
        return batch_of(observations, 1)

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of a state as a function of it, which later learning does not change."""
        return partial(self.action_values, values.copy())

    def mask_of(self, observation: Any) -> Any:
        """Return None: states hold no masks."""
        return None

    def board(self) -> Board:
        """Return a board on which the model is played."""
        return ModelBoard(self.model)

    def positions(self) -> tuple[MDP, list[Any]]:
        """Return the model, and an observation of each of its positions."""
        return self.model, list(range(self.n_rows))

    def run_episodes(
        self,
        values: Floats,
        words: npt.NDArray[np.uint64],
        n: int,
        longest: int,
        stop: npt.NDArray[np.int32],
    ) -> Episodes:
        """Run episodes in the model."""
        actions = self.model.actions
        allowed = values if actions is None else np.where(actions, values, -np.inf)
        longest = min(longest, self.time_limit or longest)
        return follow_policy(self._packed, allowed.argmax(axis=1), words, n, longest=longest, stop=stop)

    def close(self) -> None:
        """Do nothing: a model holds nothing."""


class SteppedTask:
    """An environment that is stepped, and what its Q-function is made of.

    Parameters
    ----------
    environment : Environment
        Environment from which transitions come.
    kind : QFunctionKind
        Kind of Q-function: leads from observations to rows, and from rows to values.
    recipe : callable
        Returns what another process makes the environment of; raises `ConfigError` if it cannot.
    why : str
        Reason for which the environment is stepped in this way.
    changed : callable
        Tells whether the environment has changed since, where that is not stepped itself.
    """

    model = None

    def __init__(
        self,
        environment: Environment,
        kind: QFunctionKind,
        recipe: Callable[[], Any],
        why: str,
        changed: Callable[[], bool],
    ) -> None:
        self.environment, self.kind, self.why, self.changed = environment, kind, why, changed
        self.name, self.stepping, self.time_limit = (
            environment.name,
            environment.stepping,
            environment.time_limit,
        )
        self.in_python = not environment.threads
        self.threads = environment.threads and kind.threads
        self.resumable = environment.resumable
        self.own_bytes, self.default_num_envs = environment.own_bytes, environment.default_num_envs
        self.n_rows, self.n_actions = kind.n_rows, environment.n_actions
        self.columns = self.n_actions
        self.step_scale, self.initial = kind.step_scale, kind.initial
        self.action_values, self.own_table = kind.action_values, kind.own_table
        self.split, self.values_now, self.input_bounds = kind.split, kind.values_now, kind.input_bounds
        self.first_action, self.encoding = kind.first_action, kind.encoding
        self.q_function, self.mask_of = kind.q_function, environment.mask_of
        self.close, self.recipe = environment.close, recipe
        self.blocks: Blocks | None = getattr(environment, "blocks", None)
        self.lanes_each: int = getattr(environment, "lanes_each", 1)
        self.agents: tuple[str, ...] = getattr(environment, "agents", ())
        self.encoder: Any = getattr(environment, "encoder", None)

    @property
    def representation(self) -> str:
        """The Q-function in words: its kind and its size."""
        if self.blocks is None:
            return str(self.kind)
        names = self.blocks.names
        shown = ", ".join(names if len(names) <= _SHOWN else [*names[: _SHOWN - 1], "..."])
        return f"{len(names)} table{'s' * (len(names) > 1)} ({shown}), together a {self.kind}"

    def of_worker(self, rank: int) -> Self:
        """Return the task itself, which all workers learn."""
        return self

    def step_size(self, gamma: float) -> StepSize:
        """Return the step size of tables, but for undiscounted features.

        A weight is met in many states, so that a law by clock is small before it is right: MountainCar's returns were
        -156 to -200 with it, and -100 to -109 with a constant.
        """
        if isinstance(self.own_table, MergedNetwork):
            return step_size_of(STEPS)
        usual: StepSize | None = getattr(self.environment, "step_size", None)
        if usual is not None:
            return usual
        return Constant(0.1) if gamma == 1 and self.step_scale < 1 else as_step_size(None, gamma)

    def kinds(self) -> list[str]:
        """Return the names of the classes that step it, where they are of Python."""
        kinds: Callable[[], list[str]] = getattr(self.environment, "kinds", list)
        return kinds()

    def trial(self) -> list[Any]:
        """Return how it plays, where it is stepped in Python one by one."""
        played: Callable[[], list[Any]] = getattr(self.environment, "trial", list)
        return played()

    def board(self) -> Board:
        """Return a board for a game of its own."""
        return self.environment.board()

    def positions(self) -> tuple[MDP, list[Any]]:
        """Return the model of a small game, and an observation of each of its positions."""
        return self._positions

    @cached_property
    def _positions(self) -> tuple[MDP, list[Any]]:
        listed: Callable[[], tuple[Any, list[Any]]] = getattr(self.environment, "positions", self._unknown)
        table, seen = listed()
        return from_table(MDP, table), seen

    def _unknown(self) -> tuple[Any, list[Any]]:
        raise ConfigError(f"the positions of {self.name} cannot be listed; give one environment, not several")

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a table depends on, as hexadecimal digits."""
        parts = f"{self.environment.fingerprint()} {self.kind.fingerprint}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def loop(self, rows: Rows, lanes: Lanes, gamma: float, stop: npt.NDArray[np.int32]) -> Loop:
        """Return the loop of a worker over its table and lanes."""
        q = self.kind.q_function(rows, lanes.n)
        loop = self.environment.loop(q, lanes, gamma, lanes.seeds(), stop)
        if isinstance(self.own_table, MergedNetwork):
            return Trained(
                loop,
                cast("TrainedQ", q),
                self.own_table.layout.size,
                cast("Any", self.kind).network,
                self.name,
            )
        return DivergenceGuard(loop, q, self.name) if q.continuous else loop

    def with_kind(self, kind: QFunctionKind) -> SteppedTask:
        """Return the same environment with another kind of Q-function."""
        return SteppedTask(self.environment, kind, self.recipe, self.why, self.changed)

    def run_episodes(
        self,
        values: Floats,
        words: npt.NDArray[np.uint64],
        n: int,
        longest: int,
        stop: npt.NDArray[np.int32],
    ) -> Episodes:
        """Run episodes in the environment."""
        q = self.kind.reader(values, words.shape[1])
        return self.environment.episodes(q, words, n, longest, stop)
