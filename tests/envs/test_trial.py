"""A trial tells an environment that plays otherwise in another process."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from cdq.envs.by_value import pack
from cdq.envs.trial import play_alike, require_same_play, trial, trial_of
from cdq.errors import ConfigError
from tests.envs import changed, identities


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test modules be found by name, as a user's would be."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def patched_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed, "PRICE", 7.0)


def patched_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed, "price", lambda: 7.0)


def patched_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed.Shop, "factor", 7.0)


def patched_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed.Shop, "step", lambda self, action: (1, 7.0, False, False, {}))


@pytest.mark.parametrize("like", [changed.Shop, "Shop-v0", changed.Shop()], ids=["class", "id", "instance"])
@pytest.mark.parametrize("patch", [patched_constant, patched_function, patched_class, patched_method])
def test_what_was_changed_after_the_import_shows_in_a_trial(
    like: Any, patch: Callable[[pytest.MonkeyPatch], None]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        patch(monkeypatch)
        expected = trial(like)
        assert len(expected) > 50
        require_same_play(pack(like), expected, "worker 1")
    with pytest.raises(
        ConfigError, match=r"worker 1 plays another environment.*reward of [\d.]+ in place of 7"
    ):
        require_same_play(pack(like), expected, "worker 1")


def test_chance_that_no_seed_rules_is_no_difference() -> None:
    class Noisy(changed.Shop):
        def step(self, action: int) -> Any:
            observation, _, *rest = super().step(action)
            return (observation, np.random.default_rng().random(), *rest)

    expected = trial(Noisy)
    assert len(expected) == 1  # the reset
    require_same_play(pack(Noisy), expected, "worker 1")


def test_an_environment_that_only_fails_there_is_found_out() -> None:
    class Raising(changed.Shop):
        def step(self, action: int) -> Any:
            raise RuntimeError("not there")

    with pytest.raises(ConfigError, match=r"in step 1, to an error in place of"):
        require_same_play(pack(Raising), trial(changed.Shop), "worker 1")


def test_a_trial_changes_nothing_and_bears_everything() -> None:
    class Raising(changed.Shop):
        def step(self, action: int) -> Any:
            raise RuntimeError("not now")

    env = changed.Shop()
    env.n = 2
    assert len(trial(env)) > 50
    assert env.n == 2
    assert len(trial(Raising)) == 1
    assert trial(partial(gymnasium.make_vec, "Shop-v0", 2, "sync")) == trial("Shop-v0")
    assert trial(partial(gymnasium.make_vec, "CartPole-v1", 2, "vector_entry_point")) == []


def test_what_was_given_is_played_itself_and_not_counted() -> None:
    env = gymnasium.wrappers.RecordEpisodeStatistics(changed.Shop(4.0))
    assert max(float(step.reward) for step in trial_of(env) if step.reward[0].isdigit()) == 5.0
    assert len(env.return_queue) == 0
    envs = gymnasium.vector.SyncVectorEnv([partial(changed.Shop, 4.0)] * 2)
    assert trial_of(gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)) == trial_of(env)


def test_no_window_is_shown() -> None:
    env = gymnasium.make("Windowed-v0", render_mode="human")
    assert len(trial_of(env)) > 50
    assert env.unwrapped.render_mode == "human"
    assert env.unwrapped.shown == 0  # type: ignore[attr-defined]


def test_a_copy_that_plays_otherwise_or_moves_the_original() -> None:
    assert play_alike(identities.Corridor(), identities.Corridor())
    assert not play_alike(identities.Corridor(), identities.Corridor(3))
    for of_class in (False, True):
        env = identities.Elsewhere(of_class=of_class)
        assert not play_alike(env, copy.deepcopy(env))
