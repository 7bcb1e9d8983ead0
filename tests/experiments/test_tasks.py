"""Several tasks at once: what their values come to, and how fast, on mazes, random models and deep sea treasure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.mdp.model import MDP
from cdq.training import ModelTask, WideTask
from tests.experiments import mazes, objects, treasures
from tests.reference import tasks as reference


def log_of(seed: int, n: int = 400) -> tuple[Any, ...]:
    """Return transitions of 9 states and 3 actions."""
    random = np.random.default_rng(seed)
    states, actions = random.integers(9, size=n), random.integers(3, size=n)
    return states, actions, random.normal(size=n), random.integers(9, size=n), random.random(n) < 0.1


def model_of(n_states: int, n_actions: int) -> MDP:
    return MDP.garnet(n_states, n_actions, branching=2, seed=0)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tasks_of_a_log_are_the_logs_of_the_tasks(workers: int, dtype: str) -> None:
    """Expected: the same bits."""
    states, actions, rewards, next_states, terminated = log_of(3)
    common: dict[str, Any] = {"workers": workers, "seed": 0, "gamma": 0.9, "dtype": dtype}

    def pay(s: Any, a: Any, r: Any, s2: Any) -> Any:
        return np.stack([r, r * a - s2, np.sin(s)], axis=1)

    paid = pay(states, actions, rewards, next_states)
    agent = cdq.QLearner(model_of(9, 3), tasks=cdq.Rewards(["a", "b", "c"], pay), **common)
    agent.learn_from(states, actions, rewards, next_states, terminated, passes=4)
    for column, table in enumerate(agent.tables.values()):
        alone = cdq.QLearner(model_of(9, 3), **common)
        alone.learn_from(states, actions, paid[:, column], next_states, terminated, passes=4)
        assert table.values.tobytes() == alone.table.values.tobytes()
        assert table.visits.tobytes() == alone.table.visits.tobytes()


@pytest.mark.parametrize("workers", [1, 3])
def test_goals_of_a_log_are_terminations(workers: int) -> None:
    """Expected: the same bits as of a log in which entering the goal pays 1 and ends."""
    states, actions, rewards, next_states, terminated = log_of(4)
    agent = cdq.QLearner(model_of(9, 3), tasks=cdq.Goals([7, 2]), workers=workers, seed=0)
    agent.learn_from(states, actions, rewards, next_states, terminated, passes=4)
    for goal, table in agent.tables.items():
        entered = next_states == goal
        alone = cdq.QLearner(model_of(9, 3), workers=workers, seed=0)
        alone.learn_from(states, actions, entered * 1.0, next_states, terminated | entered, passes=4)
        assert np.array_equal(table.values, alone.table.values)


def staying(gamma: float) -> tuple[MDP, Any]:
    """Return a state where left pays (1, 0), right (0, 1) and up (.6, .6), which all end, and stay nothing."""
    parts = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6], [0.0, 0.0]])
    model = MDP.from_outcomes(
        np.zeros(4, int),
        np.arange(4),
        np.zeros(4, int),
        np.ones(4),
        np.zeros(4),
        np.array([True, True, True, False]),
    )
    return model, parts


def test_parts_of_a_value_bootstrap_from_the_action_that_their_sum_chooses() -> None:
    """Expected: up, worth 1.2, and 1.08 to stay; each by its own best action would stay for ever, for 1.8."""
    model, parts = staying(0.9)
    common: dict[str, Any] = {"gamma": 0.9, "step_size": 1.0, "exploration": 1.0, "seed": 0}
    whole = cdq.QLearner(model, tasks=cdq.Weights([[1.0, 1.0]], lambda s, a, r, s2: parts[a]), **common)
    whole.learn(2000, verbose=0)
    assert whole.action_values(0) == pytest.approx([1.0, 1.0, 1.2, 1.08], abs=1e-12)
    assert whole.predict(0) == 2
    apart = cdq.QLearner(model, tasks=cdq.Rewards(["x", "y"], lambda s, a, r, s2: parts[a]), **common)
    apart.learn(2000, verbose=0)
    total = sum(table.values[0] for table in apart.tables.values())
    assert total == pytest.approx([1.0, 1.0, 1.2, 1.8], abs=1e-12)


def lost(values: Sequence[Any], models: Sequence[MDP], gamma: float) -> float:
    """Return the part of the optimal value that greedy policies lose, a mean over models and states."""
    parts = []
    for own, model in zip(values, models, strict=True):
        best = cdq.solve(model, gamma).state_values
        got = cdq.evaluate_policy(model, np.asarray(own).argmax(axis=1), gamma)
        parts.append(1 - np.mean(got) / np.mean(best))
    return float(np.mean(parts))


def test_workers_share_what_they_see_of_all_tasks() -> None:
    """Expected at 4,000 steps of each of 4 workers: .05 lost; each for its own task alone: .5."""
    model, common = mazes.rooms(1 / 3), {"gamma": 0.9, "exploration": 0.3, "num_envs": 1}
    together, alone = [], []
    for seed in range(4):
        agent = cdq.QLearner(
            model, tasks=cdq.Goals(mazes.DOORS), workers=4, sync_every=10, seed=seed, **common
        )
        models = [agent.tables[goal].model for goal in mazes.DOORS]
        agent.learn(16_000, verbose=0)
        together.append(lost([table.values for table in agent.tables.values()], models, 0.9))
        learnt = [cdq.QLearner(own, seed=seed, **common).learn(4_000, verbose=0) for own in models]
        alone.append(lost([one.table.values for one in learnt], models, 0.9))
    assert np.mean(together) <= 0.08
    assert np.mean(alone) >= 0.4


def test_routes_between_all_places_are_learnt_at_once() -> None:
    """Expected: after 30,000 steps at random, a shortest path between any two of 104 cells."""
    agent = cdq.QLearner(
        mazes.rooms(0.0),
        tasks=cdq.Goals("all"),
        gamma=0.95,
        step_size=1.0,
        exploration=1.0,
        num_envs=1,
        seed=0,
    )
    agent.learn(30_000, verbose=0)
    assert mazes.shortest(np.array([table.values for table in agent.tables.values()])) == 1.0


def test_routes_on_slippery_floors_are_learnt_at_once() -> None:
    """Expected: .02 of the value lost after 40,000 steps at random."""
    agent = cdq.QLearner(
        mazes.rooms(1 / 3), tasks=cdq.Goals("all"), gamma=0.9, exploration=1.0, num_envs=1, seed=0
    )
    agent.learn(40_000, verbose=0)
    tables = agent.tables
    some = [tables[goal] for goal in range(0, 104, 4)]
    assert lost([table.values for table in some], [table.model for table in some], 0.9) <= 0.05


def with_features(model: MDP, features: Any, weights: Any) -> WideTask:
    """Return tasks of a model whose features are known for each pair."""
    tasks = cdq.Weights(weights, lambda s, a, r, s2: features[s, a])
    return WideTask(ModelTask(model, "float64"), tasks, "float64", str)


def test_improvement_over_all_policies_beats_each_of_them() -> None:
    """Expected with exact features: no state worse than with a source; 0.4 % of the value lost, 4 % by the best."""
    random, gamma, losses, best = np.random.default_rng(0), 0.9, [], []
    for seed in range(20):
        model, phi = MDP.garnet(30, 4, branching=4, seed=seed), random.random((30, 4, 3))
        task = with_features(model, phi, np.eye(3))
        pair = np.repeat(np.arange(model.n_pairs), np.diff(model.offsets))
        of_outcomes = phi.reshape(-1, 3)[pair]

        def worth(w: Any, model: MDP = model, paid: Any = of_outcomes) -> MDP:
            return replace(model, reward=paid @ w)

        sources = [cdq.solve(worth(w), gamma).policy for w in np.eye(3)]
        psi = np.stack([reference.evaluated(model, p, of_outcomes, gamma) for p in sources], axis=2)
        rows = psi.reshape(30, -1)
        for _ in range(10):
            w = random.dirichlet(np.ones(3))
            by_all = task.values_by(rows, w)
            policy, states = by_all.argmax(axis=1), np.arange(30)
            got = reference.evaluated(model, policy, of_outcomes, gamma) @ w
            assert (got >= by_all - 1e-9).all()
            optimal = cdq.solve(worth(w), gamma).state_values.mean()
            losses.append(1 - got[states, policy].mean() / optimal)
            alone = [(psi[:, :, i] @ w)[states, own].mean() for i, own in enumerate(sources)]
            best.append(1 - max(alone) / optimal)
    assert np.mean(losses) <= 0.01
    assert np.mean(best) >= 0.03


def test_learnt_features_serve_new_weights() -> None:
    """Expected after 8,000 steps of each of 4 workers: .96 of the optimal value; by the best of the tasks .90."""
    model, gamma, random = mazes.collecting(1 / 3), 0.9, np.random.default_rng(1)
    wanted, by_all, best = random.dirichlet(np.ones(4), size=8), [], []
    for seed in range(2):
        agent = cdq.QLearner(
            model,
            tasks=cdq.Weights(np.eye(4), mazes.features),
            gamma=gamma,
            exploration=0.3,
            workers=4,
            num_envs=1,
            sync_every=10,
            seed=seed,
        )
        agent.learn(32_000, verbose=0)
        sources = [table.policy() for table in agent.tables.values()]
        for w in wanted:
            paid = replace(model, reward=mazes.features(None, None, model.reward, None) @ w)
            policy = np.array([agent.predict(state, weights=w) for state in range(model.n_states)])
            optimal = cdq.solve(paid, gamma).state_values.mean()
            by_all.append(np.mean(cdq.evaluate_policy(paid, policy, gamma)) / optimal)
            best.append(max(np.mean(cdq.evaluate_policy(paid, own, gamma)) for own in sources) / optimal)
    assert np.mean(by_all) >= 0.93
    assert np.mean(by_all) >= np.mean(best) + 0.03


def test_all_treasures_of_the_deep_sea_are_found() -> None:
    """Expected: for each of ten weights its treasure, by a shortest way; the features are the known points."""
    gamma = 0.99
    agent = cdq.QLearner(
        treasures.DeepSea,
        tasks=cdq.Weights(treasures.weights(gamma)),
        gamma=gamma,
        step_size=1.0,
        exploration=0.5,
        seed=0,
    )
    agent.learn(60_000, verbose=0)
    start = agent.table.values[0].reshape(4, 10, 2)
    found = [start[agent.predict(0, task), task] for task in range(10)]
    assert np.array(found) == pytest.approx(treasures.points(gamma), abs=1e-3)
    assert treasures.points(gamma)[[0, 1, 9]] == pytest.approx(
        np.array([(0.7, -1), (8.037, -2.97), (19.778, -17.383)]), abs=1e-3
    )
    agent.close()


COLLECTING: dict[str, Any] = {"table": "hash", "gamma": 0.95, "step_size": 0.5, "exploration": 0.15}


def collected(agent: cdq.QLearner, worth: Any, seed: int) -> float:
    """Return what 20,000 steps in 100 mazes earn that follow the features of all tasks, but for 15 % at random."""
    random, total = np.random.default_rng(seed), 0.0
    mazes = [objects.Objects(worth) for _ in range(100)]
    seen = np.array([maze.reset()[0] for maze in mazes])
    for _ in range(200):
        chosen = np.asarray(agent.predict(seen, weights=worth))
        chosen = np.where(random.random(100) < 0.15, random.integers(4, size=100), chosen)
        for k, (maze, action) in enumerate(zip(mazes, chosen.tolist(), strict=True)):
            seen[k], reward, terminated, truncated, _ = maze.step(action)
            total += reward
            if terminated or truncated:
                seen[k] = maze.reset()[0]
    return total


def earned(worth: Any, seed: int) -> float:
    """Return what Q-learning earns in 20,000 steps of a task for itself."""
    agent = cdq.QLearner(partial(objects.Objects, worth), num_envs=1, seed=seed, **COLLECTING)
    before, total = 0, 0.0
    for row in agent.learn(20_000, verbose=0).history:
        if row.episodes > before:
            total += row.mean_return * (row.episodes - before)
        before = row.episodes
    return total


@pytest.mark.slow
def test_objects_are_collected_for_worths_that_nobody_learnt() -> None:
    """Barreto et al. 2017: 570 to 790 in the last 8 of 20 tasks of 20,000 steps, against 130 to 240 by Q-learning.

    Here 12 tasks are learnt at once, by 20,000 steps of each, and serve 8 others without learning.
    """
    at_once, afresh = [], []
    for seed in range(8):
        random = np.random.default_rng(seed)
        worths = np.column_stack([random.uniform(-1.0, 1.0, (20, 3)), np.ones(20)])
        agent = cdq.QLearner(
            objects.Objects, tasks=cdq.Weights(worths[:12]), num_envs=12, seed=seed, **COLLECTING
        )
        agent.learn(12 * 20_000, verbose=0)
        at_once += [collected(agent, worth, seed) for worth in worths[12:]]
        afresh += [earned(worth, seed) for worth in worths[12:]]
    assert np.mean(at_once) >= 2 * np.mean(afresh), (np.mean(at_once), np.mean(afresh))
    assert np.mean(at_once) >= 570
