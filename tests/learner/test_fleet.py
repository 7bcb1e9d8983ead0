"""Fleets: a list of environments, one for each worker, and one table, or tables of their own beside it."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
import cdq.envs
from cdq.errors import ConfigError
from cdq.mdp import pack_model
from cdq.qfunctions import MergedTable
from cdq.schedules import RescaledLinear, build_law
from cdq.workers import Worker

STEPS = 9216  # whole rounds of three workers, sixteen lanes and windows of 512
HOW: dict[str, Any] = {"sync_every": 512, "seed": 3, "gamma": 0.9}


def robots(n: int = 3, seed: int = 0) -> list[cdq.MDP]:
    return [cdq.MDP.garnet(10, 3, branching=2, seed=seed + k) for k in range(n)]


def lakes() -> list[Any]:
    return ["FrozenLake-v1", gymnasium.make("FrozenLake-v1", is_slippery=False), "FrozenLake-v1"]


def test_each_worker_learns_in_its_own_environment() -> None:
    """An action that pays in one environment alone pays the part of it that its visits have."""
    pays = [cdq.MDP.from_arrays(np.ones((1, 1, 1)), [[reward]]) for reward in (0.0, 3.0, 6.0)]
    agent = cdq.QLearner(pays, gamma=0.0, sync_every=16, seed=0, exploration=1.0).learn(48 * 100)
    assert agent.settings.workers == 3
    assert agent.table.values[0, 0] == pytest.approx(3.0)
    assert agent.name.startswith("3 environments")


def test_two_that_are_alike_are_one_with_two_workers() -> None:
    one, model = cdq.QLearner("FrozenLake-v1", workers=2, seed=0).learn(20_000), "FrozenLake-v1"
    assert cdq.QLearner([model, model], seed=0).learn(20_000).table.digest() == one.table.digest()


@pytest.mark.parametrize("merge", ["pooled", "mean", cdq.Personal(50.0), cdq.Personal(0.0, memory=9)])
@pytest.mark.parametrize("kind", ["models", "compiled", "linear"])
def test_processes_come_to_the_same_bits(kind: str, merge: Any) -> None:
    poles = [gymnasium.make("cdq/CartPole-v0", length=length) for length in (0.3, 0.5, 0.9)]
    grids = [gymnasium.make("cdq/GridWorld-v0", shape=(5, 5), slip=slip) for slip in (0.0, 0.1, 0.4)]
    envs, how = {"models": (robots(), {}), "compiled": (grids, {}), "linear": (poles, {"bins": 4})}[kind]
    digests = {
        comm: cdq.QLearner(envs, comm=comm, merge=merge, **how, **HOW).learn(STEPS).table.digest()
        for comm in ("inprocess", "zmq")
    }
    assert len(set(digests.values())) == 1


@pytest.mark.parametrize("merge", ["pooled", cdq.Personal(50.0)])
def test_files_and_checkpoints_go_on_to_the_bit(merge: Any, tmp_path: Path) -> None:
    agent = cdq.QLearner(lakes(), merge=merge, checkpoint=tmp_path / "run", **HOW).learn(STEPS)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    agent.save(tmp_path / "fleet.cdq")
    for other in (
        cdq.QLearner.load(tmp_path / "fleet.cdq"),
        cdq.QLearner.load(tmp_path / "fleet.cdq", lakes()),
        copy.deepcopy(agent),
    ):
        assert other.table.digest() == agent.table.digest()
        assert other.settings.merge == merge
    resumed = cdq.QLearner.resume(tmp_path / "copy").learn(STEPS)
    assert resumed.table.digest() == agent.learn(STEPS).table.digest()


def test_a_file_of_models_says_what_to_give(tmp_path: Path) -> None:
    cdq.QLearner(robots(), **HOW).learn(STEPS).save(tmp_path / "fleet.cdq")
    with pytest.raises(ConfigError, match=r"which it does not hold: give the list of them, env=\[\.\.\.\]"):
        cdq.QLearner.load(tmp_path / "fleet.cdq")
    assert cdq.QLearner.load(tmp_path / "fleet.cdq", robots()).steps == STEPS
    with pytest.raises(cdq.CdqError):
        cdq.QLearner.load(tmp_path / "fleet.cdq", robots(seed=1))


# ---- tables of their own


def test_a_worker_that_keeps_to_itself_is_one_that_is_alone() -> None:
    """To the bit: a table of its own, with nothing of the others', is that of a worker with these streams."""
    models = robots()
    agent = cdq.QLearner(models, merge=cdq.Personal(0.0), num_envs=4, exploration=0.3, **HOW).learn(6144)
    law = build_law(RescaledLinear(0.9), 0, 0.3, "float64")
    for rank, model in enumerate(models):
        merged = MergedTable(10, 3, "float64", 0.0)
        stop = np.zeros(1, np.int32)
        alone = Worker(
            pack_model(model, "float64"),
            merged,
            is_keeper=True,
            gamma=0.9,
            seed=3,
            rank=rank,
            session=0,
            num_envs=4,
            stop=stop,
        )
        for _ in range(4):
            alone.run(law, 128, 0.3, 0.3)
            alone.commit_alone()
        assert agent.tables[rank].values.tobytes() == merged.values.tobytes()
        assert agent.tables[rank].visits.tobytes() == merged.visits.tobytes()


def test_an_infinite_prior_is_the_common_table() -> None:
    agent = cdq.QLearner(robots(), merge=cdq.Personal(np.inf), **HOW).learn(STEPS)
    for rank in range(3):
        assert agent.tables[rank].values.tolist() == agent.tables["fleet"].values.tolist()


def test_the_common_table_is_that_of_the_same_actions() -> None:
    """With nothing but random actions both kinds of merging see the same transitions."""
    how = {**HOW, "exploration": 1.0}
    personal = cdq.QLearner(robots(), merge=cdq.Personal(10.0), **how).learn(STEPS)
    pooled = cdq.QLearner(robots(), merge="pooled", **how).learn(STEPS)
    assert personal.tables["fleet"].values.tobytes() == pooled.table.values.tobytes()


def test_actions_values_and_evaluations_are_of_a_worker() -> None:
    agent = cdq.QLearner(lakes(), merge=cdq.Personal(20.0), **HOW).learn(20 * STEPS)
    played = agent.evaluate(200, seed=0)
    assert list(played) == [0, 1, 2]
    assert played[1].mean_return == 1.0  # without slips
    for rank in range(3):
        assert agent.predict(14, rank) == agent.tables[rank].values[14].argmax()
        assert agent.action_values(14, rank).tolist() == agent.tables[rank].values[14].tolist()
        assert agent.policy(rank)([13, 14]).tolist() == agent.predict([13, 14], rank).tolist()
    assert agent.action_values(14).tolist() == agent.tables["fleet"].values[14].tolist()
    report = agent.report()
    assert list(report["agents"]) == [0, 1, 2]
    assert report["mean_return"] == pytest.approx(np.mean([one.mean_return for one in played.values()]))
    with pytest.raises(ConfigError, match=r"there is no environment 3; allowed: 0 to 2"):
        agent.predict(14, 3)


def test_environments_of_several_kinds_learn_one_table() -> None:
    model, stepped = "FrozenLake-v1", gymnasium.make("FrozenLake-v1")
    agent = cdq.QLearner([model, model], stepping="python", **HOW).learn(512)
    assert agent.report(play=False)["workers_are"].startswith("processes")
    stepped.close()


def test_what_is_lost_or_wrong_on_its_way_is_right_at_home() -> None:
    """Whatever becomes of what workers send, their own tables are those of workers that are alone."""
    how = {**HOW, "num_envs": 4, "exploration": 0.3}
    alone = cdq.QLearner(robots(), merge=cdq.Personal(0.0), **how).learn(6144)
    for conditions in (cdq.Federation(dropped=0.5), cdq.Federation(corrupted={1: 5.0})):
        agent = cdq.QLearner(robots(), merge=cdq.Personal(0.0), federation=conditions, **how).learn(6144)
        for rank in range(3):
            assert agent.tables[rank].values.tobytes() == alone.tables[rank].values.tobytes()
            assert agent.tables[rank].visits.tobytes() == alone.tables[rank].visits.tobytes()
        assert agent.tables["fleet"].values.tolist() != alone.tables["fleet"].values.tolist()


# ---- refusals


@pytest.mark.parametrize(
    ("envs", "how", "said"),
    [
        ([], {}, "holds an environment, or what makes one, for each worker"),
        ([["FrozenLake-v1"]], {}, "holds an environment, or what makes one, for each worker"),
        (["FrozenLake-v1"] * 2, {"workers": 3}, "there are 2 environments and 3 workers"),
        (["FrozenLake-v1", "Taxi-v4"], {}, r"environment 1 \(Taxi-v4\) has other observations or actions"),
        ("FrozenLake-v1", {"merge": cdq.Personal(), "workers": 2}, "give a list of environments"),
        (["FrozenLake-v1"] * 2, {"merge": cdq.Personal(), "rule": "sarsa"}, "learns by rule 'q-learning'"),
        (["FrozenLake-v1"] * 2, {"merge": cdq.Personal(), "table": "hash"}, "with a dense table or features"),
    ],
)
def test_lists_are_checked_before_work_starts(envs: Any, how: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cdq.QLearner(envs, **how)


@pytest.mark.parametrize(
    "given", [{"prior": -1}, {"prior": "1"}, {"prior": np.nan}, {"memory": 0}, {"prior": True}]
)
def test_personal_is_checked(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="allowed: a number of"):
        cdq.Personal(**given)
