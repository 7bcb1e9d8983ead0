"""Reasons that learners give: for the way in which they step, and for what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError

NETWORK = cdq.Network((8,))
IN_PYTHON = "learnt by stepping, and {} has its step in Python"


@pytest.mark.parametrize(
    ("env", "how", "reason"),
    [
        ("CartPole-v0", {"network": NETWORK}, f"a network is {IN_PYTHON.format('CartPoleEnv')}"),
        (
            "CartPole-v0",
            {"features": cdq.TileCoding(4, 4)},
            f"features are {IN_PYTHON.format('CartPoleEnv')}",
        ),
        ("MountainCar", {"bins": 4}, f"bins are {IN_PYTHON.format('MountainCarEnv')}; by its full id, "),
        ("Taxi-v4", {"table": "hash"}, f"a hashed table is {IN_PYTHON.format('TaxiEnv')}"),
        ("CartPole-v1", {"network": NETWORK}, "cdq/CartPole-v0 is CartPole-v1, compiled"),
        ("CartPole-v0", {"stepping": "python", "network": NETWORK}, "stepping='python' says so"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*out of date")
def test_the_reason_names_what_is_learnt(env: str, how: Any, reason: str) -> None:
    found = cdq.QLearner(env, seed=0, **how).stepping_reason
    assert found == reason if not reason.endswith(", ") else found.startswith(reason)


@pytest.mark.parametrize(
    ("short", "full"),
    [("CartPole", "CartPole-v1"), ("MountainCar", "MountainCar-v0"), ("Acrobot", "Acrobot-v1")],
)
@pytest.mark.parametrize("how", [{"network": NETWORK}, {}])
@pytest.mark.filterwarnings("ignore:Using the latest versioned environment")
def test_an_id_without_a_version_is_told_of_the_faster_one(short: str, full: str, how: Any) -> None:
    agent = cdq.QLearner(short, seed=0, **how)
    assert agent.stepping == "Python environment"
    assert agent.stepping_reason.endswith(f"; by its full id, {full}, it is compiled")
    assert "full id" not in cdq.QLearner(short, seed=0, stepping="python", **how).stepping_reason
    assert cdq.QLearner(full, seed=0, **how).stepping == "compiled environment"


@pytest.mark.parametrize("how", [{"network": NETWORK}, {"features": cdq.TileCoding()}, {"bins": 3}])
def test_what_excludes_a_model_is_named(how: Any) -> None:
    with pytest.raises(ConfigError, match="leave out features, network, bins, table and masks"):
        cdq.QLearner("CartPole-v1", stepping="model", **how)


@pytest.mark.parametrize("given", [cdq.Network(), cdq.Network((8,)), "module:function", lambda: None])
@pytest.mark.parametrize(
    ("how", "has"),
    [({"network": NETWORK}, "a network"), ({}, "a table or features"), ({"bins": 3}, "a table or f")],
)
def test_what_a_file_has_is_its_own(how: Any, has: str, given: Any, tmp_path: Path) -> None:
    agent = cdq.QLearner("MountainCar-v0", seed=0, checkpoint=tmp_path / "run", **how).learn(100)
    agent.save(tmp_path / "file")
    said = rf"{has}.* of its own, and network is for the function of a Keras model alone.*leave network out \(--network"
    with pytest.raises(ConfigError, match=said):
        cdq.QLearner.load(tmp_path / "file", network=given)
    with pytest.raises(ConfigError, match=said):
        cdq.QLearner.resume(tmp_path / "run", network=given)
