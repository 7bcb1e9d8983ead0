"""What is sent in place of an environment, and what is not taken for the same."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from cdq.envs.by_value import pack, unpack
from cdq.envs.sending import layers, sendable
from cdq.errors import ConfigError
from tests.envs import changed


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test modules be found by name, as a user's would be."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def reward_of(env: Any) -> float:
    env.reset(seed=0)
    return float(sum(env.step(0)[1] for _ in range(3)))


def twice(env: Any) -> None:
    inner = env.unwrapped.step
    env.unwrapped.step = lambda action: (*(answer := inner(action))[:1], 2 * answer[1], *answer[2:])


def dearer(env: Any) -> None:
    env.unwrapped.bonus = 6.0


def listed(env: Any) -> None:
    env.unwrapped.prices = {"a": [1, np.arange(3)], 2: {3, 4}}


@pytest.mark.parametrize(("change", "worth"), [(dearer, 7.0), (twice, 2.0), (listed, 1.0)])
def test_an_environment_goes_with_what_was_made_of_it(change: Callable[[Any], None], worth: float) -> None:
    env = gymnasium.make("Shop-v0")
    change(env)
    sent = sendable(env)
    assert sent is env
    assert reward_of(unpack(pack(sent))) == reward_of(env) == worth


def test_wrappers_go_with_their_state() -> None:
    env = gymnasium.wrappers.TransformReward(
        gymnasium.wrappers.TimeLimit(gymnasium.make("Shop-v0"), 50), lambda r: 7 * r
    )
    assert reward_of(unpack(pack(sendable(env)))) == 7.0
    assert [type(layer).__name__ for layer in layers(env)] == ["TransformReward", "TimeLimit", "Shop"]


@pytest.mark.parametrize("vector", ["made", "given"])
def test_vector_environments_go_too(vector: str) -> None:
    make = partial(gymnasium.make_vec, "Shop-v0", 2, "sync")
    copy = unpack(pack(sendable(make() if vector == "given" else make)))
    envs = copy if vector == "given" else copy()
    envs.reset(seed=0)
    assert [envs.step(np.zeros(2, int))[1].tolist() for _ in range(3)][-1] == [1.0, 1.0]
    envs.close()


def test_a_changed_vector_environment_goes_changed() -> None:
    envs = gymnasium.make_vec("Shop-v0", 2, "sync")
    envs.envs[1].unwrapped.bonus = 6.0
    copy = unpack(pack(sendable(envs)))
    copy.reset(seed=0)
    assert [copy.step(np.zeros(2, int))[1].tolist() for _ in range(3)][-1] == [1.0, 7.0]
    asynchronous = gymnasium.make_vec("Shop-v0", 2, "async")
    with pytest.raises(ConfigError, match="would be another environment in another process"):
        sendable(asynchronous)
    asynchronous.close()


def test_a_copy_that_forgets_what_was_changed_is_refused() -> None:
    env = changed.Remade()
    assert sendable(env) is env
    env.bonus = 6.0
    with pytest.raises(ConfigError, match=r"a copy of it has another Remade\.bonus\. Give what makes it"):
        sendable(env)


def test_what_cannot_be_sent_is_made_anew_if_it_is_as_it_was_made() -> None:
    env = gymnasium.make("Held-v0", bonus=2.0)
    assert sendable(env) is env.spec
    env.reset()
    assert sendable(env) is env.spec
    env.unwrapped.bonus = 6.0  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"this Held .*: it cannot be copied .*lock.*its spec.*Held\.bonus"):
        sendable(env)
    with pytest.raises(ConfigError, match="cannot be copied"):
        sendable(changed.Held())


@pytest.mark.parametrize(
    "make",
    [
        changed.Shop,
        partial(changed.Shop, 6.0),
        lambda: changed.Shop(2.0),
        changed.Shop(6.0).__class__,
        "Shop-v0",
    ],
)
def test_what_makes_an_environment_goes_as_it_is(make: Any) -> None:
    assert sendable(make) is make


def test_a_method_goes_with_its_object() -> None:
    class Maker:
        def __init__(self, bonus: float) -> None:
            self.bonus = bonus

        def make(self) -> changed.Shop:
            return changed.Shop(self.bonus)

    assert reward_of(unpack(pack(sendable(Maker(6.0).make)))()) == 7.0


def test_what_holds_a_lock_is_refused() -> None:
    lock = threading.Lock()
    with pytest.raises(ConfigError, match=r"cannot be sent.*TypeError.*cdq launch"):
        sendable(lambda: changed.Shop(lock.locked()))


def test_modules_that_cannot_be_found_go_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("made_by_hand")
    monkeypatch.setitem(__import__("sys").modules, "made_by_hand", module)
    source = "from tests.envs.changed import Shop\nclass Own(Shop):\n    factor = 5.0\n"
    exec(source, module.__dict__)
    data = pack(module.Own)
    monkeypatch.delitem(__import__("sys").modules, "made_by_hand")
    assert reward_of(unpack(data)()) == 5.0


@pytest.mark.parametrize(
    "env",
    [
        *(
            gymnasium.make(f"cdq/{name}-v0")
            for name in ("GridWorld", "Garnet", "RiverSwim", "DeepSea", "MountainCar", "CartPole", "Acrobot")
        ),
        gymnasium.make("cdq/GridWorld-v0", walls=[".#.", "..."]),
    ],
)
def test_compiled_environments_go_as_they_are(env: Any) -> None:
    env = gymnasium.wrappers.TransformReward(env, lambda reward: 2 * reward)
    assert sendable(env) is env
    env.reset(seed=0)
    env.step(0)
    assert sendable(env) is env
