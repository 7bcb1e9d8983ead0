"""Learners as pictures know them: by what they offer, so that pictures need nothing of how a learner is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cdq.contracts import Floats
from cdq.mdp import MDP
from cdq.qfunctions import QTable
from cdq.settings import Settings
from cdq.training import History

if TYPE_CHECKING:
    from typing_extensions import TypeIs


class Learner(Protocol):
    """Properties of `cdq.QLearner` that pictures show."""

    name: str
    settings: Settings

    @property
    def history(self) -> History:
        """Figures of its rounds."""

    @property
    def table(self) -> QTable:
        """Values and visits."""

    @property
    def model(self) -> MDP | None:
        """Model of the environment, where that is known."""

    @property
    def input_bounds(self) -> tuple[Floats, Floats] | None:
        """Least and greatest numbers of an observation, of a linear Q-function."""

    def action_values(self, observation: Any) -> Floats:
        """Return the value of each action."""


def is_learner(thing: object) -> TypeIs[Learner]:
    """Return True for a learner."""
    return hasattr(type(thing), "learn") and hasattr(type(thing), "history")
