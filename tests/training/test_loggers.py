from __future__ import annotations

import csv
import errno
import json
import math
import os
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, FileError, PackageMissing
from cdq.training.played import Row

LINES = [cdq.CSVLogger, cdq.JSONLogger]


def learner(**changes: Any) -> cdq.QLearner:
    return cdq.QLearner("FrozenLake-v1", **{"seed": 0, "sync_every": 10_000, **changes})


def of_csv(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [
            {name: float(x) if x else math.nan for name, x in row.items()} for row in csv.DictReader(file)
        ]


def of_json(path: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: math.nan if x is None else x for name, x in row.items()} for row in rows]


READ = {cdq.CSVLogger: of_csv, cdq.JSONLogger: of_json}


@pytest.mark.parametrize("kind", LINES)
def test_a_file_has_the_rows_of_the_rounds(kind: Any, tmp_path: Path) -> None:
    path, seen = tmp_path / "log", []
    agent = learner(workers=2)
    agent.learn(200_000, callbacks=[kind(path, every=1), lambda run: seen.extend(run.rows)])
    agent.learn(50_000, callbacks=[kind(path, every=1), lambda run: seen.extend(run.rows)])
    rows = READ[kind](path)
    assert [tuple(row) for row in rows] == [Row._fields] * len(seen)
    for row, expected in zip(rows, seen, strict=True):
        assert all(
            row[name] == value or (math.isnan(row[name]) and math.isnan(value))
            for name, value in expected._asdict().items()
        )


@pytest.mark.parametrize("kind", LINES)
def test_rows_may_be_fewer(kind: Any, tmp_path: Path) -> None:
    learner().learn(100_000, callbacks=[kind(tmp_path / "log", every=30_000)])
    rows = READ[kind](tmp_path / "log")
    due = [row for row in rows if math.isnan(row["gap"])]
    assert 1 <= len(due) <= 3
    assert len(rows) < 10


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize(
    ("env", "arguments"),
    [("FrozenLake-v1", {"workers": 2}), ("CartPole-v1", {"network": cdq.Network((16,))})],
)
def test_a_file_has_at_least_the_rows_of_the_history(
    env: str, arguments: Any, kind: Any, tmp_path: Path
) -> None:
    agent = cdq.QLearner(env, seed=0, **arguments)
    agent.learn(200_000, callbacks=[kind(tmp_path / "log")])
    rows = READ[kind](tmp_path / "log")
    assert 500 < len(agent.history) < 1024  # none was left out
    assert [(row["steps"], row["episodes"]) for row in rows] == [
        (row.steps, row.episodes) for row in agent.history
    ]


def test_lines_are_a_1024th_apart_once_there_are_as_many_as_in_a_history(tmp_path: Path) -> None:
    """Also where a run goes on."""
    agent, path, seen = learner(sync_every=500), tmp_path / "log", []
    for _ in range(2):
        agent.learn(500_000, callbacks=[cdq.CSVLogger(path), lambda run: seen.extend(run.rows)])
    rows = of_csv(path)
    steps = np.array([row["steps"] for row in rows])
    assert np.array_equal(steps[:1024], [row.steps for row in seen[:1024]])
    later = np.array([row["steps"] for row in rows[1023:] if math.isnan(row["gap"])])
    gaps = np.diff(later) - later[:-1] // 1024
    assert (gaps <= 0).sum() <= 2  # the rows of the ends
    assert len(agent.history) < len(steps) < len(seen)
    learner(sync_every=500).learn(1_000_000, callbacks=[cdq.CSVLogger(tmp_path / "whole")])
    whole = [row["steps"] for row in of_csv(tmp_path / "whole")]
    assert set(steps) - set(whole) <= {*steps[steps >= 500_000]}


@pytest.mark.parametrize("kind", LINES)
def test_a_line_that_was_cut_is_removed(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    learner().learn(20_000, callbacks=[kind(path, every=1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    learner().learn(10_000, callbacks=[kind(path, every=1)])
    assert path.read_bytes().startswith(whole[: whole[:-1].rindex(b"\n") + 1])
    steps = [row["steps"] for row in READ[kind](path)]
    assert steps.count(10_000) == 2
    assert steps.count(20_000) == 0
    path.write_bytes(b"ste" if kind is cdq.CSVLogger else b"{")
    learner().learn(10_000, callbacks=[kind(path, every=1)])
    assert READ[kind](path)[-1]["steps"] == 10_000


@pytest.mark.parametrize("kind", LINES)
def test_the_last_row_is_that_of_the_end(kind: Any, tmp_path: Path) -> None:
    """Also of a call that fails; a call without a round adds none."""
    agent = learner()
    for _ in range(2):
        agent.learn(30_000, callbacks=[kind(tmp_path / "log", every=1e9)])
    assert READ[kind](tmp_path / "log")[-1]["steps"] == 60_000

    def fail(run: cdq.RunView) -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        agent.learn(30_000, callbacks=[kind(tmp_path / "log", every=1e9), fail])
    agent.learn(0, callbacks=[kind(tmp_path / "log", every=1e9)])
    steps = [row["steps"] for row in READ[kind](tmp_path / "log")]
    assert [n for n in steps if n in {30_000, 60_000, 70_000}] == [30_000, 60_000, 70_000]
    assert steps[-1] == 70_000


@pytest.mark.parametrize("kind", LINES)
def test_lines_after_the_checkpoint_are_not_there_twice(kind: Any, tmp_path: Path) -> None:
    """A run that was killed and goes on has the lines of one that was not."""
    path, run = tmp_path / "log", tmp_path / "run"
    learner().learn(300_000, callbacks=[kind(tmp_path / "whole")])
    learner(checkpoint=run, checkpoint_every=50_000).learn(300_000, callbacks=[kind(path)])
    for checkpoint in sorted(run.glob("checkpoint-*"))[1:]:
        checkpoint.unlink()
    path.write_bytes(path.read_bytes() + b"12")  # a line that was cut
    agent = cdq.QLearner.resume(run)
    assert 0 < agent.steps < 300_000
    agent.learn(callbacks=[kind(path)])
    found, expected = READ[kind](path), READ[kind](tmp_path / "whole")
    for row, other in zip(found, expected, strict=True):
        assert {**row, "seconds": 0} == pytest.approx({**other, "seconds": 0}, nan_ok=True)


@pytest.mark.parametrize("kind", LINES)
def test_lines_of_other_runs_stay(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "log"
    learner().learn(100_000, callbacks=[kind(path)])
    of_first = path.read_bytes()
    other = learner(seed=1, num_envs=3).learn(50_000)
    other.learn(50_000, callbacks=[kind(path)])
    assert path.read_bytes().startswith(of_first)
    learner(seed=2).learn(50_000, callbacks=[kind(path)])
    steps = np.array([row["steps"] for row in READ[kind](path)])
    assert (np.diff(steps) < 0).sum() == 2


@pytest.mark.parametrize("kind", LINES)
def test_what_cannot_be_written_is_said_before_work(kind: Any, tmp_path: Path) -> None:
    other, pipe = tmp_path / "other", tmp_path / "pipe"
    other.write_text("something else\nof somebody\n")
    os.mkfifo(pipe)
    for path in (other, pipe, tmp_path, tmp_path / "none" / "log"):
        agent = learner()
        with pytest.raises(FileError, match="cannot write"):
            agent.learn(10_000, callbacks=[kind(path)])
        assert agent.steps == 0
    assert other.read_text() == "something else\nof somebody\n"


@pytest.mark.parametrize("kind", [*LINES, cdq.TensorBoardLogger])
@pytest.mark.parametrize("arguments", [{"every": 0}, {"every": 1.5}, {"every": "x"}])
def test_arguments_are_checked(kind: Any, arguments: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="every"):
        kind(tmp_path / "log", **arguments)
    with pytest.raises(ConfigError, match="allowed: a path"):
        kind(3)


class Full:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        if data and not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._file.write(data[: self._room])
        self._room -= written
        return int(written)


@pytest.mark.parametrize("kind", [*LINES, cdq.TensorBoardLogger])
@pytest.mark.parametrize("room", [0, 1, 100, 5_000])
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_ends_the_call(
    kind: Any, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, at the start or in between: also where a part of what was written found room."""
    opened = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *args, **named: Full(opened(*args, **named), room))
    agent, before = learner(), threading.active_count()
    with pytest.raises(FileError, match=r"cannot write .*log: No space left on device$"):
        agent.learn(300_000, callbacks=[kind(tmp_path / "log")])
    assert agent.steps > 0 or room < 5_000
    assert threading.active_count() <= before


def test_a_call_that_ends_with_a_full_disk_fails_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *args, **named: Full(opened(*args, **named), 10))
    agent = learner()
    with pytest.raises(FileError, match="No space left"):
        agent.learn(10_000, callbacks=[cdq.JSONLogger(tmp_path / "log", every=1e9)])
    assert agent.steps == 10_000


@pytest.mark.parametrize("kind", [*LINES, cdq.TensorBoardLogger])
def test_a_device_is_no_file(kind: Any) -> None:
    if not os.path.exists("/dev/full"):
        pytest.fail("this test needs /dev/full")
    agent = learner()
    with pytest.raises(FileError, match="cannot write /dev/full"):
        agent.learn(10_000, callbacks=[kind("/dev/full")])


def events(path: Path) -> list[Any]:
    """Return the events of a file: records with their length before them."""
    from tensorboardX.proto.event_pb2 import Event

    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        found.append(Event.FromString(data[at + 12 : at + 12 + length]))
        at += 12 + length + 4
    return found


def checksums_fit(path: Path) -> bool:
    from tensorboardX.record_writer import masked_crc32c

    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        for start, end in ((at, at + 8), (at + 12, at + 12 + length)):
            if struct.unpack_from("<I", data, end) != (masked_crc32c(data[start:end]),):
                return False
        at += 12 + length + 4
    return at == len(data)


def scalars(path: Path) -> list[tuple[str, int, float]]:
    """Return tag, step and value of each point of an event file."""
    return [
        (value.tag, event.step, value.simple_value) for event in events(path) for value in event.summary.value
    ]


def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    agent = learner().learn(
        50_000, callbacks=[cdq.TensorBoardLogger(tmp_path / "runs", every=1), cdq.EvalCallback(20_000)]
    )
    (file,) = (tmp_path / "runs").iterdir()
    points, history = scalars(file), agent.history
    steps = [step for tag, step, _ in points if tag == "return/exploring"]
    assert steps == history["steps"][~np.isnan(history["mean_return"])].tolist()
    greedy = {step: value for tag, step, value in points if tag == "return/greedy"}
    rows = [row for row in history if not math.isnan(row.greedy_return)]
    assert greedy == {row.steps: pytest.approx(row.greedy_return) for row in rows}
    assert {"schedules/epsilon", "rounds/window", "table/visited", "gap/certified"} <= {
        tag for tag, *_ in points
    }
    assert not any(math.isnan(value) for *_, value in points)


def test_tensorboard_shows_points_after_the_checkpoint_once(tmp_path: Path) -> None:
    """Of what is written again TensorBoard shows the second: the file says from which step on."""
    from tensorboardX.proto.event_pb2 import SessionLog

    agent = learner().learn(50_000)
    agent.learn(20_000, callbacks=[cdq.TensorBoardLogger(tmp_path)])
    (file,) = tmp_path.iterdir()
    (start,) = [event for event in events(file) if event.session_log.status == SessionLog.START]
    assert start.step == 50_001
    assert scalars(file)[-1][1] == 70_000


def test_tensorboard_itself_reads_the_files_of_calls_within_a_second(tmp_path: Path) -> None:
    agent = learner()
    for _ in range(3):
        agent.learn(10_000, callbacks=[cdq.TensorBoardLogger(tmp_path, every=1)])
    files = sorted(tmp_path.iterdir())
    assert [events(file)[0].file_version for file in files] == ["brain.Event:2"] * 3
    steps = [step for file in files for tag, step, _ in scalars(file) if tag == "rounds/played"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 30_000
    checked = [checksums_fit(file) for file in files]
    assert checked == [True] * 3


def test_tensorboard_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(PackageMissing, match=r"cdq\[tensorboard\]"):
        cdq.TensorBoardLogger(tmp_path)
