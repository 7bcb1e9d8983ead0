"""A hub that is started again: what it acknowledged counts, whatever changed since."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import DivergenceError, FileError
from cdq.job.contributions import Contributions
from cdq.job.journal import NAME, Journal, read
from cdq.job.recovery import recover, seconds_of
from cdq.job.replay import Rehearsal, replay
from cdq.job.service import LearningService, Record
from cdq.training.goals import Goal, OptimalWithin
from tests.job.jobs import Hub, journal_in
from tests.job.processes import Processes, processes
from tests.job.test_asynchronous import Job
from tests.job.test_chaos import assert_exact, rounds, table_of, until_rounds

JOB: dict[str, Any] = {"steps": 60_000, "sync_every": 500, "checkpoint_every": 10**9}
GOAL = {"target": 6_000, "until": None, "keep_every": 0, "measure_at": 0}


# ---- processes


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_lie_that_was_accepted_does_not_stop_the_job(asynchronous: bool, tmp_path: Path) -> None:
    with processes(tmp_path, **JOB, seen=True, hosting={"asynchronous": asynchronous, "grace": 0.2}) as made:
        kill_after(made, 3, program="tests.job.liar")
        printed, said = made.hub().communicate(timeout=30)
        assert printed.split()[1] == "60000", said
        with pytest.raises(
            DivergenceError, match=r"round 1 comes out otherwise .* did not deliver what it should"
        ):
            replay(made.directory)
        assert printed.split()[0] == table_of(made.directory).digest()


def kill_after(made: Processes, n: int, program: str = "cdq.job.join") -> None:
    """Kill a hub after some rounds; its worker stays."""
    hub, _ = made.hub(), made.worker(program=program)
    until_rounds(made.directory, n)
    hub.kill()
    hub.communicate(timeout=20)


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 5_000},
        {"more": 0},
        {"hosting": {"asynchronous": True}},
        {"more": 90_000, "hosting": {"asynchronous": True, "durable": False}},
    ],
)
def test_another_goal_or_mode_after_a_restart(changes: dict[str, Any], tmp_path: Path) -> None:
    """Rounds since the checkpoint go by the goal and the mode that they had; twice, as both are in the journal then."""
    with processes(tmp_path, **{**JOB, "steps": 10**12}) as made:
        kill_after(made, 5)
        hub = made.hub(**changes)
        if changes.get("more", 10**12) < 10**12:
            printed, said = hub.communicate(timeout=30)
            last = rounds(made.directory)[-1]["steps"]
            assert printed.split()[1] == str(last), said
        else:
            until_rounds(made.directory, 5)
            hub.kill()
            hub.communicate(timeout=20)
            last = rounds(made.directory)[-1]["steps"]
            printed, said = made.hub(more=last + 5_000).communicate(timeout=30)
            assert int(printed.split()[1]) >= last + 5_000, said
        assert_exact(made.directory)


# ---- by hand


@contextmanager
def kept_by(directory: Path, hub: Hub, asynchronous: bool = False) -> Iterator[None]:
    """Let a hub keep what it does."""
    with journal_in(directory) as journal, Contributions(directory, durable=True) as contributions:
        hub.service._record = Record(journal.write, contributions.write)
        contributions.begin(0)
        journal.write({"start": 1, "goal": GOAL, "asynchronous": asynchronous})
        yield


def again(directory: Path, goal: Goal | None = None, aims: list[Goal] | None = None) -> Hub:
    """Return a hub that was started again on what is there."""
    hub, aims = Hub(workers=2, sync_every=100), [] if aims is None else aims
    state = hub.learner._state
    state.goal = goal or Goal(6_000)

    def make(kind: type[LearningService], then: Goal) -> LearningService:
        assert kind is LearningService
        aims.append(then)
        return hub.service

    with journal_in(directory) as journal:
        recover(journal, state.goal, make, Contributions(directory, durable=True))
    return hub


def test_rounds_are_applied_as_stored_or_else_learnt_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(workers=2, sync_every=100)
    with kept_by(tmp_path, hub):
        hub.play([0, 1], rounds=4)
        hub.play([1, 5], rounds=3)
    (stored,) = tmp_path.glob("contributions-*")
    whole = stored.read_bytes()
    for cut in range(0, len(whole) + 1, len(whole) // 7):
        stored.write_bytes(whole[:cut])
        assert again(tmp_path).digest == hub.digest, cut
    stored.write_bytes(whole[: len(whole) // 2] + b"\xff" + whole[len(whole) // 2 + 1 :])
    assert again(tmp_path).digest == hub.digest
    stored.write_bytes(whole)
    monkeypatch.setattr(Rehearsal, "learn", None)  # nothing is learnt where all is stored
    assert again(tmp_path).digest == hub.digest


def test_the_goal_is_that_of_the_rounds_while_they_are_applied(tmp_path: Path) -> None:
    hub = Hub(workers=2, sync_every=100)
    with kept_by(tmp_path, hub):
        hub.play([0, 1], rounds=4)
    goal, aims = Goal(100, OptimalWithin(0.5), 7, 3), list[Goal]()
    other = again(tmp_path, goal, aims)
    assert other.digest == hub.digest
    assert other.learner._state.goal is goal
    assert [(then.target, then.until, then.measure_at) for then in aims] == [(6_000, None, sys.maxsize)]
    assert again(tmp_path, Goal(6_000, None, 7, 3), aims).digest == hub.digest
    assert aims[1:] == [Goal(6_000, None, 7, 3)]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 1},
        {"start": 1, "asynchronous": False, "goal": {"target": 5}},
        {"start": 1, "asynchronous": False, "goal": "far"},
        {"round": 1},
        {"round": 1, "size": 2, "members": [], "merged": 5},
        {"round": 1, "size": 2, "members": [[0, 1]], "merged": 5},
        {"round": 1, "size": 2, "members": [0], "merged": 5},
        {"round": 1, "size": 2, "members": [["0", 1, 2]], "merged": 5},
        {"round": 1, "size": -1, "members": [[0, 1, 2]], "merged": 5},
        {"round": 1, "size": 2, "members": [[0, 1, 1 << 70]], "merged": 5},
        {"round": 1, "size": 2, "members": [[0, 1, 2]], "base": 0, "task": [1]},
        {"round": True, "size": 2, "members": [[0, 1, 2]], "merged": 5},
    ],
)
def test_lines_that_are_whole_and_say_nothing(
    wrong: dict[str, Any], asynchronous: bool, tmp_path: Path
) -> None:
    with journal_in(tmp_path) as journal:
        if "round" in wrong:
            journal.write({"start": 1, "goal": GOAL, "asynchronous": asynchronous, "durable": False})
        journal.write(wrong)
    with pytest.raises(FileError, match="the journal lacks what"):
        again(tmp_path)


@pytest.mark.parametrize("durable", [True, False])
def test_a_contribution_that_is_missing(
    durable: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without rounds it cannot be learnt again: where it was promised that is an error, else the job ends before it."""
    job = Job()
    start = {"start": 1, "goal": {**GOAL, "target": 6_000}, "asynchronous": True, "durable": durable}
    hub = {"epoch": 1, "version": 0, "peers": [[0, "", "a", 0, True]]}
    with journal_in(tmp_path) as journal, Contributions(tmp_path, durable=True) as contributions:
        contributions.begin(0)
        job.service._record = Record(journal.write, contributions.write)
        journal.write({**start, "hub": hub})
        job.join(0)
        digests = []
        for _ in range(5):
            job.bring(0, state=1)
            digests.append(job.digest)
    (path,) = tmp_path.glob("contributions-*")
    after, stored = Job(), Contributions(tmp_path, durable=True)
    stored.find()
    path.write_bytes(path.read_bytes()[: stored._places[4][0].offset])
    goal = after.learner._state.goal
    with journal_in(tmp_path) as journal:
        if durable:
            with pytest.raises(FileError, match="the contribution to round 4 is not in .*; use another copy"):
                recover(journal, goal, lambda kind, then: after.service, stored)
            return
        recover(journal, goal, lambda kind, then: after.service, stored)
        assert after.digest == digests[2]
        assert journal.hub == {**hub, "version": 3, "peers": [[0, "", "a", 3, True]]}
        journal.write({"round": 4})
    assert [entry.get("round") for entry in read(tmp_path)] == [None, 1, 2, 3, 4]
    assert "round 4 and what came after it did not reach the disk" in caplog.text


# ---- disks


class Full:
    """A file on a disk on which so many bytes are free."""

    def __init__(self, file: Any, free: int) -> None:
        self._file, self.free = file, free

    def write(self, data: Any) -> int:
        n = min(len(data), self.free)
        if not n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.free -= n
        return int(self._file.write(data[:n]))

    def close(self) -> None:
        self._file.close()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_full_disk_is_what_is_told_whatever_closing_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill() -> None:
        with journal_in(tmp_path) as journal:
            journal.write({"round": 1})
            journal._file = Full(journal._file, 10)  # type: ignore[assignment]
            journal.write({"round": 2})

    with pytest.raises(FileError, match="cannot write .*: No space left on device; make room"):
        fill()
    assert [entry["round"] for entry in read(tmp_path)] == [1]
    assert (tmp_path / NAME).read_bytes().endswith(b"\n"), "half a line is taken off again"

    with journal_in(tmp_path) as journal:
        monkeypatch.setattr(os, "fsync", lambda _: os.close(-1))
        for attempt in (journal.sync, lambda: journal.write({"round": 2})):
            with pytest.raises(FileError, match="cannot write .*: Bad file descriptor; make room"):
                attempt()
        monkeypatch.undo()
    assert [entry["round"] for entry in read(tmp_path)] == [1]

    def fill_contributions() -> None:
        with Contributions(tmp_path, durable=True) as contributions:
            contributions.begin(0)
            contributions._file = Full(contributions._file, 30)  # type: ignore[assignment]
            contributions.write(1, [b"x" * 100])

    with pytest.raises(FileError, match="cannot write contributions .*: No space left on device; make room"):
        fill_contributions()


def test_files_in_parts_are_whole(tmp_path: Path) -> None:
    """A call may write less than it was given."""
    with journal_in(tmp_path) as journal:
        journal._file = Slow(journal._file, 10**9)  # type: ignore[assignment]
        journal.write({"round": 1})
    with Contributions(tmp_path, durable=True) as contributions:
        contributions.begin(0)
        contributions._file = Slow(contributions._file, 10**9)  # type: ignore[assignment]
        contributions.write(1, [b"abc" * 50, b"de"])
        contributions.find()
        from zlib import crc32

        assert contributions.of_round(1, [crc32(b"abc" * 50), crc32(b"de")]) == [b"abc" * 50, b"de"]
        assert contributions.of_round(1, [crc32(b"de"), crc32(b"abc" * 50)]) is None
    assert len(read(tmp_path)) == 1


def test_a_record_that_cannot_be_takes_no_memory(tmp_path: Path) -> None:
    """A file of 40 GB without blocks, whose first record says that it is as long."""
    path = tmp_path / f"contributions-{0:020d}.bin"
    path.write_bytes(struct.pack("<qqI", 1, 40 << 30, 0))
    with open(path, "r+b") as file:
        file.truncate((40 << 30) + 20)
    stored = Contributions(tmp_path, durable=True, largest=1000)
    stored.find()
    assert stored.of_round(1, [0]) is None
    path.write_bytes(struct.pack("<qqI", 1, -5, 0) + b"x" * 100)
    stored.find()
    assert stored.of_round(1, [0]) is None


class Slow(Full):
    def write(self, data: Any) -> int:
        return super().write(data[:7])


# ---- what is in the place of a file


def test_links_are_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    job = tmp_path / "job"
    job.mkdir()
    (job / NAME).symlink_to(mine)
    for attempt in (lambda: journal_in(job), lambda: read(job)):
        with pytest.raises(FileError, match="it is a link, which is not followed"):
            attempt()
    (job / NAME).unlink()
    os.mkfifo(job / NAME)
    with pytest.raises(FileError, match="it is not a regular file"):
        Journal(job, durable=True)
    place = job / f"contributions-{5:020d}.bin"
    place.symlink_to(mine)
    with pytest.raises(FileError, match="it is a link"):
        Contributions(job, durable=True).find()
    with Contributions(job, durable=True) as contributions:
        contributions.begin(5)
        contributions.write(6, [b"new"])
    assert (mine.read_text(), place.is_symlink()) == ("mine", False)


def test_rounds_that_a_restart_takes_over_took_their_time(tmp_path: Path) -> None:
    """Their steps count, so that their seconds must too: else the speed is that of a disk."""
    with processes(tmp_path, **JOB, seen=True, hosting={"grace": 0.2}) as made:
        kill_after(made, 5)
        lines = list(read(made.directory))
        times = [entry["time"] for entry in lines if "start" in entry or "round" in entry]
        made.hub().communicate(timeout=30)
        history = cdq.QLearner.resume(made.directory, comm="inprocess").history
    assert history[-1].steps == 60_000
    assert history[-1].seconds > times[-1] - times[0]


def test_time_in_which_there_was_no_hub_does_not_count() -> None:
    lines: list[dict[str, Any]] = [
        {"start": 1, "time": 100.0},
        {"round": 1, "time": 103.0},
        {"start": 2, "time": 900.0},
        {"round": 2, "time": 904.0},
        {"round": 3, "time": 903.0},  # the clock was set back
        {"round": 4, "time": 905.0},
    ]
    assert seconds_of(lines, None) == 3.0 + 4.0 + 2.0
    assert seconds_of(lines[1:2], 101.0) == 2.0
    assert seconds_of([{"start": 1}, {"round": 1, "time": 3.0}, {"round": 2, "time": 4.0}], 1.0) == 1.0
