"""Environments that are stepped: ranks of MPI come to what threads come to, and processes beside one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

import cdq
from tests.envs.agents import Corridors, Equal, Turns
from tests.mpi import pool

BY_VISITS: dict[str, Any] = {"rule": cdq.Hysteretic(0.01), "merge": "visits"}
TABLES: dict[str, dict[str, Any]] = {
    "table": {"env": "cdq/RiverSwim-v0"},
    "model, SARSA": {"env": "FrozenLake-v1", "rule": "sarsa"},
    "model, Expected SARSA": {"env": "FrozenLake-v1", "rule": "expected-sarsa", "dtype": "float32"},
    "model, Double Q": {"env": "FrozenLake-v1", "rule": "double-q"},
    "hash, Double Q": {"env": "cdq/GridWorld-v0", "table": "hash", "rule": "double-q"},
    "tiles, SARSA": {"env": "MountainCar-v0", "features": cdq.TileCoding(4, 4), "rule": "sarsa"},
    "hash": {"env": "cdq/GridWorld-v0", "table": "hash"},
    "tiles": {"env": "MountainCar-v0", "features": cdq.TileCoding(4, 4), "dtype": "float32"},
    "fourier": {"env": "MountainCar-v0", "features": cdq.FourierBasis(2), "step_size": 0.1},
    "agents": {"env": "cdq/Signals-v0", "num_envs": 2, "env_kwargs": {"rows": 2, "columns": 2}},
    "agents, shared, hash": {"env": "cdq/Signals-v0", "num_envs": 2, "groups": "shared", "table": "hash"},
    "nodes": {"env": "cdq/Routing-v0", "num_envs": 2, "gamma": 1.0, "step_size": 0.5},
    "game": {"env": "cdq/TicTacToe-v0", "opponent": "self", "table": "hash"},
    "game, model": {"env": "cdq/Nim-v0", "opponent": "self"},
    "Python": {"env": "Blackjack-v1"},
    "Python, game": {"env": "pettingzoo.classic.tictactoe_v3", "opponent": "self", "table": "hash"},
    "Python, hash": {"env": "Blackjack-v1", "table": "hash"},
    "Python, agents": {"env": Corridors},
    "Python, agents, hash": {"env": Turns, "table": "hash"},
    "Python, groups, hysteretic": {"env": Equal, "groups": {"g": ["n0", "n2"]}, **BY_VISITS},
}
RANKS, STEPS = 3, 6000


def digests(kind: str, comm: Any, workers: int | None = None) -> list[str]:
    arguments = {**TABLES[kind], "comm": comm, "workers": workers}
    agent = cdq.QLearner(**arguments, seed=0, sync_every=200)
    return [agent.learn(STEPS).table.digest() for _ in range(2)]


@pytest.mark.parametrize("kind", TABLES)
def test_one_result(kind: str) -> None:
    elsewhere = "zmq" if kind.startswith("Python") else "inprocess"
    expected = digests(kind, elsewhere, RANKS)
    assert pool.run(RANKS, partial(digests, kind)) == [expected] * RANKS
