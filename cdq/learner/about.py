"""Description of what a learner learns: its environment, the way in which that is stepped, its Q-function."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cdq.learner.acting import Acting
from cdq.mdp import MDP
from cdq.offline import LoggedTask, Names


class About(Acting):
    """Description of what is learnt; see `QLearner`."""

    @property
    def model(self) -> MDP | None:
        """The environment's finite model, where that is known."""
        return self._task.model

    @property
    def name(self) -> str:
        """The environment's name."""
        return self._task.name

    @property
    def stepping(self) -> str:
        """The way in which the environment is stepped.

        "compiled model", "compiled environment", "vector environment", "multi-agent environment" or
        "Python environment".
        """
        return self._task.stepping

    @property
    def names(self) -> Names | None:
        """The names of a log's states and actions, in the order of the table's rows and columns; see `from_log`."""
        return self._task.names if isinstance(self._task, LoggedTask) else None

    @property
    def stepping_reason(self) -> str:
        """The reason for which it is stepped so: how its model is known to hold, or why it has none."""
        return self._task.why

    @property
    def representation(self) -> str:
        """The Q-function in words: its kind and its size."""
        return self._task.representation

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, where the environment has several."""
        return self._task.agents

    @property
    def input_bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Lowest and highest inputs that a Q-function of vectors tells apart; None where observations are states."""
        return self._task.input_bounds
