from __future__ import annotations

import json
from typing import Any

import pytest

import cdq
from cdq.merges import MergeRule
from cdq.schedules import Constant, ExponentialDecay, LinearDecay, Polynomial
from cdq.settings.files import as_arguments
from cdq.settings.making import make_settings
from cdq.settings.settings import whole

DEFAULTS: dict[str, Any] = {
    "gamma": 0.9,
    "step_size": None,
    "exploration": 0.1,
    "merge": "pooled",
    "sync_every": "auto",
    "workers": 2,
    "num_envs": 3,
    "comm": "auto",
    "dtype": "float32",
    "seed": 1,
    "initial_value": 0,
    "overlap": False,
}


class Mean(MergeRule):
    def combine(self, base: Any, values: Any, *others: Any) -> Any:
        return values.mean(axis=0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"step_size": 0.5, "exploration": 1},
        {"step_size": Polynomial(0.6), "exploration": ExponentialDecay(1, 0.1, 1e5)},
        {"step_size": LinearDecay(0.5, 0.1, 1e5), "exploration": Constant(0)},
        {"sync_every": 77, "merge": "max"},
        {"sync_every": cdq.AutoWindow(2.0, 10), "seed": 2**100},
        {"gamma": 1, "initial_value": -5},
    ],
)
def test_settings_survive_json(changes: dict[str, Any]) -> None:
    settings = make_settings(**{**DEFAULTS, **changes})
    config = json.loads(json.dumps(settings.to_config()))
    assert make_settings(**as_arguments(config, None)) == settings


def test_a_rule_of_ones_own_is_named() -> None:
    rule = Mean()
    config = make_settings(**{**DEFAULTS, "merge": rule}).to_config()
    assert config["merge"] == "Mean"
    assert as_arguments(config, rule)["merge"] is rule


@pytest.mark.parametrize("value", [3, 3.0, 1e6])
def test_whole_numbers(value: float) -> None:
    assert whole("steps", value, 1) == int(value)
    assert type(whole("steps", value, 1)) is int
