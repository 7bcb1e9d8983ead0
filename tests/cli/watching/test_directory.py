"""A run as its directory has it: going on, ended, stopped, killed; and files that are not what was written."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.cli.watching.directory import DirectoryWatch
from cdq.errors import CdqError, FileError
from cdq.storage import CheckpointDirectory, files, read_tensors, write_tensors
from cdq.training import MOST_CELLS


def learnt(path: Path, env: Any = "FrozenLake-v1", steps: float = 20_000, **settings: Any) -> Path:
    cdq.QLearner(env, seed=0, checkpoint=path, **settings).learn(steps, verbose=0)
    return path


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learnt(tmp_path_factory.mktemp("runs") / "lake")


@pytest.fixture
def run(lake: Path, tmp_path: Path) -> Path:
    """A copy of a run."""
    return Path(shutil.copytree(lake, tmp_path / "lake"))


def look(path: Path, env: str | None = None) -> dict[str, Any]:
    shown = DirectoryWatch(path, env).look()
    json.dumps(shown, allow_nan=False)
    return shown


def test_a_run_that_has_ended(lake: Path) -> None:
    shown = look(lake)
    run = shown["run"]
    assert (run["title"], run["state"], run["share"], run["troubles"]) == ("FrozenLake-v1", "ended", 1.0, [])
    figures = dict(run["figures"])
    agent = cdq.QLearner.resume(lake)
    assert figures["steps"] == "20,000 of 20,000 (100%)"
    assert figures["episodes"] == f"{agent.history[-1].episodes:,}"
    assert "time left" not in figures
    assert {"mean_return", "gap", "window", "bytes"} <= set(shown["curves"])
    assert shown["table"]["grid"] == [4, 4]
    assert " ".join(shown["table"]["signs"]) in agent.table.render().replace("\n", " ")
    assert "workers" not in shown


@pytest.mark.parametrize(
    ("env", "settings", "states"),
    [
        ("Taxi-v4", {}, 500),
        ("Blackjack-v1", {"table": "hash"}, None),
        ("CartPole-v1", {}, None),
        (cdq.MDP.garnet(MOST_CELLS + 1, 2, branching=2, seed=0), {}, MOST_CELLS + 1),
    ],
    ids=["taxi", "hashed", "features", "large"],
)
def test_tables_without_a_grid(
    env: Any, settings: dict[str, Any], states: int | None, tmp_path: Path
) -> None:
    shown = look(learnt(tmp_path / "run", env, 2000, **settings))
    assert shown["run"]["troubles"] == []
    assert "grid" not in shown["table"]
    assert len(shown["table"]["rows"]) == 12
    assert states is None or shown["table"]["states"] == states
    assert shown["table"]["weights"] is (env == "CartPole-v1")


@pytest.mark.parametrize(
    "settings", [{"rule": "double-q"}, {"dtype": "float32"}, {"workers": 2}, {"stepping": "python"}]
)
def test_tables_of_every_kind_are_on_the_grid(settings: dict[str, Any], tmp_path: Path) -> None:
    shown = look(learnt(tmp_path / "run", steps=5000, **settings))
    assert len(shown["table"]["values"]) == 16


def test_nothing_is_read_while_nothing_changes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = DirectoryWatch(run, None)
    first = watched.look()
    monkeypatch.setattr("cdq.cli.watching.directory.read_part", lambda *_, **__: pytest.fail("it was read"))
    again = watched.look()
    assert again["table"] is first["table"]
    assert again["curves"] is first["curves"]


def test_a_new_checkpoint_is_shown(run: Path) -> None:
    watched = DirectoryWatch(run, None)
    watched.look()
    cdq.QLearner.resume(run).learn(5000, verbose=0)
    assert dict(watched.look()["run"]["figures"])["steps"] == "25,008 of 25,000 (100%)"


def lock(run: Path, process: int, host: str | None = None) -> None:
    (run / "lock").write_text(f"process {process} on host {socket.gethostname() if host is None else host}")


def test_who_learns_there(run: Path) -> None:
    assert look(run)["run"]["state"] == "ended"
    with CheckpointDirectory(run).lock():
        assert look(run)["run"]["says"] == f"The run goes on, in process {os.getpid()}."
    assert look(run)["run"]["state"] == "ended"
    lock(run, 1234, "another")
    assert look(run)["run"]["says"] == "The run goes on, in process 1234 on another."
    (run / "lock").write_text("nothing of ours")
    assert look(run)["run"]["state"] == "ended"


def test_a_process_that_was_killed(run: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        lock(run, process.pid)
        assert look(run)["run"]["state"] == "running"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet taken note of
        killed = look(run)["run"]
    assert killed["state"] == "gone"
    assert killed["says"].startswith(
        f"Process {process.pid}, which learnt here, was killed. To go on: cdq train"
    )
    assert look(run)["run"]["says"] == killed["says"]
    lock(run, 10**17)
    assert look(run)["run"]["state"] == "running"  # no number of a process here: nobody knows


def test_a_run_that_was_ended_before_its_goal(run: Path) -> None:
    (newest,) = run.glob("checkpoint-*20000.*")
    tensors, header = read_tensors(newest)
    write_tensors(newest, tensors, {**header, "goal": {**header["goal"], "target": 40_000}})
    shown = look(run)["run"]
    assert (shown["state"], shown["share"]) == ("stopped", 0.5)
    assert shown["says"].endswith(f"cdq train --resume {run}.")


def test_a_run_without_a_checkpoint_yet(tmp_path: Path) -> None:
    directory = CheckpointDirectory(tmp_path / "run")
    with directory.lock():
        assert look(directory.path)["run"]["state"] == "running"
    assert look(directory.path)["run"]["state"] == "waiting"


def test_a_directory_that_goes_away(run: Path) -> None:
    watched = DirectoryWatch(run, None)
    watched.look()
    shutil.rmtree(run)
    assert watched.look()["run"]["says"] == "The directory is not there any more."


# ---- what is no run


def test_what_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist; name a directory of checkpoints, or the URL"):
        DirectoryWatch(tmp_path / "nothing", None)
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="is no directory"):
        DirectoryWatch(tmp_path / "file", None)
    with pytest.raises(FileError, match="holds no run"):
        DirectoryWatch(tmp_path, None)


def damage(run: Path, **changes: Any) -> None:
    """Write every checkpoint anew, with other tensors and another header."""
    for path in run.glob("checkpoint-*"):
        tensors, header = read_tensors(path)
        told = {name: value for name, value in changes.items() if not isinstance(value, np.ndarray)}
        arrays = {name: value for name, value in changes.items() if isinstance(value, np.ndarray)}
        write_tensors(path, {**tensors, **arrays}, {**header, **told})


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "learner"},
        {"steps": -1},
        {"steps": "many"},
        {"goal": 3},
        {"goal": {"target": 1}},
        {"values": np.zeros(5)},
        {"values": np.zeros((16, 3)), "settings": {"rule": "double-q"}},
        {"actions": np.zeros((2, 3), bool)},
        {"actions": np.zeros(16, bool)},
        {"history.steps": np.zeros(2)},
        {"history.gap": np.zeros((2, 2))},
        {"keys": np.zeros((2, 2), np.uint64)},
    ],
    ids=str,
)
def test_checkpoints_that_are_none_are_told_of(run: Path, changes: dict[str, Any]) -> None:
    damage(run, **changes)
    shown = look(run)
    assert shown["run"]["troubles"][0].startswith("No checkpoint can be shown: no checkpoint in ")
    assert "table" not in shown


def test_a_damaged_checkpoint_is_skipped(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    newest = max(run.glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:50])
    assert dict(look(run)["run"]["figures"])["steps"].startswith("15,872 of")
    assert "skipped" in caplog.text


def test_links_are_not_followed(run: Path, tmp_path: Path) -> None:
    for path in run.glob("checkpoint-*"):
        target = tmp_path / path.name
        path.rename(target)
        path.symlink_to(target)
    assert "it is a link" in look(run)["run"]["troubles"][0]


def test_strange_texts_of_a_file_are_printable(run: Path) -> None:
    damage(run, environment="\x1b[2J" + "<b>" * 1000, model="00")
    shown = look(run)["run"]
    assert len(shown["title"]) == 200
    assert "\x1b" not in json.dumps(shown)


# ---- environments


def test_no_module_is_imported_because_a_file_names_it(run: Path) -> None:
    damage(run, made_of={"id": "shop:Shop-v0"}, environment="shop:Shop-v0")
    shown = look(run)
    assert "grid" not in shown["table"]
    assert shown["run"]["troubles"][0].startswith("The table is shown without its grid: ")


@pytest.mark.parametrize("env", ["Taxi-v4", "FrozenLake9-v1", "nowhere_at_all:Shop-v0"])
def test_an_environment_that_is_not_the_runs_is_refused(lake: Path, env: str) -> None:
    with pytest.raises(CdqError):
        look(lake, env)


@pytest.mark.parametrize(
    "settings", [3, {}, {"gamma": "much"}, {"rule": ["double-q"]}, {"features": 1}], ids=str
)
def test_settings_that_are_none_leave_the_table_without_its_grid(run: Path, settings: Any) -> None:
    damage(run, settings=settings, model="00")
    assert "grid" not in look(run)["table"]


def test_the_environment_of_the_run_may_be_named(lake: Path) -> None:
    assert look(lake, "FrozenLake-v1")["table"]["grid"] == [4, 4]


def test_a_large_checkpoint_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = learnt(tmp_path / "run", cdq.MDP.garnet(300_000, 4, branching=1, seed=0), 1000)
    monkeypatch.setattr(files, "read_file", lambda *_, **__: pytest.fail("all of it was read"))
    shown = look(path)
    assert shown["table"]["states"] == 300_000
    assert len(json.dumps(shown)) < 50_000
