"""Several tasks at once by their definition: every transition updates each of them, and the pair has one count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cdq.mdp.model import MDP
from tests.reference import rollout
from tests.reference.rng import below, halves
from tests.reference.schedules import Law


class Goals:
    """Tasks of reaching a state each."""

    parts = 1

    def __init__(self, states: Any) -> None:
        self.states, self.n = list(states), len(states)

    def values(self, row: Any, task: int) -> Any:
        """Return the value of each action to a task; *row* is (n_actions, n_tasks, parts)."""
        return row[:, task, 0]

    def next(self, row: Any, allowed: Any, task: int) -> Any:
        """Return what a successor is worth to a task, in its parts; 0 where it allows no action."""
        best = row[allowed, task, 0].max() if len(allowed) else row.dtype.type(0)
        return np.array([best], row.dtype)

    def pays(self, outcome: int, successor: int, task: int) -> Any:
        """Return what a transition pays to a task, in its parts."""
        return [float(successor == self.states[task])]

    def ends(self, successor: int, task: int) -> bool:
        """Return whether nothing follows for a task."""
        return bool(successor == self.states[task])

    def worth(self, paid: Any, task: int) -> float:
        """Return as one number what a transition pays."""
        return float(paid[0])


class Rewards(Goals):
    """Tasks with rewards of their own, (n_outcomes, n_tasks)."""

    def __init__(self, rewards: Any) -> None:
        self.rewards, self.n = rewards, rewards.shape[1]

    def pays(self, outcome: int, successor: int, task: int) -> Any:
        return [self.rewards[outcome, task]]

    def ends(self, successor: int, task: int) -> bool:
        return False


class Weights(Rewards):
    """Tasks that weigh the same features, (n_outcomes, parts); *weights* are (n_tasks, parts)."""

    def __init__(self, features: Any, weights: Any) -> None:
        self.rewards, self.weights, self.n, self.parts = features, weights, len(weights), weights.shape[1]

    def values(self, row: Any, task: int) -> Any:
        weights, total = self.weights.astype(row.dtype)[task], np.zeros(len(row), row.dtype)
        for part in range(self.parts):  # in order, as sums of floats have one
            total += row[:, task, part] * weights[part]
        return total

    def next(self, row: Any, allowed: Any, task: int) -> Any:
        if not len(allowed):
            return np.zeros(self.parts, row.dtype)
        return row[allowed[self.values(row, task)[allowed].argmax()], task]

    def pays(self, outcome: int, successor: int, task: int) -> Any:
        return self.rewards[outcome]

    def worth(self, paid: Any, task: int) -> float:
        total = 0.0
        for part in range(self.parts):
            total += float(paid[part]) * float(self._real(self.weights[task, part]))
        return total

    _real: Any = float


class Learner(rollout.Learner):
    """A table of several tasks and its lanes: lane i of worker k acts for task k + i + its episodes, modulo all.

    An episode ends, too, where a lane enters the goal of its task. Values are (n_states, n_actions, n_tasks, parts),
    counts (n_states, n_actions).
    """

    def __init__(
        self, model: MDP, tasks: Any, gamma: float, dtype: Any, words: Any, *, rank: int = 0
    ) -> None:
        super().__init__(model, gamma, dtype, words)
        numbered = replace(model, reward=np.arange(model.n_outcomes, dtype=np.float64))
        self.sampler = rollout.Sampler(numbered, np.float64)
        self.tasks, self.rank, self.turns = tasks, rank, [0] * len(self.lanes)
        tasks._real = self.real
        self.values = np.zeros((model.n_states, model.n_actions, tasks.n, tasks.parts), dtype)
        self.base = self.values.copy()

    def followed(self, lane: int) -> int:
        """Return the task for which a lane acts."""
        return (self.rank + lane + self.turns[lane]) % self.tasks.n

    def _sweep(self, law: Law, window: rollout.Window, explore: int) -> None:
        table = self.values.copy()
        steps = [self._made(table, i, explore) for i in range(len(self.lanes))]
        for i, (pair, targets, outcome) in enumerate(steps):
            self._update(law, window, *pair, targets)
            task, (number, successor, terminated) = self.followed(i), outcome
            reward = self.tasks.worth(self.tasks.pays(number, successor, task), task)
            before, reached = window.episodes, self.tasks.ends(successor, task)
            self._advance(self.lanes[i], window, reward, successor, terminated or reached)
            self.turns[i] += window.episodes > before

    def _made(self, table: Any, i: int, explore: int) -> tuple[Any, Any, Any]:
        lane, tasks = self.lanes[i], self.tasks
        coin, bits = halves(lane.stream.next())
        word = lane.stream.next()
        allowed = self._allowed(lane.state)
        values = tasks.values(table[lane.state], self.followed(i))[allowed]
        candidates = allowed if coin < explore else allowed[values == values.max()]
        action = int(candidates[below(bits, len(candidates))])
        successor, number, terminated = self.sampler.outcome(lane.state, action, word)
        targets = np.zeros((tasks.n, tasks.parts), table.dtype)
        for task in range(tasks.n):
            paid = np.asarray(tasks.pays(int(number), successor, task)).astype(table.dtype)
            if terminated or tasks.ends(successor, task):
                targets[task] = paid
            else:
                targets[task] = paid + self.gamma * tasks.next(
                    table[successor], self._allowed(successor), task
                )
        return (lane.state, action), targets, (int(number), successor, terminated)


def evaluated(model: MDP, policy: Any, features: Any, gamma: float) -> Any:
    """Return the successor features of a policy, (n_states, n_actions, parts); *features* are (n_outcomes, parts)."""
    n, pairs = model.n_states, model.n_pairs
    pair = np.repeat(np.arange(pairs), np.diff(model.offsets))
    P, phi = np.zeros((pairs, n)), np.zeros((pairs, features.shape[1]))
    np.add.at(P, (pair, model.next_state), model.probability * ~model.terminated)
    np.add.at(phi, pair, model.probability[:, None] * features)
    chosen = np.arange(n) * model.n_actions + policy
    values = np.linalg.solve(np.eye(n) - gamma * P[chosen], phi[chosen])
    return (phi + gamma * P @ values).reshape(n, model.n_actions, -1)
