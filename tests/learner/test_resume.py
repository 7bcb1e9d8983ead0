"""A run that is stopped and resumed is the run that was not, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError, FileError, TableError, UnsupportedEnvironment
from tests import runs

START = str(Path(__file__).parents[1] / "start.py")  # runs a module of the tests
SEEDS_EACH = 3  # killed at other times, of each way


@pytest.mark.parametrize("way", runs.WAYS)
def test_resumed_from_any_checkpoint_the_run_is_the_same(way: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    with runs.copied(tmp_path / "copies") as copies:
        agent = runs.begin(whole, way)
    assert len(copies) > 6
    if "until" in runs.WAYS[way]:
        assert agent.steps < 400_000
    for copy in (copies[0], copies[len(copies) // 2], copies[-2], copies[-1]):
        resumed = runs.resume(copy)
        assert resumed.steps == int(copy.name.partition("-")[2])
        resumed.learn()
        assert runs.differing(whole, copy) == [], f"{way}, resumed from {copy.name}"
        assert resumed.table.digest() == agent.table.digest()
        assert resumed.steps_left == 0


def test_an_environment_that_was_named_by_another_id_is_told_of_alike(tmp_path: Path) -> None:
    """The file of CartPole-v1 names its compiled twin, which is opened for reasons of its own."""
    whole, settings = tmp_path / "whole", {"features": cdq.TileCoding(4, 4), "seed": 0, "num_envs": 8}
    with runs.copied(tmp_path / "copies") as copies:
        cdq.QLearner("CartPole-v1", checkpoint=whole, checkpoint_every=1000, **settings).learn(4000)
    for copy in copies[:-1]:
        cdq.QLearner.resume(copy).learn()
        assert runs.differing(whole, copy) == []


@pytest.mark.parametrize("way", runs.WAYS)
def test_killed_again_and_again_the_run_is_the_same(way: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    runs.begin(whole, way)
    program = [sys.executable, START, "tests.runs", "is_killed_until_finished"]
    environment = {**os.environ, "PYTHONPATH": str(Path(cdq.__file__).parents[1])}
    done = subprocess.run(
        [*program, str(tmp_path), way, "0", str(SEEDS_EACH)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == SEEDS_EACH
    for one in told:
        assert runs.differing(whole, tmp_path / str(one["seed"])) == [], one
    assert sum(one["kills"] for one in told) > 0


# ---- another number of workers


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_another_number_of_workers_goes_on_from_the_table(
    workers: int, overlap: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with runs.copied(tmp_path / "copies") as copies:
        whole = runs.begin(tmp_path / "whole", "schedules", overlap=overlap)
    half = copies[len(copies) // 2]
    held = runs.kept(half)
    agent = runs.resume(half, workers=workers)
    warning = f"the checkpoint is of 2 workers, this run has {workers}: its random streams begin anew"
    assert caplog.messages == [warning]
    merged = agent._state.merged
    for name, array in (("values", merged.values), ("visits", merged.visits), ("clock", merged.clock)):
        assert array.tobytes() == held[name][2], name
    assert (agent.steps, agent._state.progress.window) == (held["steps"], held["window"])
    assert agent.settings == replace(whole.settings, workers=workers)
    agent.learn()
    assert 0 <= agent.steps - runs.STEPS < workers * 3
    assert agent.table.visits.sum() == agent.steps
    assert agent.history["steps"].tolist()[: len(held["history.steps"][2]) // 8] == [
        row for row in whole.history["steps"] if row <= held["steps"]
    ]
    again = runs.resume(half)  # now it is a checkpoint of so many workers
    assert (again.settings.workers, again.steps, again._state.session) == (workers, agent.steps, 1)
    assert caplog.messages == [warning]


# ---- damaged checkpoints


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("way", ["fixed windows", "overlapped, automatic windows"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_resumed(
    way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = tmp_path / "whole"
    with runs.copied(tmp_path / "copies") as copies:
        runs.begin(whole, way)
    copy = copies[7]
    *_, before, newest = sorted(copy.glob("checkpoint-*"))
    damage(newest)
    agent = runs.resume(copy)
    assert agent.steps == int(before.stem.partition("-")[2])
    assert caplog.messages == [f"skipped {newest}: it was altered (its checksum differs); use another copy"]
    agent.learn()
    assert runs.differing(whole, copy) == []


def test_where_all_are_damaged_none_is_resumed(tmp_path: Path) -> None:
    runs.begin(tmp_path / "run", "alone")
    for path in (tmp_path / "run").glob("checkpoint-*"):
        damage(path)
    with pytest.raises(
        FileError, match=f"no checkpoint in {tmp_path / 'run'} can be read; use another copy: "
    ):
        runs.resume(tmp_path / "run")


# ---- what cannot be resumed


def test_what_is_no_directory_of_checkpoints_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    for name in ("missing", "empty", "file"):
        with pytest.raises(FileError, match=f"there is no checkpoint in {tmp_path / name}; "):
            runs.resume(tmp_path / name)
    assert not (tmp_path / "missing").exists()


def test_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    runs.begin(tmp_path / "run", "alone").save(tmp_path / "learner")
    (newest,) = sorted((tmp_path / "run").glob("checkpoint-*"))[-1:]
    with pytest.raises(
        FileError, match="holds a checkpoint, not a learner; give its directory to cdq.QLearner.r"
    ):
        cdq.QLearner.load(newest, runs.MODEL)
    (tmp_path / "learner").rename(newest)
    with pytest.raises(FileError, match="holds a learner, not a checkpoint; read it with cdq.QLearner.load"):
        runs.resume(tmp_path / "run")


def test_another_environment_is_told(tmp_path: Path) -> None:
    runs.begin(tmp_path / "run", "alone")
    with pytest.raises(
        TableError, match="was learnt on random-8, whose model differs from that of FrozenLake-v1"
    ):
        cdq.QLearner.resume(tmp_path / "run", "FrozenLake-v1")
    with pytest.raises(UnsupportedEnvironment):
        cdq.QLearner.resume(tmp_path / "run")  # no registered name is that of the model


def test_a_rule_of_the_user_s_own_is_given_again(tmp_path: Path) -> None:
    with runs.copied(tmp_path / "copies") as copies:
        runs.begin(tmp_path / "run", "fixed windows", merge=Halfway())
    with pytest.raises(ConfigError, match="Halfway"):
        runs.resume(copies[3])
    runs.resume(copies[3], merge=Halfway()).learn()
    assert runs.differing(tmp_path / "run", copies[3]) == []


class Halfway(cdq.MergeRule):
    """The middle between the largest and the smallest."""

    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        return (values.max(axis=0) + values.min(axis=0)) / 2


# ---- what goes on after a resumed run


def test_a_finished_run_that_is_resumed_has_nothing_left(tmp_path: Path) -> None:
    agent = runs.begin(tmp_path / "run", "until optimal")
    resumed = runs.resume(tmp_path / "run")
    assert (resumed.steps_left, resumed.until) == (0, cdq.OptimalWithin(0.05))
    rounds = len(resumed.history)
    assert resumed.learn().steps == agent.steps
    assert len(resumed.history) == rounds


def test_learning_more_after_a_resumed_run_is_as_after_the_whole(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with runs.copied(tmp_path / "copies") as copies:
        agent = runs.begin(one, "automatic windows", checkpoint_every=None)
    shutil.copytree(copies[4], other)
    resumed = runs.resume(other).learn()
    resumed.learn(5000)
    agent.learn(5000)
    assert runs.differing(one, other) == []
    resumed.save(tmp_path / "learner")
    loaded = cdq.QLearner.load(tmp_path / "learner", runs.MODEL)
    assert (loaded.table.digest(), loaded.steps) == (agent.table.digest(), agent.steps)


def test_other_steps_than_were_left_may_be_asked_for(tmp_path: Path) -> None:
    with runs.copied(tmp_path / "copies") as copies:
        runs.begin(tmp_path / "run", "alone")
    agent = runs.resume(copies[2])
    steps = agent.steps
    assert agent.learn(600).steps == steps + 600
    assert agent.steps_left == 0
