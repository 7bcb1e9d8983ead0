"""Workers that act by fixed policies, whatever they learn."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError
from tests.learner.test_common import ACTIONS, KEYS, MAZES
from tests.strategies import random_model

MODEL = random_model(12, 3, seed=4, time_limit=50)
HOW: dict[str, Any] = {"sync_every": 512, "seed": 1, "gamma": 0.9, "workers": 3}
STEPS = 9216


def learner(policies: Any, env: Any = MODEL, **changes: Any) -> cdq.QLearner:
    return cdq.QLearner(env, per_worker={"policy": policies}, **{**HOW, **changes})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", ["q-learning", "double-q"])
def test_a_worker_takes_the_actions_of_its_policy(rule: str, dtype: str) -> None:
    agent = learner([0, 2, 0], rule=rule, dtype=dtype).learn(STEPS)
    visits = agent.table.visits
    assert visits.sum() == STEPS
    assert visits[:, 1].sum() == 0
    assert visits[:, 2].sum() == STEPS // 3


def test_actions_come_as_often_as_their_probabilities() -> None:
    chances = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    chances[3] = [0.0, 1.0, 0.0]
    agent = learner([chances] * 3).learn(300_000)
    visits = agent.table.visits
    seen = visits.sum(axis=1)
    assert visits[3, [0, 2]].sum() == 0
    error = np.sqrt(np.maximum(chances * (1 - chances), 1e-12) / seen[:, np.newaxis])
    assert (np.abs(visits / seen[:, np.newaxis] - chances) <= 5 * error + 1e-9).all()


def test_what_others_do_teaches_the_best_actions() -> None:
    """Each plays one action alone; together they learn what all are worth."""
    model = replace(cdq.MDP.garnet(12, 3, branching=3, seed=1), start=np.full(12, 1 / 12), time_limit=4)
    agent = learner([0, 1, 2], model).learn(600_000)
    assert agent.report(play=False)["gap"] < 0.02
    assert agent.table.policy().tolist() == cdq.solve(model, 0.9).policy.tolist()


def test_one_without_a_policy_acts_by_its_values() -> None:
    usual = cdq.QLearner(MODEL, **HOW).learn(STEPS).table
    assert learner([None] * 3).learn(STEPS).table.digest() == usual.digest()
    mixed = learner([None, 1, None]).learn(STEPS).table
    assert (mixed.visits > 0).all()
    assert mixed.digest() != usual.digest()


def test_forms_of_one_policy_are_the_same() -> None:
    actions = np.arange(12) % 3
    digests = {
        learner([form] * 3).learn(STEPS).table.digest()
        for form in (
            actions,
            actions.tolist(),
            np.eye(3)[actions],
            lambda state: state % 3,
            lambda state: np.eye(3)[state % 3],
        )
    }
    assert len(digests) == 1


ENVIRONMENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "compiled": ("cdq/TicTacToe-v0", {"opponent": "self", "gamma": 1.0}),
    "python": ("FrozenLake-v1", {"stepping": "python"}),
    "fleet": ([MODEL] * 3, {"merge": cdq.Personal(20.0)}),
    "mazes": (MAZES, {"key": KEYS, "actions": ACTIONS}),
}


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_processes_and_files_come_to_the_same_bits(kind: str, tmp_path: Path) -> None:
    env, how = ENVIRONMENTS[kind]
    policies = [1, None, lambda observation: 0]
    how = {**how, "comm": "zmq" if kind == "python" else "inprocess"}
    agent = learner(policies, env, checkpoint=tmp_path / "run", **how).learn(STEPS)
    assert (
        learner(policies, env, **{**how, "comm": "zmq"}).learn(STEPS).table.digest() == agent.table.digest()
    )
    agent.save(tmp_path / "saved.cdq")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    given = None if isinstance(env, str) else env
    again = cdq.QLearner.load(tmp_path / "saved.cdq", given)
    assert again.settings.per_worker == agent.settings.per_worker
    assert copy.deepcopy(agent).settings.per_worker == agent.settings.per_worker
    resumed = cdq.QLearner.resume(tmp_path / "copy", given).learn(STEPS)
    assert resumed.table.digest() == agent.learn(STEPS).table.digest()


def test_policies_are_of_the_environment_that_a_worker_has() -> None:
    """Actions have the numbers of the worker's own environment, on a table of the names of all."""
    names = [["left", "right"], ["left", "right", "up"], ["right", "left"]]
    agent = learner([1, 2, 0], MAZES, key=KEYS, actions=names).learn(STEPS)
    visits = agent.table.visits
    assert visits[:, 0].sum() == 0
    assert visits[:, 2].sum() == STEPS // 3


@pytest.mark.parametrize(
    ("policies", "how", "said"),
    [
        ([0, 1], {}, "2 entries of policy, and there are 3 workers"),
        ([0, 1, 3], {}, r"an action of per_worker\['policy'\]\[2\] is 3"),
        ([0, 1, "left"], {}, r"per_worker\['policy'\]\[2\] is 'left'; allowed: None, an action"),
        ([0, 1, [0, 1]], {}, "has 2 actions, and random-4 has 12 states"),
        ([0, 1, np.ones((12, 3))], {}, "the probabilities of state 0 .* sum to 3; allowed: 1"),
        ([0, 1, np.full((12, 2), 0.5)], {}, r"allowed: .*\(12, 3\)"),
        ([0, 1, np.array([[1.5, -0.5, 0.0]] * 12)], {}, "numbers below 0"),
        ([0, 1, lambda state: 1 // abs(state - 5) * 0], {}, "does not say what to do at observation 5"),
        ([0, 1, lambda state: [1.0]], {}, "no probability for each of 3 actions"),
        ([0, 1, 2], {"rule": "sarsa"}, "take rule='q-learning'"),
        ([0, 1, 2], {"tasks": cdq.Goals([1, 2])}, "for one task and a table"),
        ([0, 1, 2], {"env": "CartPole-v1"}, "for one task and a table"),
        ([0, 1, 2], {"env": "cdq/GridWorld-v0", "table": "hash"}, "for one task and a table"),
        (
            [0, 1, 2],
            {"env": "CartPole-v1", "network": cdq.Network(hidden=(8,))},
            "all workers train one network",
        ),
        ([0, 1, 2], {"overlap": True}, "exclude each other"),
    ],
)
def test_policies_are_checked_before_work_starts(policies: Any, how: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        learner(policies, **how)


def test_actions_that_a_state_lacks_are_refused() -> None:
    model = cdq.MDP.from_arrays(np.ones((2, 1, 1)), [[0.0, 1.0]], actions=[[True, False]], time_limit=5)
    with pytest.raises(ConfigError, match="takes action 1 in state 0, which does not have it"):
        learner([1, 1, 1], model)
    assert learner([0, 0, 0], model).learn(STEPS).table.visits.tolist() == [[STEPS, 0]]
