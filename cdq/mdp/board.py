"""Board of a game that is a model: it is played by drawing from the model's outcomes."""

from __future__ import annotations

import numpy as np

from cdq.contracts import Ply
from cdq.mdp.model import MDP


class ModelBoard:
    """A game that a model describes."""

    def __init__(self, model: MDP) -> None:
        self._model, self._state = model, 0
        self._random = np.random.default_rng(0)

    def begin(self, random: np.random.Generator) -> Ply:
        """Begin a game, and return the position."""
        self._random = random
        self._state = int(random.choice(self._model.n_states, p=self._model.start))
        return Ply(self._state, self._model.actions_in(self._state), 0.0, False, False)

    def move(self, action: int) -> Ply:
        """Make a move, and return what came of it, seen by whoever is next."""
        model = self._model
        first, last = model.offsets[self._state * model.n_actions + action :][:2]
        chosen = first + int(self._random.choice(last - first, p=model.probability[first:last]))
        self._state = int(model.next_state[chosen])
        over = bool(model.terminated[chosen])
        return Ply(self._state, model.actions_in(self._state), float(model.reward[chosen]), over, not over)
