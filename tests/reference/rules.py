"""Update rules by their definition, one lane at a time: what a successor is worth, and what follows from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tests.reference import qfunction, rollout
from tests.reference.rng import below, halves

TABLES = {"q-learning": 1, "expected-sarsa": 1, "sarsa": 1, "double-q": 2, "hysteretic(0.125)": 1}


class Next(NamedTuple):
    """The worth of a successor, the table to update, and the action to make there, where that is chosen."""

    value: Any
    table: int = 0
    action: int | None = None


def mixed(x: int) -> int:
    """Return the 64-bit finaliser of MurmurHash3."""
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD % 2**64
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 % 2**64
    return x ^ x >> 33


def choose(q: Any, allowed: Any, explore: int, word: int) -> int:
    """Return an epsilon-greedy action, uniform among ties."""
    coin, bits = halves(word)
    best = allowed if coin < explore else allowed[q[allowed] == q[allowed].max()]
    return int(best[below(bits, len(best))])


def acting(rule: str, row: Any) -> Any:
    """Return the values by which is acted: the sum of all tables."""
    each = row.reshape(TABLES[rule], -1)
    return each[0] if len(each) == 1 else each[0] + each[1]


def successor(rule: str, row: Any, allowed: Any, explore: int, word: int) -> Next:
    """Return what a successor is worth, whose values in all tables are *row*; *word* is that of the lane's choice."""
    real, random = row.dtype.type, mixed(word)
    coin = random >> 63 if rule == "double-q" else 0
    if not len(allowed):
        return Next(real(0), coin, len(row) // TABLES[rule])
    if rule in {"q-learning", "hysteretic(0.125)"}:
        return Next(row[allowed].max())
    if rule == "expected-sarsa":
        epsilon, total = real(explore / 2**32), real(0)
        for action in allowed:
            total += row[action]
        return Next((real(1) - epsilon) * row[allowed].max() + epsilon * (total / real(len(allowed))))
    if rule == "sarsa":
        action = choose(row, allowed, explore, random)
        return Next(row[action], 0, action)
    tables = row.reshape(2, -1)
    return Next(tables[1 - coin][choose(tables[coin], allowed, 0, random)], coin)


def step_size(rule: str, alpha: Any, error: Any) -> Any:
    """Return the step size of an error: the hysteretic rule has one of 1/8 where a value falls."""
    return type(alpha)(0.125) if rule.startswith("hysteretic") and error < 0 else alpha


class Learner(rollout.Learner):
    """The learner of `rollout`, by any rule."""

    def __init__(self, rule: str, model: Any, *args: Any) -> None:
        super().__init__(model, *args)
        self.rule, self.columns = rule, model.n_actions * TABLES[rule]
        self.values = np.tile(self.values, (1, TABLES[rule]))
        self.base, self.visits = self.values.copy(), np.tile(self.visits, (1, TABLES[rule]))
        self.clock = self.visits.copy()
        self.ahead: dict[int, int | None] = {}

    def run(self, *args: Any) -> rollout.Window:
        self.ahead.clear()
        return super().run(*args)

    def _step(self, table: Any, lane: rollout.Lane, explore: int) -> tuple[Any, Any, Any]:
        word, outcome = lane.stream.next(), lane.stream.next()
        action = self.ahead.get(id(lane))
        if action is None:
            action = choose(acting(self.rule, table[lane.state]), self._allowed(lane.state), explore, word)
        after, reward, terminated = self.sampler.outcome(lane.state, action, outcome)
        following = successor(self.rule, table[after], self._allowed(after), explore, word)
        self.ahead[id(lane)] = following.action
        target = reward if terminated else reward + self.gamma * following.value
        return (
            (lane.state, action + following.table * self.model.n_actions),
            target,
            (reward, after, terminated),
        )

    def _update(self, law: Any, window: rollout.Window, state: int, action: int, target: Any) -> None:
        pair = state * self.columns + action
        if self.visits[state, action] == 0:
            window.log.append(pair)
        self.visits[state, action] += 1
        alpha = law.of(int(self.clock[state, action]) + int(self.visits[state, action]))
        error = target - self.values[state, action]
        self.values[state, action] += step_size(self.rule, alpha, error) * error
        window.targets.append((pair, target))

    def _advance(self, lane: rollout.Lane, *args: Any) -> None:
        super()._advance(lane, *args)
        if not lane.elapsed:
            self.ahead[id(lane)] = None


class QFunction(qfunction.QFunction):
    """The Q-function of `qfunction`, by any rule, for lanes that `choose` and `learn` as the core's do."""

    def __init__(self, rule: str, *args: Any) -> None:
        super().__init__(*args)
        self.rule = rule
        self.n_actions = self.values.shape[1] // TABLES[rule]
        self.ahead: dict[int, int | None] = {}
        self.words: list[int] = []
        self.explore = 0

    def choose_all(self, observations: Any, threshold: int, words: Any, masks: Any) -> list[int]:
        """Return an action of every lane: that which was chosen ahead, or a fresh one."""
        self.words, self.explore = [int(word) for word in words], threshold
        actions = []
        for lane, (observation, word) in enumerate(zip(observations, self.words, strict=True)):
            allowed = self._allowed(masks, lane)
            ahead, q = self.ahead.get(lane), acting(self.rule, self.of(observation))
            fresh = choose(q, allowed, threshold, word) if len(allowed) else self.n_actions
            actions.append(fresh if ahead is None else ahead)
        return actions

    def learn_all(self, law: Any, steps: Any, masks: Any) -> None:
        """Learn from (observation, action, reward, successor, discount) of every lane; None is skipped."""
        targets: list[Any] = []
        self.ahead.clear()
        for lane, step in enumerate(steps):
            if step is None:
                targets.append(None)
                continue
            row, word = self.of(step[3]), self.words[lane]
            following = successor(self.rule, row, self._allowed(masks, lane), self.explore, word)
            self.ahead[lane] = following.action
            target = self.real(step[2])
            if step[4]:
                target += self.real(step[4]) * following.value
            targets.append((int(step[1]) + following.table * self.n_actions, target))
        for step, target in zip(steps, targets, strict=True):
            if step is not None:
                self._update(law, step[0], *target)

    def _step_size(self, alpha: Any, difference: Any) -> Any:
        return step_size(self.rule, alpha, difference)

    def _allowed(self, masks: Any, lane: int) -> Any:
        return np.flatnonzero(np.ones(self.n_actions) if masks is None else masks[lane])
