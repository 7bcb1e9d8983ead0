"""G5, G6, G9: hub and workers killed and stopped, at random and all the time; the table is that of the replay."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cdq.job.journal import Entry, read
from cdq.job.replay import replay
from cdq.qfunctions.qtable import QTable
from cdq.storage.directory import CheckpointDirectory
from tests.job.processes import Processes, processes

KILLS = 18
HOSTING = {"grace": 0.2, "round_timeout": 1.0}


def rounds(directory: Path) -> list[Entry]:
    return [entry for entry in read(directory) if "round" in entry]


def until(directory: Path, wanted: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait, while the journal grows, for something to be true."""
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end, (
            f"nothing after {seconds} s; the journal has {len(rounds(directory))} rounds"
        )
        time.sleep(0.02)


def until_rounds(directory: Path, more: int) -> None:
    def count() -> int:
        return len(rounds(directory)) if (directory / "journal.jsonl").exists() else 0

    wanted = count() + more
    until(directory, lambda: count() >= wanted)


def until_member(directory: Path, n: int) -> None:
    """Wait until a round to which so many workers came."""
    until(directory, lambda: bool(last := rounds(directory)[-1:]) and len(last[0]["members"]) >= n)


def table_of(directory: Path) -> QTable:
    checkpoint = CheckpointDirectory(directory).newest()
    assert checkpoint is not None
    return QTable(checkpoint.tensors["values"], checkpoint.tensors["visits"])


def assert_exact(directory: Path) -> list[Entry]:
    """Assert that everything counted once, and that the run comes out again to the bit; return its rounds."""
    all_rounds, applied = rounds(directory), Counter[int]()
    number = 0
    for entry in all_rounds:  # workers of one machine play many rounds together
        number += entry.get("rounds", 1)
        assert entry["round"] == number
    for entry in all_rounds:
        for uid, sequence, _ in entry["members"]:
            applied[uid] += 1
            assert sequence == applied[uid], f"round {entry['round']}: worker {uid}"
    table = table_of(directory)
    assert replay(directory).digest() == table.digest()
    assert int(table.visits.sum()) == all_rounds[-1]["steps"]
    return all_rounds


def end(made: Processes, hub: subprocess.Popen[str]) -> None:
    """Let the hub end after the round in hand, with a checkpoint."""
    hub.send_signal(signal.SIGTERM)
    _, said = hub.communicate(timeout=20)
    assert hub.returncode == 0, said
    assert "ended early" in said


def last_words(worker: subprocess.Popen[str]) -> str:
    """Return what a worker says at its end; one that came when the hub was gone, and waits, is asked to leave."""
    try:
        return worker.communicate(timeout=5)[1]
    except subprocess.TimeoutExpired:
        worker.terminate()
        return worker.communicate(timeout=10)[1]


@pytest.mark.parametrize("seen", [True, False])
def test_g9_a_run_of_kills_is_repeated_to_the_bit(seen: bool, tmp_path: Path) -> None:
    chance = random.Random(1)
    window = 2000 if seen else 100_000  # which workers play by themselves
    how = {"steps": 1e12, "sync_every": window, "checkpoint_every": 100 * window, "seen": seen}
    with processes(tmp_path, **how, hosting=HOSTING) as made:
        directory = made.directory
        hub, workers = made.hub(), [made.worker() for _ in range(2)]
        until_rounds(directory, 30)
        kills = Counter[str]()
        while sum(kills.values()) < KILLS:
            time.sleep(chance.uniform(0.05, 0.4))
            if chance.random() < 0.4:
                hub.kill()
                hub.communicate()
                hub = made.hub()
                kills["hub"] += 1
                until_rounds(directory, 2)
            else:
                victim = chance.randrange(2)
                workers[victim].kill()
                workers[victim] = made.worker()
                kills["worker"] += 1
            assert hub.poll() is None, hub.communicate()[1]
        until_member(directory, 2)
        workers[0].send_signal(signal.SIGSTOP)  # whom nobody waits for longer than the round's deadline
        until_rounds(directory, 3)
        workers[0].send_signal(signal.SIGCONT)
        workers.append(made.worker())  # and one that joins late
        until_member(directory, 3)
        for worker in workers:  # all gone for a while
            worker.kill()
            worker.wait()
        time.sleep(0.5)
        made.worker()
        until_rounds(directory, 5)
        end(made, hub)
        done = assert_exact(directory)
    starts = [entry for entry in read(directory) if "start" in entry]
    last = kills["hub"] + 1  # which ended in order, and says so by a second line
    assert [entry["start"] for entry in starts] == [*range(1, last + 1), last]
    assert len(done) > 60
    assert {len(entry["members"]) for entry in done} >= {1, 2, 3}


def test_g9_a_run_without_rounds_is_repeated_to_the_bit(tmp_path: Path) -> None:
    chance = random.Random(2)
    hosting = {**HOSTING, "asynchronous": True, "staleness": 20}
    with processes(tmp_path, steps=1e12, sync_every=2000, checkpoint_every=2e5, hosting=hosting) as made:
        directory = made.directory
        hub, workers = made.hub(), [made.worker() for _ in range(3)]
        until_rounds(directory, 50)
        for strike in range(8):
            time.sleep(chance.uniform(0.05, 0.4))
            if strike % 2:
                hub.kill()
                hub.communicate()
                hub = made.hub()
            else:
                victim = chance.randrange(3)
                workers[victim].kill()
                workers[victim] = made.worker()
            until_rounds(directory, 20)
        workers[0].send_signal(signal.SIGSTOP)
        until_rounds(directory, 40)
        workers[0].send_signal(signal.SIGCONT)  # what it brings is too old, and it begins anew
        until_rounds(directory, 40)
        end(made, hub)
        done = assert_exact(directory)
        assert [last_words(worker) for worker in workers] == [""] * 3
    assert max(entry["round"] - entry["base"] for entry in done) > 1
    assert len({uid for entry in done for uid, _, _ in entry["members"]}) >= 3
    files = sorted(path.name for path in directory.glob("contributions-*"))
    assert 1 <= len(files) < 16, "those of former checkpoints are deleted"
