"""Learners whose tables get a row for each state that is met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import cdq
import cdq.comm.inprocess
import cdq.envs
from cdq.envs import opening
from cdq.errors import ConfigError, FileError, TableError, UnsupportedEnvironment
from cdq.storage.files import read_tensors, write_tensors
from cdq.testing import run_in_threads

GRID: dict[str, Any] = {"env": "cdq/GridWorld-v0", "num_envs": 4, "seed": 3}


def by_key(agent: cdq.QLearner) -> dict[int, Any]:
    table = agent.table
    keys = range(table.n_states) if table.keys is None else table.keys.tolist()
    rows = zip(keys, table.values.tolist(), table.visits.tolist(), strict=True)
    return {key: (values, visits) for key, values, visits in rows if any(visits)}


class Corridor(gymnasium.Env[Any, Any]):
    """A walk over 10^15 places, of which few are ever met; their observations are no index."""

    def __init__(self, size: int = 10**5) -> None:
        self.observation_space = spaces.Tuple([spaces.Discrete(size)] * 3)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._place = 0
        return (0, 0, 0), {}

    def step(self, action: Any) -> Any:
        self._place += 1 if action == 1 else -1
        place = abs(self._place)
        return (place % 7, place, 3 * place), float(place == 5), place == 5, False, {}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"dtype": "float32", "initial_value": 1.0}, {"merge": "max"}])
def test_a_hashed_learner_is_the_dense_one_by_key(
    workers: int, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_LISTED", 0)  # else the dense one would learn the model
    dense, hashed = (
        cdq.QLearner(**GRID, workers=workers, table=table, **settings).learn(30_000)
        for table in ("dense", "hash")
    )
    assert by_key(dense) == by_key(hashed)
    assert dense.evaluate(200) == hashed.evaluate(200)
    assert [dense.predict(state) for state in range(64)] == [hashed.predict(state) for state in range(64)]


def test_ranks_and_threads_give_the_same_bits() -> None:
    together = cdq.QLearner(**GRID, workers=3, table="hash").learn(20_000).table.digest()
    comms = cdq.comm.inprocess.InProcessCommunicator.connect("inprocess", 3, 20.0)
    ranks = run_in_threads(
        comms, lambda comm: cdq.QLearner(**GRID, comm=comm, table="hash").learn(20_000).table.digest()
    )
    assert set(ranks) == {together}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_resumed_run_is_the_one_that_went_on(workers: int, tmp_path: Path) -> None:
    arguments = {**GRID, "workers": workers, "table": "hash", "sync_every": 300}
    whole = cdq.QLearner(**arguments, checkpoint=tmp_path / "whole").learn(9_000).learn(9_000)
    cdq.QLearner(**arguments, checkpoint=tmp_path / "half").learn(9_000)
    resumed = cdq.QLearner.resume(tmp_path / "half", workers=workers).learn(9_000)
    assert resumed.table.digest() == whole.table.digest()
    assert resumed.table.keys is not None
    assert whole.table.keys is not None
    assert resumed.table.keys.tolist() == whole.table.keys.tolist()


def test_files_hold_the_keys_in_the_order_of_the_rows(tmp_path: Path) -> None:
    agent, path = cdq.QLearner(**GRID, table="hash").learn(5_000), tmp_path / "table.safetensors"
    agent.save(path)
    tensors, header = read_tensors(path)
    assert agent.table.keys is not None
    assert tensors["keys"].tolist() == agent.table.keys.tolist()
    loaded = cdq.QLearner.load(path)
    assert loaded.table.digest() == agent.table.digest()
    assert loaded.learn(1_000).steps >= 6_000
    agent.table.save(tmp_path / "alone.safetensors")
    assert cdq.QTable.load(tmp_path / "alone.safetensors").digest() == agent.table.digest()
    for keys, error in (
        (tensors["keys"][:-1], TableError),
        (np.zeros_like(tensors["keys"]), TableError),
        (None, FileError),
    ):
        changed = {name: tensor for name, tensor in tensors.items() if name != "keys"}
        write_tensors(path, changed if keys is None else {**changed, "keys": keys}, header)
        with pytest.raises(error):
            cdq.QLearner.load(path)


def test_environments_with_more_states_than_memory() -> None:
    with pytest.raises(ConfigError, match="too many states .*; use table='hash'"):
        cdq.QLearner(Corridor(), seed=0)
    agent = cdq.QLearner(Corridor(), table="hash", seed=0, gamma=0.9, step_size=0.2, exploration=0.5).learn(
        5_000
    )
    table = agent.table
    assert table.keys is not None
    assert table.n_states == len(set(table.keys.tolist())) <= 6
    assert agent.predict((4, 4, 12)) in (0, 1)
    assert agent.report()["representation"].startswith("hashed table of ")
    unknown = cdq.QLearner(Corridor(2**40), table="hash", seed=0).learn(200)  # 2^120 states: keys are hashes
    assert unknown.table.n_states <= 6


def test_an_empty_table_can_be_asked_saved_and_loaded(tmp_path: Path) -> None:
    agent = cdq.QLearner(**GRID, table="hash", initial_value=2.0)
    assert agent.table.values.shape == (0, 4)
    assert agent.predict(3) == 0
    assert agent.evaluate(10).mean_length > 0
    agent.save(tmp_path / "empty.safetensors")
    assert cdq.QLearner.load(tmp_path / "empty.safetensors").learn(100).table.n_states > 0


def test_what_hashed_tables_cannot_be() -> None:
    with pytest.raises(ConfigError, match="overlap and a hashed table exclude each other"):
        cdq.QLearner(**GRID, table="hash", overlap=True)
    with pytest.raises(UnsupportedEnvironment, match="have no number each"):
        cdq.QLearner("CartPole-v1", table="hash", seed=0)
