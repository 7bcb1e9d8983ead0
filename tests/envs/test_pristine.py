"""Changes of Gymnasium's classes and modules, which no compiled twin or known table has."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import acrobot, cartpole, mountain_car
from gymnasium.envs.classic_control import utils as control
from gymnasium.envs.toy_text import cliffwalking, frozen_lake, taxi
from gymnasium.envs.toy_text import utils as toy_text
from gymnasium.utils import seeding

from cdq.envs.classic import TWINS, twin_of
from cdq.envs.drawn import known_of
from cdq.envs.pristine import is_pristine

ACROBOT, CART, CAR = acrobot.AcrobotEnv, cartpole.CartPoleEnv, mountain_car.MountainCarEnv
TOYS = {"FrozenLake-v1": frozen_lake, "CliffWalking-v1": cliffwalking, "Taxi-v4": taxi}


def other(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


CHANGES = [
    ("Acrobot-v1", ACROBOT, "torque_noise_max", 10.0),
    ("Acrobot-v1", ACROBOT, "AVAIL_TORQUE", [-9.0, 0.0, 9.0]),
    ("Acrobot-v1", ACROBOT, "LINK_MASS_2", 2.0),
    ("Acrobot-v1", ACROBOT, "book_or_nips", "nips"),
    ("Acrobot-v1", ACROBOT, "_terminal", other),
    ("Acrobot-v1", ACROBOT, "_dsdt", other),
    ("Acrobot-v1", ACROBOT, "__getattribute__", other),
    ("Acrobot-v1", acrobot, "rk4", other),
    ("Acrobot-v1", acrobot, "bound", other),
    ("Acrobot-v1", acrobot, "wrap", other),
    ("Acrobot-v1", acrobot, "cos", np.sin),
    ("Acrobot-v1", control, "maybe_parse_reset_bounds", other),
    ("CartPole-v1", CART, "step", ACROBOT.step),
    ("CartPole-v1", cartpole, "np", other),
    ("MountainCar-v0", CAR, "reset", CART.reset),
    ("MountainCar-v0", mountain_car, "math", other),
    ("MountainCar-v0", gymnasium.Env, "reset", other),
    ("MountainCar-v0", seeding, "np_random", other),
]


@pytest.mark.parametrize(("name", "owner", "attribute", "value"), CHANGES)
def test_a_changed_class_has_no_twin(
    monkeypatch: pytest.MonkeyPatch, name: str, owner: Any, attribute: str, value: Any
) -> None:
    assert twin_of(name) == TWINS[name]
    monkeypatch.setattr(owner, attribute, value, raising=False)
    assert twin_of(name) is None


def test_a_list_changed_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    torques: Any = list(ACROBOT.AVAIL_TORQUE)
    monkeypatch.setattr(ACROBOT, "AVAIL_TORQUE", torques)
    assert twin_of("Acrobot-v1") is not None
    torques[0] = -2.0
    assert twin_of("Acrobot-v1") is None


def test_defaults_that_were_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CART.__init__, "__defaults__", (True, None))
    assert twin_of("CartPole-v1") is None


def test_an_id_of_another_class_of_gymnasiums(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = gymnasium.registry["CartPole-v1"]
    monkeypatch.setattr(spec, "entry_point", "gymnasium.envs.classic_control.acrobot:AcrobotEnv")
    assert twin_of("CartPole-v1") is None


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("owner", ["module", "utils", "base"])
def test_a_table_of_a_changed_class_is_not_known(
    monkeypatch: pytest.MonkeyPatch, name: str, owner: str
) -> None:
    base, module = gymnasium.make(name).unwrapped, TOYS[name]
    assert known_of(base)[0] is True
    where = {"module": module, "utils": toy_text, "base": gymnasium.Env}[owner]
    monkeypatch.setattr(where, "reset" if owner == "base" else "categorical_sample", other)
    assert known_of(base) == (None, "")


def test_modules_that_were_not_changed() -> None:
    for module in (acrobot, cartpole, mountain_car, *TOYS.values()):
        assert is_pristine(module.__name__)
