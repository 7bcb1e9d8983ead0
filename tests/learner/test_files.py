from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, FileError, TableError, UnsupportedEnvironment
from cdq.merges import MergeRule
from cdq.schedules import LinearDecay, Polynomial
from cdq.schedules.windows import FixedWindow
from cdq.storage.files import read_tensors, write_tensors
from tests.strategies import DTYPES, random_model

MODEL = random_model(12, 3, seed=8, time_limit=20)


def learner(model: Any = MODEL, **changes: Any) -> cdq.QLearner:
    return cdq.QLearner(model, **{"seed": 0, "workers": 2, **changes})


class Mean(MergeRule):
    def combine(self, base: Any, values: Any, *others: Any) -> Any:
        return values.mean(axis=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_saved_learner_is_loaded_as_it_was(dtype: str, tmp_path: Path) -> None:
    agent = learner(
        dtype=dtype,
        gamma=0.95,
        step_size=Polynomial(0.8),
        exploration=LinearDecay(0.5, 0.1, 1e5),
        merge="affine",
        sync_every=300,
        num_envs=5,
        initial_value=-1.0,
    ).learn(20_000)
    agent.save(tmp_path / "agent")
    loaded = cdq.QLearner.load(tmp_path / "agent", MODEL)
    assert loaded.settings == agent.settings
    assert loaded.steps == agent.steps
    assert loaded.table.digest() == agent.table.digest()
    assert loaded._state.merged.clock.tobytes() == agent._state.merged.clock.tobytes()
    assert loaded.learn(5000).steps > agent.steps
    assert loaded.table.visits.sum() == loaded.steps
    table = cdq.QTable.load(tmp_path / "agent")
    assert table.digest() == agent.table.digest()
    assert table.environment == MODEL.name


def test_a_loaded_learner_learns_from_fresh_streams_the_same_every_time(tmp_path: Path) -> None:
    agent = learner(sync_every=300).learn(20_000)
    agent.save(tmp_path / "agent")
    first, second = (cdq.QLearner.load(tmp_path / "agent", MODEL).learn(5000) for _ in range(2))
    assert first.table.digest() == second.table.digest()
    assert first.table.digest() != agent.learn(5000).table.digest()
    first.save(tmp_path / "again")
    assert cdq.QLearner.load(tmp_path / "again", MODEL)._state.session == 2


def test_a_learner_that_has_not_learnt_is_saved_and_loaded(tmp_path: Path) -> None:
    learner(initial_value=3.0).save(tmp_path / "agent")
    loaded = cdq.QLearner.load(tmp_path / "agent", MODEL)
    assert (loaded.table.values == 3).all()
    assert loaded.learn(1000).steps >= 1000


def test_an_environment_is_found_by_its_name(tmp_path: Path) -> None:
    cdq.QLearner("FrozenLake-v1", seed=0).learn(1000).save(tmp_path / "lake")
    assert cdq.QLearner.load(tmp_path / "lake").model.name == "FrozenLake-v1"


def test_a_table_of_another_environment_is_refused(tmp_path: Path) -> None:
    learner().save(tmp_path / "agent")
    others = [
        random_model(12, 3, seed=9, time_limit=20),
        random_model(12, 3, seed=8),
        random_model(11, 3, seed=8, time_limit=20),
        "FrozenLake-v1",
    ]
    for other in others:
        with pytest.raises(
            TableError, match=r"was learnt on random-8, whose model differs .* give the environment"
        ):
            cdq.QLearner.load(tmp_path / "agent", other)
    with pytest.raises(UnsupportedEnvironment, match="random-8"):
        cdq.QLearner.load(tmp_path / "agent")


def test_fingerprints_tell_models_apart() -> None:
    same = random_model(12, 3, seed=8, time_limit=20)
    assert MODEL.fingerprint() == same.fingerprint()
    assert MODEL.fingerprint() != random_model(12, 3, seed=8).fingerprint()


def test_a_rule_of_ones_own_is_given_again(tmp_path: Path) -> None:
    agent = learner(merge=Mean(), sync_every=100).learn(1000)
    agent.save(tmp_path / "agent")
    with pytest.raises(ConfigError, match=r"unknown merge 'Mean' in .*agent: .*load\(path, merge=Mean\(\)\)"):
        cdq.QLearner.load(tmp_path / "agent", MODEL)
    loaded = cdq.QLearner.load(tmp_path / "agent", MODEL, merge=Mean())
    assert loaded.settings.sync_every == FixedWindow(100)
    loaded.learn(1000)


def test_a_table_alone_is_no_learner(tmp_path: Path) -> None:
    learner().table.save(tmp_path / "table")
    with pytest.raises(FileError, match=r"holds a table, not a learner; read it with cdq.QTable.load"):
        cdq.QLearner.load(tmp_path / "table", MODEL)


def test_tables_of_another_shape_or_with_nan_do_not_load(tmp_path: Path) -> None:
    learner().save(tmp_path / "agent")
    tensors, header = read_tensors(tmp_path / "agent")
    wrong = [
        {**tensors, "values": np.zeros((11, 3))},
        {**tensors, "clock": np.zeros((12, 2), np.uint32)},
        {**tensors, "values": np.full((12, 3), np.nan)},
        {**tensors, "values": np.zeros((12, 3), np.int64)},
        {**tensors, "visits": np.full((12, 3), -1)},
    ]
    for changed in wrong:
        write_tensors(tmp_path / "wrong", changed, header)
        with pytest.raises(TableError):
            cdq.QLearner.load(tmp_path / "wrong", MODEL)


def headers_without(header: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a file may say in place of what a learner is made with."""
    settings = header["settings"]
    bare = {name: value for name, value in header.items() if name != "settings"}
    wrong = [None, 5, "text", [], {}]
    changes = [
        *({name: value} for name in ("window", "step_size", "exploration") for value in wrong),
        *({name: value} for name in ("merge", "comm", "dtype") for value in (None, 5, {})),
        {"window": {"kind": []}},
        {"window": {"kind": "FixedWindow", "days": 3}},
        {"step_size": {"kind": "Constant", "value": "high"}},
    ]
    return [
        *(bare | change for change in [{}, *({"settings": value} for value in wrong)]),
        *(header | {"settings": {**settings, **change}} for change in changes),
        *(
            header | {"settings": {key: settings[key] for key in settings if key != name}}
            for name in settings
            if name != "overlap"
        ),
        {name: value for name, value in header.items() if name != "environment"},
        header | {"environment": 5},
    ]


def test_a_file_that_lacks_settings_is_no_learner_s(tmp_path: Path) -> None:
    """Checkpoints and jobs are read by the same function."""
    learner(checkpoint=tmp_path / "run").learn(1000)
    learner().save(tmp_path / "agent")
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    for path, load in (
        (tmp_path / "agent", lambda: cdq.QLearner.load(tmp_path / "agent", MODEL)),
        (checkpoint, lambda: cdq.QLearner.resume(tmp_path / "run", MODEL)),
    ):
        tensors, header = read_tensors(path)
        for wrong in headers_without(header):
            write_tensors(path, tensors, wrong)
            with pytest.raises(FileError, match=f"{path.name} lacks what a learner is made with") as caught:
                load()
            assert caught.value.__suppress_context__, wrong


def test_truncated_files_do_not_load(tmp_path: Path) -> None:
    path = tmp_path / "agent"
    learner().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match=str(path)):
            cdq.QLearner.load(path, MODEL)


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "agent"
    agent = learner()
    agent.save(path)
    before = path.read_bytes()
    agent.learn(1000)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left"):
        agent.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["agent"]


@pytest.mark.parametrize(
    "changes",
    [
        {"exploration": LinearDecay(1.0, 0.1, 1e6)},
        {"sync_every": cdq.AutoWindow(mass=2.0, floor=77)},
        {"gamma": 1.0},
        {"seed": 2**70},
        {"merge": "max"},
    ],
)
def test_every_setting_survives_a_file(changes: dict[str, Any], tmp_path: Path) -> None:
    agent = learner(**changes)
    agent.save(tmp_path / "agent")
    assert cdq.QLearner.load(tmp_path / "agent", MODEL).settings == agent.settings


def test_the_history_survives_a_file(tmp_path: Path) -> None:
    agent = learner(sync_every=100).learn(20_000)
    agent.save(tmp_path / "agent")
    loaded = cdq.QLearner.load(tmp_path / "agent", MODEL)
    assert repr(list(loaded.history)) == repr(list(agent.history))
    kept = ("seconds", "rounds", "episodes", "bytes", "steps_per_second")
    before, after = agent.report(), loaded.report()
    assert [after[name] for name in kept] == [before[name] for name in kept]
    rounds, seconds = agent.history[-1].rounds, agent.history[-1].seconds
    loaded.learn(5000)
    assert loaded.history[-1].rounds > rounds
    assert loaded.history[-1].seconds > seconds


def test_files_without_a_history_still_load(tmp_path: Path) -> None:
    """Earlier ones."""
    agent = learner().learn(1000)
    agent.save(tmp_path / "agent")
    tensors, header = read_tensors(tmp_path / "agent")
    older = {name: tensor for name, tensor in tensors.items() if not name.startswith("history.")}
    write_tensors(tmp_path / "older", older, header)
    loaded = cdq.QLearner.load(tmp_path / "older", MODEL)
    assert (len(loaded.history), loaded.steps) == (0, agent.steps)
    assert loaded.table.digest() == agent.table.digest()
    del tensors["history.bytes"]
    write_tensors(tmp_path / "torn", tensors, header)
    with pytest.raises(FileError, match=r"lacks what a learner goes on from: .*history.bytes"):
        cdq.QLearner.load(tmp_path / "torn", MODEL)


@pytest.mark.parametrize("path", [5, 0, None, "", b"agent", ["agent"]], ids=str)
def test_what_is_no_path_is_refused(path: Any) -> None:
    agent = learner()
    for call in (
        lambda: agent.save(path),
        lambda: cdq.QLearner.load(path),
        lambda: cdq.QLearner.resume(path),
        lambda: agent.table.save(path),
        lambda: cdq.QTable.load(path),
        *([] if path is None else [lambda: learner(checkpoint=path)]),
    ):
        with pytest.raises(ConfigError, match="is .*; allowed: a path, as text or as a pathlib.Path"):
            call()


def test_a_file_of_a_stepped_environment_says_what_may_differ(tmp_path: Path) -> None:
    cdq.QLearner("Blackjack-v1", seed=0).save(tmp_path / "saved")
    with pytest.raises(
        TableError, match="id, class, arguments, spaces, names, masks or features differ from those"
    ):
        cdq.QLearner.load(tmp_path / "saved", lambda: gymnasium.make("Blackjack-v1", natural=True))
