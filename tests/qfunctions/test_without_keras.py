"""Networks where Keras, an optional package, is missing, or is not to be imported."""

from __future__ import annotations

import sys

import pytest

import cdq
from cdq.errors import ConfigError, PackageMissing


@pytest.fixture(params=["keras", "tensorflow"])
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setitem(sys.modules, request.param, None)


@pytest.mark.usefixtures("missing")
def test_the_extra_is_named() -> None:
    agent = cdq.QLearner("CartPole-v1", network=cdq.Network((8,)), seed=0)
    for asked in (
        lambda: cdq.QLearner("CartPole-v1", network=lambda: None),
        lambda: cdq.QLearner("CartPole-v1", network="poles:model"),
        lambda: cdq.Network.from_keras(object()),
        agent.to_keras,
    ):
        with pytest.raises(PackageMissing, match=r'pip install "cdq\[keras\]"'):
            asked()


def test_another_backend_is_refused_before_keras_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ConfigError, match="backend 'torch'; allowed: 'tensorflow'"):
        cdq.Network.from_keras(object())


@pytest.mark.parametrize("name", ["poles", "poles:", ":model", "a b:model", "poles:model()", "64,x", ""])
def test_names_of_no_function(name: str) -> None:
    with pytest.raises(ConfigError, match="network is .*module:function"):
        cdq.QLearner("CartPole-v1", network=name)


def test_what_is_no_network() -> None:
    with pytest.raises(ConfigError, match=r"network is 64; allowed: cdq.Network"):
        cdq.QLearner("CartPole-v1", network=64)  # type: ignore[arg-type]
