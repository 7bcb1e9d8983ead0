"""Network: its checks, its forms in files and on a command line, and what it excludes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cdq
from cdq import Network
from cdq.errors import ConfigError
from cdq.schedules.windows import FixedWindow
from cdq.settings import Settings, arguments_of, make_settings
from cdq.settings.network import network_from_config, network_of, network_to_config
from cdq.settings.of_networks import lanes_of, minibatch_of, with_window


@pytest.mark.parametrize("hidden", [(8,), [64, 64], (512, 8, 16), 32, (np.int64(16),)])
def test_hidden_layers_that_kernels_take_are_kept_as_whole_numbers(hidden: Any) -> None:
    network = Network(hidden)
    assert network.hidden == tuple(np.atleast_1d(hidden).tolist())
    assert all(type(size) is int for size in network.hidden)


@pytest.mark.parametrize(
    "hidden",
    [
        (),
        0,
        7,
        8.5,
        np.array([64, 64]),
        {"a": 8},
        (12,),
        (60,),
        (520,),
        (8, 8, 8, 8),
        "64",
        "64,64",
        None,
        (64, None),
        (True,),
        [[64]],
        {64},
    ],
)
def test_other_hidden_layers_are_refused_and_what_is_allowed_is_said(hidden: Any) -> None:
    allowed = r"allowed: a tuple of one to 3 multiples of 8, from 8 to 512, such as \(64, 64\)$"
    with pytest.raises(ConfigError, match=f"^hidden is .*; {allowed}"):
        Network(hidden)
    with pytest.raises(ConfigError, match=f"^hidden is .*; {allowed}"):
        cdq.QLearner("CartPole-v1", network=cdq.Network(hidden=hidden))


@pytest.mark.parametrize("layers", [5, "x", {}, (64, 64), np.zeros(3)])
def test_layers_are_those_that_keras_gave(layers: Any) -> None:
    with pytest.raises(ConfigError, match="^layers is .*; allowed: what cdq.Network.from_keras"):
        Network(layers=layers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rollout", 0), ("rollout", 5000), ("rollout", 1.5), ("rollout", "32"), ("epochs", 0), ("epochs", True),
        ("minibatch", 0), ("minibatch", None), ("minibatch", 1e6), ("trace", -0.1), ("trace", 1.5),
        ("trace", float("nan")), ("reward_scale", 0), ("reward_scale", -1), ("reward_scale", float("inf")),
        ("reward_scale", "1"),
    ],
)  # fmt: skip
def test_an_argument_that_is_not_allowed_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*allowed: "):
        Network(**{name: value})


def test_a_network_goes_to_files_and_back() -> None:
    network = Network((16, 8), rollout=4, epochs=2, minibatch=32, trace=0.5, reward_scale=1)
    assert network_from_config(network_to_config(network)) == network
    settings = make_settings(network=network, seed=1, workers=2, num_envs=8, step_size=0.5)
    header = {"environment": "x", "settings": settings.to_config()}
    again = make_settings(**{**arguments_of("file", header, None), "seed": 1})
    assert again == settings


def test_files_of_tables_say_nothing_of_networks() -> None:
    assert "network" not in make_settings(seed=0).to_config()


def test_the_command_line_gives_units() -> None:
    assert network_of("64,32") == Network((64, 32))
    allowed = "units of the hidden layers, one to 3 multiples of 8, from 8 to 512, such as 64,64; or module:function"
    for text in ("", "64,", "64;64", "64x64", "a", "-8", "8.0", "7", "520", "12", "8,8,8,8"):
        with pytest.raises(ConfigError, match=f"^network is {text!r}; allowed: {allowed}, which"):
            network_of(text)


@pytest.mark.parametrize("given", ["64,64", (64, 64), 64, Network])
def test_a_learner_takes_networks_alone(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"network is .*cdq.Network"):
        make_settings(network=given)


EXCLUDED: list[dict[str, Any]] = [
    {"merge": "pooled"},
    {"merge": "visits"},
    {"merge": cdq.Personal()},
    {"dtype": "float64"},
    {"rule": "double-q"},
    {"rule": cdq.Hysteretic(0.1)},
    {"sync_every": cdq.AutoWindow(mass=0.5)},
    {"step_size": "polynomial:0.77"},
    {"step_size": cdq.RescaledLinear(0.9)},
    {"features": cdq.TileCoding()},
    {"bins": 4},
    {"table": "hash"},
    {"initial_value": 1.0},
    {"opponent": "self"},
    {"tasks": cdq.Goals([1])},
    {"groups": "shared"},
    {"overlap": True},
    {"per_worker": {"exploration": [0.1, 0.2]}},
    {"federation": cdq.Federation(0.5)},
]


@pytest.mark.parametrize(
    "excluded", EXCLUDED, ids=lambda one: f"{next(iter(one))}-{next(iter(one.values()))}"[:30]
)
def test_what_networks_exclude_is_refused_with_the_reason(excluded: dict[str, Any]) -> None:
    (name,) = excluded
    with pytest.raises(ConfigError, match=f"{name} is .*, and a network is learnt: .*(;|choose|leave|give)"):
        make_settings(network=Network(), **excluded)


def test_a_table_has_no_gradients() -> None:
    with pytest.raises(ConfigError, match="gradients of a network"):
        make_settings(merge="gradient")


def test_defaults_of_tables_and_of_networks() -> None:
    table, network = make_settings(), make_settings(network=Network())
    assert (table.merge, table.dtype, network.merge, network.dtype) == (
        "pooled",
        "float64",
        "gradient",
        "float32",
    )
    assert network.exploration == cdq.LinearDecay(1.0, 0.05, 75_000)


def settings_of(workers: int, num_envs: int, **arguments: Any) -> Settings:
    from dataclasses import replace

    return replace(make_settings(network=Network(), **arguments), workers=workers, num_envs=num_envs)


def test_lanes_and_samples_are_shared_by_the_workers() -> None:
    assert [lanes_of(n) for n in (1, 2, 3, 8, 16, 4096)] == [64, 32, 21, 8, 4, 4]
    assert [minibatch_of(settings_of(n, 4)) for n in (1, 3, 256)] == [256, 85, 1]
    with pytest.raises(ConfigError, match=r"256 samples .*257 workers"):
        minibatch_of(settings_of(257, 4))


def test_windows_are_whole_rollouts() -> None:
    assert with_window(settings_of(1, 64)).sync_every == FixedWindow(2048)
    assert with_window(settings_of(4, 16, merge="mean")).sync_every == FixedWindow(4 * 512)
    assert with_window(settings_of(2, 32, sync_every=3072)).sync_every == FixedWindow(3072)
    with pytest.raises(
        ConfigError, match=r"a rollout of 32 steps of 600,000 environments .*allowed: up to 16,777,216"
    ):
        with_window(settings_of(1, 600_000))
    with pytest.raises(ConfigError, match=r"sync_every is 1,000; .*multiples of 1,024"):
        with_window(settings_of(2, 32, sync_every=1000))
