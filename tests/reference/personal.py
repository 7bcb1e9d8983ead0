"""A table of a worker's own beside the common one, by its definition, one lane at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tests.reference import rollout, rules
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


class QFunction(rules.QFunction):
    """The Q-function of `rules`, whose worker's own rows lie *own* rows behind the common ones."""

    def __init__(self, own: int, prior: float, memory: float, *args: Any) -> None:
        super().__init__("q-learning", *args)
        self.own, self.prior, self.memory = own, prior, memory
        self._common = self.phi

    def of(self, observation: Any) -> Any:
        """Return the values by which the worker acts."""
        total = np.zeros(self.values.shape[1], self.values.dtype)
        for row, x in self._common(observation):
            own = row + self.own
            now = self.values[row], self.values[own], self.counts[own]
            total += blended(*now, self.prior, self.memory) * self.real(x)
        return total

    def learn_all(self, law: Any, steps: Any, masks: Any) -> None:
        """Learn own and common values; the targets of each are of all values as they stand."""
        targets = [None if step is None else self._targets(step, masks, i) for i, step in enumerate(steps)]
        for place, first in enumerate((self.own, 0)):
            self.phi = partial(self._shifted, first)
            for step, target in zip(steps, targets, strict=True):
                if step is not None:
                    self._learn(law, step[0], int(step[1]), target[place])

    def _targets(self, step: Any, masks: Any, lane: int) -> list[Any]:
        allowed, reward, discount = self._allowed(masks, lane), self.real(step[2]), self.real(step[4])
        rows = self.of(step[3]), self._sum(0, step[3])
        following = [row[allowed].max() if len(allowed) else self.real(0) for row in rows]
        return [reward + discount * value if step[4] else reward for value in following]

    def _learn(self, law: Any, observation: Any, action: int, target: Any) -> None:
        """Move the weights that `phi` leads to towards a target, by what these alone say."""
        first = self.phi.args[0]  # type: ignore[attr-defined]
        difference = target - self._sum(first, observation)[action]
        for row, x in self.phi(observation):
            pair = row * self.values.shape[1] + action
            if pair not in self._touched:
                self.log.append(pair)
                self._touched.add(pair)
            self.counts[row, action] += 1
            alpha = law.of(int(self.counts[row, action]))
            self.values[row, action] += alpha * (difference * self.real(x))

    def _shifted(self, first: int, observation: Any) -> list[tuple[int, Any]]:
        return [(first + row, x) for row, x in self._common(observation)]

    def _sum(self, first: int, observation: Any) -> Any:
        total = np.zeros(self.values.shape[1], self.values.dtype)
        for row, x in self._shifted(first, observation):
            total += self.values[row] * self.real(x)
        return total
