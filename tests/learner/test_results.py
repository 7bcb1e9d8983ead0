"""What a learner hands out: parts that it has, and parts that it lacks."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import cdq

KINDS: list[dict[str, Any]] = [
    {"env": "FrozenLake-v1"},
    {"env": "CartPole-v1"},
    {"env": "CartPole-v1", "network": cdq.Network((8,))},
    {"env": "FrozenLake-v1", "tasks": cdq.Goals([1])},
    {"env": "cdq/Signals-v0"},
    {"env": ["FrozenLake-v1"] * 2},
    {"env": "cdq/TicTacToe-v0", "opponent": "self"},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_part_that_is_not_learnt_is_no_attribute(kind: dict[str, Any]) -> None:
    """Debuggers, notebooks and mocks look at every attribute: a part is there, or `hasattr` is False."""
    runs: list[cdq.RunView] = []
    agent = cdq.QLearner(**kind, seed=0).learn(500, callbacks=[runs.append])
    several = "tasks" in kind or kind["env"] == "cdq/Signals-v0"
    for what in (agent, runs[-1]):
        inspect.getmembers(what)
        assert hasattr(what, "network") is ("network" in kind)
        assert hasattr(what, "table") is ("network" not in kind)
    assert hasattr(agent, "tables") is several
