"""Tables P of all sorts, the stepping that is asked for, and the environment's own numbers."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from click.testing import CliRunner
from gymnasium.wrappers import TransformReward

import cdq
from cdq.cli import app
from cdq.errors import ConfigError, ModelError, UnsupportedEnvironment
from tests.envs.tables import Walk, lake, learnt, return_of, table_of_walk

MODEL, COMPILED, PYTHON = "compiled model", "compiled environment", "Python environment"


# ---- P that is none, or cannot be read

ROWS = table_of_walk()


class WithMethod(Walk):
    def P(self, state: int, action: int) -> float:  # type: ignore[override]
        return 1.0


class WithProperty(Walk):
    @property
    def P(self) -> Any:
        raise RuntimeError("not yet")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Walk(3),
        lambda: Walk("P"),
        lambda: Walk({}),
        lambda: Walk(np.full((2, 4, 4), 0.25)),
        lambda: Walk({(s, a): ROWS[s][a] for s in range(4) for a in range(2)}),
        lambda: Walk({0: ROWS[0], 1: ROWS[1]}),
        lambda: Walk({**ROWS, 4: ROWS[0]}),
        lambda: Walk({s: {0: ROWS[s][0]} for s in range(4)}),
        lambda: Walk({s: {a: [(*ROWS[s][a][0], 1)] for a in range(2)} for s in range(4)}),
        lambda: Walk({s: {a: [(*ROWS[s][a][0][:3], 0.5)] for a in range(2)} for s in range(4)}),
        lambda: Walk({s: {a: [(*ROWS[s][a][0][:3], "False")] for a in range(2)} for s in range(4)}),
        lambda: Walk({s: {a: [(0.5, *ROWS[s][a][0][1:])] for a in range(2)} for s in range(4)}),
        lambda: Walk({s: {a: [] for a in range(2)} for s in range(4)}),
        lambda: Walk(ROWS, start=False),
        WithMethod,
        WithProperty,
    ],
)
def test_a_table_that_is_none_is_not_taken(make: Any) -> None:
    agent = learnt(make(), 2000)
    assert (agent.stepping, agent.evaluate().mean_return) == (PYTHON, 1.0)
    assert re.search(r"\bP\b|initial_state_distrib", agent.stepping_reason)
    with pytest.raises((UnsupportedEnvironment, ModelError)):
        cdq.MDP.from_gymnasium(make())


def test_a_table_is_only_read() -> None:
    table: Any = defaultdict(lambda: defaultdict(list))
    table[0][0] = [(1.0, 0, 0.0, False)]
    assert cdq.QLearner(Walk(table), seed=0).stepping == PYTHON
    assert list(table) == [0]
    assert list(table[0]) == [0]


# ---- what is asked for


def test_a_model_that_is_asked_for() -> None:
    env = TransformReward(lake(), lambda reward: 100 * reward)
    agent = learnt(env, stepping="model")
    assert (agent.stepping, agent.stepping_reason) == (MODEL, "stepping='model' says so")
    assert agent.evaluate().mean_return == 1.0
    with pytest.raises(UnsupportedEnvironment, match="no transition table"):
        cdq.QLearner("Blackjack-v1", stepping="model")
    larger: Any = Walk({**ROWS, 4: ROWS[0]})
    larger.initial_state_distrib = np.eye(5)[0]
    with pytest.raises(
        UnsupportedEnvironment, match="P has 5 states and 2 actions, which do not number what is"
    ):
        cdq.QLearner(larger, stepping="model")
    with pytest.raises(UnsupportedEnvironment, match="a vector environment has no model"):
        cdq.QLearner(gymnasium.make_vec("FrozenLake-v1", 2, "sync"), stepping="model")
    for others in ({"table": "hash"}, {"bins": 2}, {"features": cdq.TileCoding()}, {"masks": True}):
        with pytest.raises(ConfigError, match="stepping='model' learns a table of the model's states"):
            cdq.QLearner("FrozenLake-v1", stepping="model", **others)


def test_a_file_remembers_that_a_model_was_asked_for(tmp_path: Path) -> None:
    env = TransformReward(lake(), lambda reward: 100 * reward)
    learnt(env, stepping="model").save(tmp_path / "agent.safetensors")
    again = cdq.QLearner.load(tmp_path / "agent.safetensors", env)
    assert (again.stepping, again.stepping_reason) == (MODEL, "stepping='model' says so")


def test_the_command_line_says_how_and_why(tmp_path: Path) -> None:
    runner, saved, out = CliRunner(), str(tmp_path / "t.safetensors"), tmp_path / "t.json"
    arguments = [
        "train",
        "FrozenLake-v1",
        "--steps",
        "1000",
        "--seed",
        "0",
        "--save",
        saved,
        "--json",
        str(out),
    ]
    shown = runner.invoke(app, [*arguments, "--stepping", "model"]).stdout
    assert "because" in shown
    assert "stepping='model' says so" in shown
    report = json.loads(out.read_text())
    assert (report["stepping"], report["stepping_reason"]) == (MODEL, "stepping='model' says so")
    assert runner.invoke(app, ["evaluate", saved, "--json", str(out)]).exit_code == 0
    assert json.loads(out.read_text())["stepping"] == MODEL


# ---- actions and states by the environment's own numbers


@pytest.mark.parametrize("stepping", ["auto", "python"])
@pytest.mark.parametrize("table", [None, table_of_walk(), table_of_walk((7, 5))])
def test_actions_are_what_step_takes(table: Any, stepping: str) -> None:
    env = Walk(table, first=(7, 5))
    agent = learnt(env, 2000, stepping=stepping)
    assert agent.stepping == (PYTHON if table is None or stepping == "python" else MODEL)
    assert [agent.predict(state) for state in (7, 8, 9)] == [6, 6, 6]
    assert agent.predict(7, [1, 0]) == 5
    assert return_of(agent, env) == agent.evaluate().mean_return == 1.0
    with pytest.raises(ConfigError):
        agent.predict(0)
    again = cdq.QLearner(env, seed=0, step_size=1.0, stepping=stepping)
    again.learn_from([7, 8, 9], [6, 6, 6], [0.0, 0.0, 1.0], [8, 9, 10], [False, False, True], passes=3)
    assert [again.predict(state) for state in (7, 8, 9)] == [6, 6, 6]


def test_actions_of_other_representations() -> None:
    for arguments in ({"table": "hash"}, {"features": cdq.TileCoding(1, 4)}):
        assert learnt(Walk(first=(7, 5)), 2000, **arguments).predict(8) == 6
