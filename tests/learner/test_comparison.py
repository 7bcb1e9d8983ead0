"""Settings that are compared over seeds, side by side."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest

import cdq
from cdq.errors import CdqError, ConfigError
from cdq.learner import comparison as module

SETTINGS = {"pooled": {"merge": "pooled"}, "mean": {"merge": "mean"}}


def figures(history: cdq.History) -> Any:
    """Return the columns of a history that do not depend on the machine."""
    return {name: column.tobytes() for name, column in history.to_arrays().items() if name != "seconds"}


def test_each_run_is_what_it_is_alone() -> None:
    result = cdq.compare(SETTINGS, "FrozenLake-v1", seeds=[3, 5], workers=2, steps=20_000)
    assert list(result.runs) == ["pooled", "mean"]
    assert result.seeds == (3, 5)
    for merge, histories in result.runs.items():
        for seed, history in zip(result.seeds, histories, strict=True):
            alone = cdq.QLearner("FrozenLake-v1", merge=str(merge), workers=2, seed=seed).learn(20_000)
            assert figures(history) == figures(alone.history)


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(cores: int) -> list[Any]:
        monkeypatch.setattr(module, "_cores", lambda: cores)
        result = cdq.compare(SETTINGS, "FrozenLake-v1", seeds=4, steps=5_000)
        return [figures(history) for histories in result.runs.values() for history in histories]

    assert told(1) == told(8)


def test_settings_may_name_environments_steps_and_goals() -> None:
    settings = {
        "lake": {"env": "FrozenLake-v1", "steps": 3_000},
        "cliff": {"env": cdq.MDP.from_gymnasium("CliffWalking-v1"), "until": cdq.OptimalWithin(1e6)},
        3: {"env": lambda: gymnasium.make("Blackjack-v1"), "steps": 500},
    }
    result = cdq.compare(settings, seeds=1, steps=60_000)
    assert result.runs["lake"][0][-1].steps == 3008
    assert result.runs["cliff"][0][-1].steps < 60_000
    assert result.runs[3][0][-1].steps >= 500


def test_the_frame_is_tidy(tmp_path: Path) -> None:
    result = cdq.compare(SETTINGS, "FrozenLake-v1", seeds=2, steps=5_000)
    frame = result.to_pandas()
    assert list(frame)[:3] == ["setting", "seed", "steps"]
    assert frame.groupby(["setting", "seed"]).size().to_dict() == {
        (name, seed): len(result.runs[name][seed]) for name in SETTINGS for seed in (0, 1)
    }
    mine = frame[(frame["setting"] == "mean") & (frame["seed"] == 1)]
    assert mine["steps"].tolist() == result.runs["mean"][1]["steps"].tolist()
    assert result["steps"].tolist() == frame["steps"].tolist()
    result.to_csv(tmp_path / "runs.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "runs.csv"), frame, check_dtype=False, rtol=1e-12)
    with pytest.raises(ConfigError, match="unknown column 'step'"):
        result["step"]


def test_a_comparison_says_what_it_is_of() -> None:
    result = cdq.compare({"<a>": {}}, "FrozenLake-v1", seeds=2, steps=5_000)
    assert repr(result) == "Comparison of <a>: 2 seeds each"
    assert "<td>&lt;a&gt;</td><td>5,008</td>" in result._repr_html_()


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({}, {}, "settings are {}; allowed: a dictionary with one setting or more"),
        ([{}], {}, "allowed: a dictionary with one setting or more"),
        ({"a": 3}, {}, "setting 'a' is 3; allowed: a dictionary of arguments of QLearner"),
        ({"a": {"gamma": 2}}, {}, "setting 'a': gamma is 2"),
        ({"a": {}, "b": {"gama": 0.9}}, {}, "setting 'b': .*gama"),
        ({"a": {"steps": -1}}, {}, "setting 'a': steps is -1"),
        ({"a": {"until": 3}}, {}, "setting 'a': until is 3"),
        ({"a": {"seed": 3}}, {}, "setting 'a' has seed, not for runs side by side; use seeds="),
        ({"a": {"checkpoint": "x"}}, {}, "setting 'a' has checkpoint"),
        ({"a": {"comm": "mpi"}}, {}, "setting 'a' has comm"),
        ({"a": {}}, {"env": None}, "setting 'a' has no environment"),
        ({"a": {}}, {"seeds": 0}, "seeds is 0; allowed: a whole number of at least 1"),
        ({"a": {}}, {"seeds": []}, r"seeds are \[\]; allowed: one or more, each once"),
        ({"a": {}}, {"seeds": [1, 1]}, "each once"),
        ({"a": {}}, {"seeds": [-1]}, "a seed is -1"),
        ({"a": {}}, {"seeds": "12"}, "seeds is '12'"),
    ],
)
def test_what_is_not_allowed_is_refused_before_work_starts(
    settings: Any, arguments: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_run_all", lambda *_: pytest.fail("work began"))
    with pytest.raises(ConfigError, match=message):
        cdq.compare(settings, **{"env": "FrozenLake-v1", "seeds": 2, **arguments})


def test_an_environment_that_cannot_be_shared_is_refused() -> None:
    env = gymnasium.make("Blackjack-v1")
    with pytest.raises(
        ConfigError, match="has an environment that runs side by side cannot share; give its id"
    ):
        cdq.compare({"a": {}}, env, seeds=2, steps=10)


class Broken(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    left = 50

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> Any:
        Broken.left -= 1
        if Broken.left < 0:
            raise RuntimeError("out of order")
        return 1, 0.0, False, False, {}


def test_a_run_that_fails_ends_the_others() -> None:
    Broken.left = 50
    before = threading.active_count()
    with pytest.raises(CdqError, match="out of order"):
        cdq.compare(
            {"broken": {"env": Broken, "steps": 1e9}, "lake": {"steps": 1e12}}, "FrozenLake-v1", seeds=2
        )
    assert threading.active_count() <= before + 1


def test_ctrl_c_ends_all_runs() -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            cdq.compare(SETTINGS, "FrozenLake-v1", seeds=4, steps=1e13)
    finally:
        timer.cancel()
    assert time.monotonic() - started < 60
    assert np.isfinite(cdq.QLearner("FrozenLake-v1", seed=0).learn(1_000).table.values).all()


def test_runs_side_by_side_are_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDQ_COMM", "zmq")
    with pytest.raises(
        ConfigError, match="workers would be reached by 'zmq', as a launcher or CDQ_COMM says"
    ):
        cdq.compare(SETTINGS, "FrozenLake-v1", seeds=2)


def test_each_run_has_callbacks_of_its_own() -> None:
    made: list[cdq.StopOnReturn] = []

    def callbacks() -> list[cdq.StopOnReturn]:
        made.append(cdq.StopOnReturn(0.2, episodes=20))
        return made[-1:]

    settings = {"stops": {"callbacks": callbacks}, "goes on": {}}
    result = cdq.compare(settings, "FrozenLake-v1", steps=100_000, sync_every=1000, seeds=3)
    alone = cdq.QLearner("FrozenLake-v1", seed=1, sync_every=1000).learn(100_000, callbacks=callbacks())
    assert [history[-1].steps for history in result.runs["goes on"]] == [100_000] * 3
    assert result.runs["stops"][1][-1].steps == alone.steps < 100_000
    assert len(set(made)) >= 4


@pytest.mark.parametrize("given", [[cdq.StopOnTime(1)], cdq.StopOnTime(1), None, lambda: 3, lambda: [3]])
def test_callbacks_that_runs_would_share_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="setting 'one': callbacks"):
        cdq.compare({"one": {"callbacks": given}}, "FrozenLake-v1", seeds=1, steps=1000)


@pytest.mark.parametrize("given", ["FrozenLake-v1", {}, [{"gamma": 0.9}], None])
def test_what_are_no_settings_is_shown_the_right_form(given: Any) -> None:
    with pytest.raises(
        ConfigError, match=r'as in cdq.compare\(\{"default": \{\}, "slow": \{"step_size": 0.1\}\}'
    ):
        cdq.compare(given, "FrozenLake-v1")


def test_a_setting_is_no_column() -> None:
    found = cdq.compare({"default": {}}, "FrozenLake-v1", seeds=1, steps=2000)
    with pytest.raises(
        ConfigError, match=r"'default' is a setting, .* its histories are in \.runs\['default'\]"
    ):
        found["default"]
