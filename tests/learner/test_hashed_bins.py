"""Tables with a row for each cell that was met: `bins` together with ``table="hash"``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import cdq
import cdq.comm.inprocess
from cdq.cli import main
from cdq.core.envs.cells import Cells
from cdq.errors import ConfigError, EnvironmentFailure, TableError
from cdq.features import FourierBasis, TileCoding
from cdq.testing import run_in_threads

CAR: dict[str, Any] = {"env": "MountainCar-v0", "bins": (8, 6), "seed": 3, "exploration": 1.0}


class Wide(gymnasium.Env[Any, Any]):
    """Its observations are many numbers, of which an action sets one."""

    action_space = spaces.Discrete(2)

    def __init__(self, width: int = 90) -> None:
        self.observation_space = spaces.Box(0, 1, (width,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._seen = np.zeros(self.observation_space.shape, np.float32)  # type: ignore[arg-type]
        self._steps = 0
        return self._seen.copy(), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        self._seen[-self._steps] = action
        return self._seen.copy(), float(action), self._steps == 5, False, {}


def makes(env: str) -> Any:
    """Return what makes an environment: an id, or vector environments of that id."""
    kind, _, env_id = env.rpartition(" ")
    return (lambda: gymnasium.make_vec(env_id, 3, vectorization_mode="sync")) if kind else env_id


@pytest.mark.parametrize("env", ["MountainCar-v0", "CartPole-v1", "vector MountainCar-v0"])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"dtype": "float32", "initial_value": 1.0}, {"merge": "max"}])
def test_a_cell_learns_what_its_row_of_the_whole_table_does(
    env: str, workers: int, settings: dict[str, Any]
) -> None:
    if "vector" in env and workers > 1:
        env, workers = env.rpartition(" ")[2], 2
    steps = 900 if "vector" in env else 20_000
    whole, met = (
        cdq.QLearner(makes(env), seed=0, workers=workers, bins=8, table=table, **settings).learn(steps)
        for table in ("dense", "hash")
    )
    assert met.table.keys is not None
    rows = met.table.keys.astype(np.int64)
    assert met.table.values.tolist() == whole.table.values[rows].tolist()
    assert met.table.visits.tolist() == whole.table.visits[rows].tolist()
    assert met.table.visits.sum() == whole.table.visits.sum() > 0
    assert met.representation.endswith("bins 8")
    if "vector" not in env:
        assert met.evaluate(50) == whole.evaluate(50)
    whole.close()
    met.close()


def test_an_environment_in_python_is_cut_alike() -> None:
    whole, met = (
        cdq.QLearner(**CAR, stepping="python", table=table).learn(2000) for table in ("dense", "hash")
    )
    assert met.table.keys is not None
    assert met.table.values.tolist() == whole.table.values[met.table.keys.astype(np.int64)].tolist()
    assert met.table.n_states > 4


@pytest.mark.parametrize("kind", ["one", "vector"])
def test_what_the_message_on_too_many_cells_advises_is_learnt(kind: str) -> None:
    make = {"one": Wide, "vector": lambda: gymnasium.vector.SyncVectorEnv([Wide] * 2)}[kind]
    if kind == "one":
        with pytest.raises(ConfigError, match="too many states .*; use table='hash'"):
            cdq.QLearner(make, bins=4)
    agent = cdq.QLearner(make, bins=4, table="hash", seed=0).learn(4000)
    assert agent.evaluate(10).mean_return == 5
    assert agent.table.n_states <= 32  # of 4^90
    agent.close()
    assert cdq.QLearner(make, seed=0).learn(100).representation.startswith("linear, TileCoding")


def test_ranks_and_threads_give_the_same_bits() -> None:
    together = cdq.QLearner(**CAR, workers=3, table="hash").learn(20_000).table.digest()
    comms = cdq.comm.inprocess.InProcessCommunicator.connect("inprocess", 3, 20.0)
    ranks = run_in_threads(
        comms, lambda comm: cdq.QLearner(**CAR, comm=comm, table="hash").learn(20_000).table.digest()
    )
    assert set(ranks) == {together}


def test_processes_give_the_same_bits() -> None:
    digests = {
        cdq.QLearner(**CAR, workers=2, table="hash", comm=comm).learn(3000).table.digest()
        for comm in ("inprocess", "zmq")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("stepping", ["auto", "python"])
def test_files_and_checkpoints_hold_it(stepping: str, tmp_path: Path) -> None:
    arguments = {**CAR, "table": "hash", "stepping": stepping, "sync_every": 200}
    agent = cdq.QLearner(**arguments, checkpoint=tmp_path / "half").learn(1000)
    agent.save(tmp_path / "table.safetensors")
    loaded = cdq.QLearner.load(tmp_path / "table.safetensors")
    assert loaded.table.digest() == agent.table.digest()
    assert loaded.learn(100).steps >= 1100
    resumed = cdq.QLearner.resume(tmp_path / "half").learn(1000)
    assert resumed.steps >= 2000
    if stepping == "auto":
        whole = cdq.QLearner(**arguments, checkpoint=tmp_path / "whole").learn(1000).learn(1000)
        assert resumed.table.digest() == whole.table.digest()
    for changes in ({"bins": (6, 8)}, {"table": "dense"}, {"bins": None, "table": "dense"}):
        other = cdq.QLearner(**{**arguments, **changes})
        other.save(tmp_path / "other.safetensors")
        assert cdq.QLearner.load(tmp_path / "other.safetensors").table.digest() != agent.table.digest()


def test_a_table_of_other_bins_is_refused(tmp_path: Path) -> None:
    with closing(cdq.QLearner(**CAR, table="hash").learn(500)) as agent:
        agent.save(tmp_path / "table.safetensors")
    with pytest.raises((TableError, ConfigError), match="bins|tiles"):
        cdq.QLearner.load(tmp_path / "table.safetensors", "Acrobot-v1")


def test_prediction_and_logs_read_vectors() -> None:
    agent = cdq.QLearner("MountainCar-v0", bins=4, table="hash", seed=0, step_size=1.0, gamma=0.5)
    first, last = np.array([-1.2, 0.0]), np.array([0.6, 0.07])
    agent.learn_from([first, last], [2, 1], [3.0, 5.0], [last, first], [True, True])
    assert agent.table.n_states == 2
    assert (agent.predict(first), agent.predict(last), agent.predict(np.array([0.0, 0.0]))) == (2, 1, 0)
    assert agent.table.n_states == 2
    with pytest.raises(ConfigError, match="is not finite"):
        agent.predict(np.array([np.nan, 0.0]))
    with pytest.raises(ConfigError, match="3 numbers, not 2"):
        agent.predict(np.zeros(3))


def test_an_observation_that_is_not_finite_is_a_failure() -> None:
    class Broken(Wide):
        def step(self, action: Any) -> Any:
            return self._seen * np.nan, 0.0, False, False, {}

    for make in (Broken, lambda: gymnasium.vector.SyncVectorEnv([Broken])):
        agent = cdq.QLearner(make, bins=2, table="hash", seed=0)
        with pytest.raises(EnvironmentFailure, match="a number that is not finite"):
            agent.learn(10)


def test_the_command_line_knows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "car.safetensors")
    learn = ["train", "MountainCar-v0", "--bins", "8,6", "--table", "hash", "--steps", "5000", "--seed", "0"]
    assert main([*learn, "--save", path]) == 0
    assert "hashed table of" in capsys.readouterr().out
    assert main(["evaluate", path, "--episodes", "3"]) == 0


def test_cells_have_one_key_each() -> None:
    cut = TileCoding(1, (3, 4)).bind([0, 0], [3, 4])
    cells = Cells(cut, 1, False)
    keys = {cells.key_of(np.array([x, y], np.float64)) for x in (0, 1.5, 2, 9) for y in (-7, 1, 2, 3.5)}
    assert keys == set(range(12))
    hashed = Cells(cut, 1, True)
    assert len({hashed.key_of(np.array([x, y], np.float64)) for x in range(3) for y in range(4)}) == 12
    assert cells.key_of(np.array([np.inf, 0])) is None
    for wrong in (FourierBasis(2).bind([0], [1]), TileCoding(2, 3).bind([0], [1])):
        with pytest.raises(ValueError, match="no single tiling"):
            Cells(wrong, 1, False)
