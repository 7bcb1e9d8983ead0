"""Workers of a hub's machine that share memory: the bits of threads, without a message per round, and nothing lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import DivergenceError, FileError, PeerLost
from cdq.job.hub import Hosting
from cdq.job.journal import Entry, _line
from cdq.job.membership.connection import status
from cdq.job.replay import replay, require_next, require_round
from cdq.job.stretches import service
from cdq.job.stretches.offers import Offer
from cdq.training.interrupts import TERMINATED
from tests import running, runs
from tests.job.jobs import MODEL, Hub
from tests.job.processes import ENV, processes
from tests.job.test_chaos import (
    assert_exact,
    end,
    last_words,
    rounds,
    until,
    until_member,
    until_rounds,
)

USUAL: dict[str, Any] = {"num_envs": 3, "seed": 5, "gamma": 0.9, "workers": 3}
KINDS: dict[str, dict[str, Any]] = {
    "automatic windows": {},
    "float32": {"dtype": "float32", "merge": "mean"},
    "one worker": {"workers": 1, "sync_every": 100},
    "two tables": {"rule": "double-q", "sync_every": 50},
    "expected": {"rule": "expected-sarsa", "merge": "visits"},
    "an environment by its name": {"env": "CliffWalking-v1", "num_envs": 64},
    "step sizes fall": {"step_size": cdq.ExponentialDecay(0.5, 0.1, 3000), "merge": "mean"},
    "exploration falls": {"exploration": cdq.LinearDecay(1.0, 0.1, 3000), "merge": "importance"},
}


def learnt(comm: str, steps: int = 9000, **given: Any) -> cdq.QLearner:
    how = {**USUAL, **given}
    learn = {name: how.pop(name) for name in ("callbacks", "until") if name in how}
    return cdq.QLearner(how.pop("env", MODEL), comm=comm, **how).learn(steps, **learn)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many rounds each stretch had that workers played together, in this process's hubs."""
    told: list[int] = []
    apply = service.StretchService.apply_stretch

    def apply_and_tell(self: Any, *given: Any, **more: Any) -> Any:
        before = self.rounds
        apply(self, *given, **more)
        told.append(self.rounds - before)

    monkeypatch.setattr(service.StretchService, "apply_stretch", apply_and_tell)
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_rounds_without_messages_come_to_the_bits_of_threads(kind: str, played: list[int]) -> None:
    one, other = (learnt(comm, **KINDS[kind]) for comm in ("zmq", "inprocess"))
    assert one.table.digest() == other.table.digest()
    for name in set(one.history.to_arrays()) - {"seconds", "bytes"}:
        np.testing.assert_array_equal(one.history[name], other.history[name], name)
    assert 0 < sum(played) <= one.history[-1].rounds - 2  # before, workers come, and find the memory
    one.learn(2000), other.learn(2000)  # from where the environments are
    assert one.table.digest() == other.table.digest()


class Smallest(cdq.MergeRule):
    """A rule of one's own."""

    def combine(self, base: Any, values: Any, visits: Any, clock: Any, log_keep: Any) -> Any:
        return values.min(axis=0)


def count(run: Any) -> None:
    """See a round."""


@pytest.mark.parametrize("given", [{"callbacks": [count]}, {"merge": Smallest()}])
def test_rounds_that_somebody_sees_take_messages(given: dict[str, Any], played: list[int]) -> None:
    one, other = (learnt(comm, sync_every=500, **given) for comm in ("zmq", "inprocess"))
    assert played == []
    assert one.table.digest() == other.table.digest()


@pytest.mark.parametrize("here", ["no such memory", "not of this machine", "large"])
def test_where_there_is_no_memory_in_common_rounds_take_messages(
    here: str, monkeypatch: pytest.MonkeyPatch, played: list[int]
) -> None:
    pack = Offer.pack

    def refuse(name: str, flags: int) -> int:
        raise OSError(38, "Function not implemented")

    if here == "no such memory":
        monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    elif here == "large":
        monkeypatch.setattr(service, "_MOST_TABLE", 100)
    else:
        monkeypatch.setattr(Offer, "pack", lambda self: pack(self._replace(address="/proc/1/fd/0 x")))
    one, other = (learnt(comm, sync_every=500) for comm in ("zmq", "inprocess"))
    assert played == []
    assert one.table.digest() == other.table.digest()


def test_a_condition_ends_them_after_the_same_round(played: list[int]) -> None:
    until = cdq.OptimalWithin(0.05)
    one, other = (learnt(comm, steps=400_000, until=until, sync_every=200) for comm in ("zmq", "inprocess"))
    assert one.steps == other.steps < 400_000
    assert one.table.digest() == other.table.digest()
    assert played


def test_checkpoints_are_those_of_threads(tmp_path: Path, played: list[int]) -> None:
    for comm in ("zmq", "inprocess"):
        learnt(comm, sync_every=100, checkpoint=tmp_path / comm, checkpoint_every=3000)
    assert runs.differing(tmp_path / "inprocess", tmp_path / "zmq", "settings", "history.bytes") == []
    assert len(played) >= 3


def test_seconds_of_learning_begin_when_workers_are_there() -> None:
    learner = learnt("zmq", steps=900, sync_every=100)
    seconds = learner.history["seconds"]
    assert 0 < seconds[0] < seconds[-1]
    learner.learn(900)
    assert learner.history["seconds"][-1] > seconds[-1]


# ---- deaths


@contextlib.contextmanager
def once_learnt(learner: cdq.QLearner, act: Callable[[], Any]) -> Iterator[None]:
    """Do something as soon as the learner has learnt a little."""

    def wait_and_act() -> None:
        end = time.monotonic() + 30
        while learner.steps < 2000 and time.monotonic() < end:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def workers() -> list[int]:
    """Return the process numbers of the workers that this process has started."""
    return [pid for pid in running.children(os.getpid()) if "cdq.job.join" in running.command(pid)]


def test_what_a_stretch_had_learnt_when_a_worker_died_counts_nowhere(played: list[int]) -> None:
    learner = cdq.QLearner(MODEL, comm="zmq", sync_every=60, **USUAL)
    with (
        once_learnt(learner, lambda: os.kill(workers()[1], signal.SIGKILL)),
        pytest.raises(PeerLost, match=r"worker 1 of 3 \(process \d+\) ended by SIGKILL"),
    ):
        learner.learn(10**12)
    steps = learner.steps
    assert played
    assert int(learner.table.visits.sum()) == steps > 0
    learner.learn(6000)
    other = learnt("inprocess", sync_every=60, steps=steps).learn(6000)
    assert other.table.digest() == learner.table.digest()


def test_a_request_to_end_is_heard_after_a_stretch(played: list[int]) -> None:
    learner = cdq.QLearner(MODEL, comm="zmq", sync_every=60, **USUAL)

    def finish() -> None:
        learner._requests.finish[0] = TERMINATED

    with once_learnt(learner, finish), pytest.raises(SystemExit):
        learner.learn(10**12)
    assert played
    assert int(learner.table.visits.sum()) == learner.steps > 0


JOB: dict[str, Any] = {"steps": 1e12, "sync_every": 20_000, "workers": 2, "checkpoint_every": 1e9}


def stretches_in(directory: Path) -> list[Entry]:
    return [entry for entry in rounds(directory) if "rounds" in entry]


def until_stretches(directory: Path, members: int, more: int = 3) -> None:
    """Wait until so many workers have played rounds together, so many times from now on."""
    before = len(rounds(directory)) if (directory / "journal.jsonl").exists() else 0

    def has_come() -> bool:
        if not (directory / "journal.jsonl").exists():
            return False
        news = [entry for entry in rounds(directory)[before:] if "rounds" in entry]
        return sum(len(entry["members"]) == members for entry in news) >= more

    until(directory, has_come, 60.0)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
@pytest.mark.parametrize("more", [{}, {"round_timeout": 1.0}, {"durable": False}])
def test_the_others_play_on_when_one_is_gone(how: int, more: dict[str, Any], tmp_path: Path) -> None:
    with processes(tmp_path, **JOB, hosting={"grace": 0.3, **more}) as made:
        hub, members = made.hub(), [made.worker() for _ in range(3)]
        until_stretches(made.directory, 3)
        members[0].send_signal(how)
        until_stretches(made.directory, 2)
        end(made, hub)
        entries = assert_exact(made.directory)
    assert sum(entry.get("rounds", 1) for entry in entries) > 2 * len(entries)


@pytest.mark.parametrize("durable", [True, False])
def test_a_hub_that_is_killed_goes_on_with_the_last_whole_stretch(durable: bool, tmp_path: Path) -> None:
    with processes(tmp_path, **JOB, hosting={"grace": 0.3, "durable": durable}) as made:
        hub, members = made.hub(), [made.worker() for _ in range(3)]
        for _ in range(3):
            until_stretches(made.directory, 3)
            hub.kill()
            hub.communicate()
            hub = made.hub()
        until_stretches(made.directory, 3)
        end(made, hub)
        assert_exact(made.directory)
        assert [last_words(member) for member in members] == [""] * 3


def test_one_that_comes_late_plays_too(tmp_path: Path) -> None:
    with processes(tmp_path, **JOB) as made:
        hub, first = made.hub(), [made.worker() for _ in range(2)]
        until_stretches(made.directory, 2)
        late = made.worker()
        until_stretches(made.directory, 3)
        late.send_signal(signal.SIGTERM)
        assert (late.communicate(timeout=20)[1], late.returncode) == ("", 0)
        until_stretches(made.directory, 2)
        end(made, hub)
        assert_exact(made.directory)
        assert [last_words(member) for member in first] == [""] * 2


@pytest.mark.parametrize("harm", ["scribble", "other", "long"])
def test_a_hub_bears_one_that_means_harm_to_those_it_plays_with(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rubbish in the memory, another table than the others', a message of the greatest length."""
    monkeypatch.setenv("CDQ_HARM", harm)
    job = {**JOB, "workers": 1}
    with processes(tmp_path, **job, hosting={"grace": 0.3}) as made:
        hub, _ = made.hub(), made.worker()
        until_stretches(made.directory, 1)
        made.worker(program="tests.job.vandal")
        until_member(made.directory, 2)
        until_rounds(made.directory, 20)
        made.worker()  # whom the others trust may have harmed them: they are of one user
        until_rounds(made.directory, 5)
        end(made, hub)
        assert_exact(made.directory)


def test_others_bear_one_that_misleads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers in the memory that are none, while all play: nobody reads or writes beyond it, or waits without end."""
    monkeypatch.setenv("CDQ_HARM", "mislead")
    with processes(tmp_path, **JOB, hosting={"grace": 0.3}) as made:
        hub, members = made.hub(), [made.worker() for _ in range(2)]
        until_stretches(made.directory, 2)
        members.append(made.worker(program="tests.job.vandal"))
        until_member(made.directory, 2)
        until_rounds(made.directory, 20)
        until_stretches(made.directory, 3)
        end(made, hub)
        assert_exact(made.directory)
        assert [(last_words(member), member.returncode) for member in members] == [("", 0)] * 3


def test_the_status_is_true_while_workers_play(tmp_path: Path) -> None:
    with processes(tmp_path, **JOB) as made:
        made.hub()
        for _ in range(2):
            made.worker()
        until_stretches(made.directory, 2)
        first = status(made.url)
        until_stretches(made.directory, 2)
        told = status(made.url)
    service = told["service"]
    assert service["steps"] > first["service"]["steps"] > 0
    assert service["rounds"] > first["service"]["rounds"]
    assert 2 * service["rounds"] > told["counts"]["applied"]
    assert sum(speed["steps"] for speed in service["speeds"].values()) == service["steps"]
    assert [worker["uid"] for worker in told["workers"]] == [0, 1]
    assert told["counts"]["applied"] > first["counts"]["applied"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the directory of a job that stretches have finished, and the digest of its table."""
    folder = tmp_path_factory.mktemp("finished")
    with processes(folder, **{**JOB, "steps": 6e5, "sync_every": 500}) as made:
        hub, _ = made.hub(), [made.worker() for _ in range(2)]
        printed, said = hub.communicate(timeout=60)
        assert printed, said
        return made.directory, printed.split()[0]


def test_stretches_come_to_the_bits_of_threads(finished: tuple[Path, str]) -> None:
    directory, digest = finished
    threads = cdq.QLearner(ENV, num_envs=4, seed=7, workers=2, sync_every=500).learn(600_000)
    assert stretches_in(directory)
    assert threads.table.digest() == digest == replay(directory).digest()


@pytest.mark.parametrize("stored", [True, False])
def test_a_hub_takes_over_what_stretches_came_to(
    stored: bool, finished: tuple[Path, str], tmp_path: Path
) -> None:
    """From the stored contributions where the journal goes on behind the checkpoint, or by learning it again."""
    directory, digest = finished
    newest = max(directory.glob("checkpoint-*"))
    for path in directory.iterdir():
        if path != newest and path.is_file() and (stored or not path.name.startswith("contributions")):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    again = cdq.QLearner.resume(tmp_path, comm="zmq")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="cdq-") as short:
        again.learn(0, hosting=Hosting(f"zmq+ipc://{short}/hub"))
    assert again.table.digest() == digest
    assert again.history[-1].rounds == rounds(directory)[-1]["round"]
    assert again.history["seconds"][-1] < 60


def test_a_journal_that_lies_about_a_stretch_is_refused(finished: tuple[Path, str], tmp_path: Path) -> None:
    directory, _ = finished
    entry = stretches_in(directory)[0]
    for wrong in (
        {"rounds": 0},
        {"rounds": -1},
        {"rounds": "3"},
        {"rounds": 1 << 80},
        {"lanes": []},
        {"lanes": None},
        {"lanes": [1.5] * len(entry["members"])},
    ):
        with pytest.raises(FileError, match="lacks what its round"):
            require_round({**entry, **wrong})
    hub = Hub(workers=2, sync_every=60)
    with pytest.raises(FileError, match="goes on with round"):
        require_next(hub.service, {**entry, "rounds": entry["rounds"] + 9})
    begun = (directory / "job.safetensors").read_bytes()
    lines = (directory / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for wrong in (
        {"merged": entry["merged"] ^ 1},
        {"lanes": [one ^ 1 for one in entry["lanes"]]},
        {"steps": 1},
        {"steps": entry["steps"] - 1000},
    ):
        changed = [
            _line({**entry, **wrong}) if json.loads(line).get("round") == entry["round"] else line
            for line in lines
        ]
        (tmp_path / "job.safetensors").write_bytes(begun)
        (tmp_path / "journal.jsonl").write_bytes(b"".join(changed))
        with pytest.raises(DivergenceError, match=f"round {entry['round']} comes out otherwise"):
            replay(tmp_path)
