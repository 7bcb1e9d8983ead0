"""A log without an environment: a table of the states and actions that the log names is learnt."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats
from cdq.core.envs.encode import Encoding
from cdq.core.table.qfunction import QFunction, TableQ
from cdq.core.table.rows import Rows
from cdq.errors import ConfigError
from cdq.offline.logs import Log, encoding_of_states, read_log
from cdq.offline.names import Names, ends
from cdq.schedules import StepSize, as_step_size

if TYPE_CHECKING:
    from typing_extensions import Self


class LoggedTask:
    """The states and actions of a log, and a table with a row for each of its states (`cdq.training.EnvironmentTask`).

    Attribute `tried` says which pairs the log has. The actions of a state are those that were tried there: nothing is
    known of the others, whose initial values may be larger. In a state in which none was tried, all are.

    Parameters
    ----------
    names : Names
        Names of the log's states and actions.
    """

    name = "log"
    stepping = "logged transitions"
    why = "a log was given, and no environment"
    threads = True
    in_python = False
    resumable = True
    own_bytes = 0
    default_num_envs = 1
    step_scale = 1.0
    time_limit = None
    model = None
    own_table = None
    input_bounds = None
    blocks = None
    lanes_each = 1
    agents = ()
    first_action = 0
    changed = staticmethod(lambda: False)

    def __init__(self, names: Names) -> None:
        self.names = names
        self.n_rows, self.n_actions = len(names.states), len(names.actions)
        self.columns = self.n_actions
        self.tried = np.zeros((self.n_rows, self.n_actions), np.bool_)

    @property
    def representation(self) -> str:
        """The Q-function in words: its kind and its size."""
        return f"table of {self.n_rows:,} states"

    def read(self, columns: tuple[Any, ...], next_masks: Any) -> Log:
        """Return the log of columns in which states and actions have their names, and note the pairs that were tried.

        Raises
        ------
        ConfigError
            If an entry is not allowed; names the transition.
        """
        states, actions, rewards, next_states, terminated = columns
        over = ends(terminated)
        before = self.names.numbers("state", states, len(over))
        taken = self.names.numbers("action", actions, len(over))
        after = self.names.numbers("next_state", next_states, len(over), over)
        tried = self.tried.copy()
        tried[before, taken] = True
        if next_masks is None:
            next_masks = self._allowed(tried[after])
        log = read_log(
            before,
            taken,
            rewards,
            after,
            over,
            encoding=self.encoding(),
            n_actions=self.n_actions,
            next_masks=next_masks,
        )
        self.tried = tried
        return log

    def _allowed(self, tried: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        allowed: npt.NDArray[np.bool_] = tried | ~tried.any(axis=-1, keepdims=True)
        return allowed

    def of_worker(self, rank: int) -> Self:
        """Return the task itself, which all workers learn."""
        return self

    def kinds(self) -> list[str]:
        """Return no names: nothing is stepped in Python."""
        return []

    def trial(self) -> list[Any]:
        """Return nothing: a log is not played."""
        return []

    def encoding(self) -> Encoding:
        """Return the encoding of states."""
        return encoding_of_states(self.n_rows)

    def q_function(self, rows: Rows, n: int) -> QFunction:
        """Return the Q-function over a table, for *n* lanes."""
        return TableQ(rows, n)

    def fingerprint(self) -> str:
        """Return the fingerprint of the names."""
        return self.names.fingerprint()

    def step_size(self, gamma: float) -> StepSize:
        """Return the step size of tables."""
        return as_step_size(None, gamma)

    def initial(self, value: float) -> float:
        """Return *value*."""
        return value

    def action_values(self, values: Floats, observation: Any) -> Floats:
        """Return the row of a state."""
        row: Floats = values[self.names.number_of("state", observation)]
        return row

    def split(self, observations: Any) -> list[Any] | None:
        """Return the names in a batch, a list or an array; None if it is one name, perhaps a row of numbers."""
        if hasattr(observations, "to_numpy"):
            observations = observations.to_numpy()
        several = isinstance(observations, (list, np.ndarray)) and not self.names.has_state(observations)
        return list(observations) if several else None

    def values_now(self, values: Floats) -> Callable[[Any], Floats]:
        """Return the action values of a state as a function of its name, which later learning does not change."""
        return partial(self.action_values, values.copy())

    def mask_of(self, observation: Any) -> npt.NDArray[np.bool_]:
        """Return which actions were tried in a state."""
        return self._allowed(self.tried[self.names.number_of("state", observation)])

    def refuse(self, *_: Any) -> NoReturn:
        """Raise `ConfigError`: nothing can be stepped."""
        raise ConfigError(
            "a log has no environment to act in; learn more of it by learn_from, or make a QLearner of an environment"
        )

    loop = run_episodes = recipe = board = positions = refuse

    def close(self) -> None:
        """Do nothing: a log holds nothing."""
