from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass, fields
from typing import Any

import pytest

import cdq
from cdq.cli.hyperparameters import takes_hyperparameters
from cdq.learner import qlearner
from cdq.settings import DEFAULTS, HYPERPARAMETERS, MAY_CHANGE, Settings, differing, make_settings
from cdq.settings.files import as_arguments
from cdq.settings.hyperparameters import Option, choice, hyperparameter, table_of

# Arguments of a learner that are no hyper-parameters: they name what is learnt, and where it is kept.
OTHERS = {"env", "env_kwargs", "initial_table", "checkpoint", "checkpoint_every"}

# What would be drawn, or follow from something else.
BASE: dict[str, Any] = {"workers": 1, "seed": 1, "num_envs": 1, "step_size": 0.5, "exploration": 0.1}

# A value of each besides its default, as it stands in a file.
CHANGED: dict[str, Any] = {
    "workers": 2,
    "seed": 5,
    "gamma": 0.5,
    "step_size": {"kind": "constant", "value": 0.25},
    "exploration": {"kind": "linear", "first": 1.0, "last": 0.1, "steps": 100.0},
    "rule": "sarsa",
    "merge": "mean",
    "sync_every": {"kind": "FixedWindow", "steps": 7, "mass": 0.3},
    "num_envs": 3,
    "dtype": "float32",
    "initial_value": 2.0,
    "features": {"kind": "fourier-basis", "order": 2, "low": None, "high": None},
    "network": {
        "hidden": [16, 8],
        "rollout": 4,
        "epochs": 2,
        "minibatch": 32,
        "trace": 0.5,
        "reward_scale": 1.0,
    },
    "bins": [3, 4],
    "table": "hash",
    "masks": False,
    "stepping": "python",
    "groups": {"lights": ["n0", "n1"], "buses": ["b0"]},
    "opponent": "self",
    "key": [[0, 1, 2], [1, 2, 3]],
    "actions": [["left", "right"], ["left", "up"]],
    "tasks": {"kind": "goals", "states": [3, 5]},
    "comm": "zmq",
    "overlap": True,
    "per_worker": {"exploration": [{"kind": "constant", "value": 0.25}, {"kind": "constant", "value": 0.5}]},
    "federation": {"participation": 0.5, "dropped": 0.25, "corrupted": {"1": 2.0}},
}


# What follows from another one, and is not that of a table then.
FOLLOWS = {"network": ["merge", "dtype"]}


def parameters(of: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(of).parameters)


def test_the_signature_of_the_learner_is_that_of_the_table() -> None:
    given = {name: one.default for name, one in parameters(cdq.QLearner).items() if name not in OTHERS}
    assert given == dict(DEFAULTS)


def test_the_docstring_says_what_each_means() -> None:
    documented = re.findall(
        r"^    (\w+) : ", inspect.getdoc(cdq.QLearner).replace("\n", "\n    "), re.MULTILINE
    )  # type: ignore[union-attr]
    assert set(parameters(cdq.QLearner)) <= set(documented)


def test_a_learner_hands_on_every_hyperparameter(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: dict[str, Any] = {}

    def keep(**arguments: Any) -> Settings:
        handed.update(arguments)
        raise KeyError

    monkeypatch.setattr(qlearner, "make_settings", keep)
    given = {name: object() for name in HYPERPARAMETERS} | {"merge": "pooled", "comm": "zmq"}
    with pytest.raises(KeyError):
        cdq.QLearner("FrozenLake-v1", **given)
    assert handed == given


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_each_survives_a_file(name: str) -> None:
    """A value besides the default is in the JSON object, and comes back from it."""
    known = HYPERPARAMETERS[name]
    argument = known.decode(CHANGED[name])
    settings = make_settings(**{**BASE, name: argument})
    config = json.loads(json.dumps(settings.to_config()))
    assert config[known.key or name] == CHANGED[name]
    assert make_settings(**as_arguments(config, None)) == settings
    usual = make_settings(**BASE).to_config()
    differ = {name, *FOLLOWS.get(name, [])} - MAY_CHANGE
    assert set(differing(config, usual)) == set(differing(usual, config)) == differ
    assert (name in settings.shared()) == (name not in MAY_CHANGE)


# Text of the settings in the header of a file of 0.2.
HEADER = (
    '{"comm": "auto", "dtype": "float32", "exploration": {"kind": "constant", "value": 0.1}, "gamma": 0.9, '
    '"initial_value": 0.0, %s"merge": "max", "num_envs": 3, "overlap": false, "seed": 1, '
    '"step_size": {"gamma": 0.9, "kind": "rescaled-linear"}, %s'
    '"window": {"floor": 500, "kind": "AutoWindow", "mass": 0.3}, "workers": 2}'
)


@pytest.mark.parametrize(
    ("given", "first", "second"),
    [
        ({}, "", ""),
        ({"masks": True}, '"masks": true, ', ""),
        ({"table": "hash", "stepping": "model"}, "", '"stepping": "model", "table": "hash", '),
    ],
)
def test_headers_keep_their_bytes(given: dict[str, Any], first: str, second: str) -> None:
    """Files say how an environment is learnt only where that is not the usual way."""
    known = {"workers": 2, "num_envs": 3, "seed": 1, "gamma": 0.9, "dtype": "float32", "merge": "max"}
    config = make_settings(**known, **given).to_config()
    assert json.dumps(config, sort_keys=True) == HEADER % (first, second)


def test_what_is_no_hyperparameter_is_refused() -> None:
    with pytest.raises(TypeError, match="epsilon"):
        make_settings(epsilon=0.1)


@dataclass(frozen=True)
class Further:
    """A table with one hyper-parameter more: its field is all that there is of it."""

    temperature: str = hyperparameter(
        "cold", choice("cold", "hot"), Option(str, "HOW", "Temperature."), unsaid_default=True
    )


def test_one_more_is_checked_stored_and_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdq.settings.making.Settings", extended := dataclass_with(Further))
    more = table_of(fields(extended))
    for module in (
        "cdq.settings.settings",
        "cdq.settings.making",
        "cdq.settings.files",
        "cdq.cli.hyperparameters",
    ):
        monkeypatch.setattr(f"{module}.HYPERPARAMETERS", more)
        monkeypatch.setattr(f"{module}.DEFAULTS", {one.name: one.default for one in fields(extended)})
    assert make_settings(temperature="hot").to_config()["temperature"] == "hot"
    assert "temperature" not in make_settings().to_config()
    with pytest.raises(cdq.errors.ConfigError, match="temperature is 'warm'; allowed: 'cold' or 'hot'"):
        make_settings(temperature="warm")

    @takes_hyperparameters(after="steps")
    def command(*, steps: int, save: str, **hyperparameters: Any) -> None:
        """Learn."""

    names = list(parameters(command))
    assert (names[0], names[-2:]) == ("steps", ["temperature", "save"])
    assert parameters(command)["temperature"].default == "cold"


def dataclass_with(more: type[Any]) -> type[Settings]:
    """Return the settings with the fields of another dataclass besides."""
    return dataclass(frozen=True)(type("Extended", (more, Settings), {"__annotations__": {}}))
