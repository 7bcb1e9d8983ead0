"""A table of a worker's own beside the common one, by its definition, one lane at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.reference import rollout
from tests.reference.rules import choose


def blended(common: Any, own: Any, visits: Any, prior: float, memory: float) -> Any:
    """Return lambda Q + (1 - lambda) own with lambda = prior / (prior + visits), of arrays of one dtype."""
    real = common.dtype.type
    weights = [real(prior / (prior + min(float(n), memory)) if prior > 0 else 0.0) for n in visits.ravel()]
    weight = np.array(weights, common.dtype).reshape(visits.shape)
    return weight * common + (real(1) - weight) * own


class Learner(rollout.Learner):
    """The learner of `rollout`, whose worker's own rows lie *own* rows behind those of the model's states."""

    def __init__(self, own: int, prior: float, memory: float, model: Any, *args: Any) -> None:
        super().__init__(model, *args)
        self.own, self.prior, self.memory = own, prior, memory
        more = [(0, own), (0, 0)]
        self.values = np.pad(self.values, more, constant_values=self.values[0, 0])
        self.base, self.visits = self.values.copy(), np.pad(self.visits, more)
        self.clock = self.visits.copy()

    def _sweep(self, law: Any, window: rollout.Window, explore: int) -> None:
        table = self.values.copy()
        counts = self.clock.astype(np.int64) + self.visits
        steps = [self._personal(table, counts, lane, explore) for lane in self.lanes]
        for state, action, own, _, _ in steps:
            self._update(law, window, state + self.own, action, own)
        for state, action, _, common, _ in steps:
            self._update(law, window, state, action, common)
        for lane, (*_, outcome) in zip(self.lanes, steps, strict=True):
            self._advance(lane, window, *outcome)

    def _personal(self, table: Any, counts: Any, lane: rollout.Lane, explore: int) -> Any:
        word, outcome = lane.stream.next(), lane.stream.next()
        state = lane.state
        action = choose(self._acting(table, counts, state), self._allowed(state), explore, word)
        after, reward, terminated = self.sampler.outcome(state, action, outcome)
        allowed = self._allowed(after)
        values = self._acting(table, counts, after)[allowed].max(), table[after][allowed].max()
        own, common = (reward if terminated else reward + self.gamma * value for value in values)
        return state, action, own, common, (reward, after, terminated)

    def _acting(self, table: Any, counts: Any, state: int) -> Any:
        own = state + self.own
        return blended(table[state], table[own], counts[own], self.prior, self.memory)
