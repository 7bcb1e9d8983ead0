"""Learners of traffic signals and packet routing: compiled agents, and nodes of a network."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
import cdq.envs
from cdq.envs.routing import Routing
from cdq.envs.signals import SignalsEnv, learnt, longest_queue, mean_queued
from cdq.errors import ConfigError, UnsupportedEnvironment

CITY = {"rows": 2, "columns": 2}
SIGNALS = {"env": "cdq/Signals-v0", "env_kwargs": CITY, "num_envs": 2, "seed": 3, "gamma": 0.9}
ROUTING = {"env": "cdq/Routing-v0", "num_envs": 2, "seed": 3, "gamma": 1.0, "step_size": 0.5}


def learner(**given: Any) -> cdq.QLearner:
    return cdq.QLearner(**{**SIGNALS, **given})


# ---- ways to a learner


@pytest.mark.parametrize(
    "env",
    [
        cdq.Signals(**CITY),
        partial(cdq.Signals, **CITY),
        gymnasium.make("cdq/Signals-v0", **CITY),
        lambda: gymnasium.make("cdq/Signals-v0", **CITY),
    ],
    ids=["given", "made", "of Gymnasium", "made by Gymnasium"],
)
def test_all_ways_to_a_city_are_one(env: Any) -> None:
    expected, found = learner(), learner(env=env, env_kwargs=None)
    assert found.stepping == "compiled environment"
    assert found.agents == ("n0", "n1", "n2", "n3")
    assert found.learn(4000).table.digest() == expected.learn(4000).table.digest()


@pytest.mark.parametrize("groups", ["own", "shared", {"west": ["n0", "n2"]}])
def test_pettingzoo_s_face_is_what_is_compiled(groups: Any) -> None:
    """Vehicles that surely come, and values that differ, leave nothing to chance but the streams of unused numbers."""
    city = {**CITY, "rates": (1.0, 0.0)}
    rows = {"own": 200, "shared": 50}.get(groups if isinstance(groups, str) else "", 150)
    start = np.random.default_rng(0).random((rows, 2))
    ways = [
        cdq.QLearner(
            cdq.Signals(**city, time_limit=70), groups=groups, stepping=stepping, initial_table=start, seed=0,
            exploration=0.0, num_envs=1, sync_every=100, gamma=0.9,
        )
        for stepping in ("auto", "python")
    ]  # fmt: skip
    assert [agent.stepping for agent in ways] == ["compiled environment", "multi-agent environment"]
    compiled, python = (agent.learn(4 * 500).table for agent in ways)
    assert compiled.digest() == python.digest()
    assert compiled.visits.sum() == python.visits.sum() == 4 * 500


def test_agents_have_tables_and_are_evaluated_by_name() -> None:
    agent = learner().learn(20_000)
    assert list(agent.tables) == ["n0", "n1", "n2", "n3"]
    assert np.array_equal(agent.tables["n3"].values, agent.table.values[150:])
    assert agent.predict(7, "n3") == agent.tables["n3"].values[7].argmax()
    found = agent.evaluate(5)
    assert list(found) == ["n0", "n1", "n2", "n3"]
    assert all(one.episodes == 5 and one.mean_length == 1000 for one in found.values())
    assert found == agent.evaluate(5, seed=agent.settings.seed) or found["n0"].mean_return < 0


def test_copies_of_a_city_are_lanes() -> None:
    """A step is one of an agent; num_envs counts cities, also in a file."""
    agent = learner(num_envs=3, workers=2).learn(24_000)
    assert agent.settings.num_envs == 3
    assert agent.steps == 24_000
    assert agent.table.visits.sum() == 24_000


# ---- files, checkpoints, backends


@pytest.mark.parametrize(
    "arguments", [SIGNALS, {**SIGNALS, "groups": "shared"}, ROUTING], ids=["own", "shared", "routing"]
)
def test_files_and_checkpoints_go_on(arguments: dict[str, Any], tmp_path: Path) -> None:
    whole = cdq.QLearner(**arguments, workers=3, sync_every=200).learn(24_000)
    whole.learn(24_000)
    first = cdq.QLearner(**arguments, workers=3, sync_every=200, checkpoint=tmp_path / "run")
    first.learn(24_000)
    again = cdq.QLearner.resume(tmp_path / "run")
    assert again.settings.num_envs == 2
    assert again.learn(24_000).table.digest() == whole.table.digest()
    again.save(tmp_path / "table.cdq")
    loaded = cdq.QLearner.load(tmp_path / "table.cdq")
    assert loaded.table.digest() == whole.table.digest()
    assert list(loaded.tables) == list(whole.tables)


@pytest.mark.parametrize("arguments", [SIGNALS, {**SIGNALS, "groups": "shared", "table": "hash"}, ROUTING])
def test_ranks_over_zmq_have_the_bits_of_threads(arguments: dict[str, Any]) -> None:
    tables = [
        cdq.QLearner(**arguments, workers=3, sync_every=500, comm=comm).learn(12_000).table
        for comm in ("inprocess", "zmq")
    ]
    assert tables[0].digest() == tables[1].digest()


# ---- networks


def test_nodes_have_tables_of_their_neighbours() -> None:
    agent = cdq.QLearner(**ROUTING, exploration=0.0).learn(200_000)
    tables = agent.tables
    assert tables["n0"].values.shape == (36, 2)
    assert tables["n7"].values.shape == (36, 4)
    assert (agent.table.values <= 0).all()
    assert tables["n0"].values[1].max() > -3  # a neighbour
    assert agent.predict(1, "n0") == agent.predict(1)
    unused = agent.table.visits.reshape(36, 36, 4)[0, :, 2:]
    assert not unused.any()


def test_a_network_of_three_learns_the_way() -> None:
    agent = cdq.QLearner(
        "cdq/Routing-v0", env_kwargs={"links": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)], "load": 0.1},
        gamma=1.0, step_size=0.5, exploration=0.3, seed=0,
    ).learn(50_000)  # fmt: skip
    network = Routing([(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
    for node in range(5):
        for end in set(range(5)) - {node}:
            near = network.neighbours[node][agent.predict(end, f"n{node}")]
            assert network.distances[near, end] == network.distances[node, end] - 1


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rows": 0}, "rows is 0; allowed: a whole number of at least 1 and at most 64"),
        ({"columns": 65}, "columns is 65"),
        ({"rows": 2.5}, r"rows is 2\.5"),
        ({"rates": 0.3}, r"rates is 0\.3; allowed: two numbers from 0 to 1"),
        ({"rates": (0.3, 1.1)}, r"rates is 1\.1; allowed: numbers from 0 to 1"),
        ({"rates": (0.3, float("nan"))}, "rates is nan"),
        ({"rates": ("a", "b")}, "rates is 'a'"),
        ({"rates": "ab"}, "rates is 'ab'"),
        ({"reward": "team"}, "reward is 'team'; allowed: 'local' or 'global'"),
        ({"time_limit": 0}, "time_limit is 0"),
    ],
)
def test_cities_that_are_none(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cdq.Signals(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"links": []}, r"links is \[\]; allowed: pairs of nodes"),
        ({"links": "ab"}, "links is 'ab'"),
        ({"links": 3}, "links is 3"),
        ({"links": [(0, 1, 2)]}, r"a link is \(0, 1, 2\); allowed: a pair of nodes"),
        ({"links": [(0, 0)]}, "joins node 0 to itself"),
        ({"links": [(0, 2)]}, "lead nowhere from node 0 to node 1; join all nodes"),
        ({"links": [(0, 1), (2, 3)]}, "lead nowhere from node 0 to node 2"),
        ({"links": [(0, -1)]}, "a node of a link is -1"),
        ({"links": [(0, 4096)]}, "a node of a link is 4096"),
        ({"links": [(0, node) for node in range(1, 80)]}, "join a node to 79 others; allowed: up to 64"),
        ({"load": 0.0}, "load is 0.0; allowed: a number above 0"),
        ({"load": 101}, "load is 101"),
        ({"load": float("inf")}, "load is inf"),
        ({"ticks": 0}, "ticks is 0"),
        ({"packets": 0}, "packets is 0"),
        ({"packets": 10**9}, "packets is 1000000000"),
    ],
)
def test_networks_that_are_none(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Routing(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"groups": {"west": ["n0", "n9"]}}, "'n9'"),
        ({"groups": {"a": ["n0"], "b": ["n0"]}}, "'n0' is in the groups"),
        ({"bins": 3}, "bins"),
        ({"features": cdq.TileCoding(2, 2)}, "features"),
        ({"stepping": "model"}, "stepping"),
        ({"opponent": "self"}, "opponent"),
    ],
)
def test_arguments_that_do_not_go_with_a_city(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, UnsupportedEnvironment), match=words):
        learner(**arguments)


def test_groups_do_not_go_with_a_network() -> None:
    with pytest.raises(ConfigError, match="groups are of several agents"):
        cdq.QLearner(**ROUTING, groups="shared")


def test_a_policy_that_was_learnt_is_followed() -> None:
    city = cdq.Signals(**CITY)
    agent = learner(groups="shared", num_envs=8).learn(200_000)
    assert mean_queued(city, learnt(agent), 1000) < 1.1 * mean_queued(city, longest_queue, 1000)
    assert isinstance(city.env.unwrapped, SignalsEnv)
