"""What disks that fail, writers that die and second writers do to a checkpoint directory."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cdq.errors import FileError
from cdq.storage.directory import CheckpointDirectory
from cdq.storage.files import read_tensors
from tests.checkpoints import assert_whole, names, process, tensors, write
from tests.running import open_files


@pytest.fixture
def directory(tmp_path: Path) -> CheckpointDirectory:
    return CheckpointDirectory(tmp_path / "run")


# ---- disks that fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize(("name", "call"), [("fsync", 1), ("fsync", 2), ("replace", 1), ("fsync", 3)])
def test_a_failed_call_leaves_the_last_checkpoint(
    directory: CheckpointDirectory, monkeypatch: pytest.MonkeyPatch, name: str, call: int, number: int
) -> None:
    write(directory, 1, 2, 3)
    left = [call]
    original = getattr(os, name)

    def failing(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(number, os.strerror(number))
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        with pytest.raises(FileError, match=f"cannot write .*{4:020d}.*{os.strerror(number)}"):
            write(directory, 4)
    assert left[0] == 0
    assert_whole(
        directory.newest(), 4 if (name, call) == ("fsync", 3) else 3
    )  # 3: the directory's, after the rename
    assert {f"checkpoint-{steps:020d}.safetensors" for steps in (1, 2, 3)} <= set(names(directory))
    write(directory, 5)
    assert_whole(directory.newest(), 5)


def test_a_disk_that_is_full_leaves_the_last_checkpoint(directory: CheckpointDirectory) -> None:
    """A limit on the size of files: the kernel itself cuts the write, at any place."""
    write(directory, 1)
    script = """
import resource
from cdq.errors import FileError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with D.lock():
    for room in (100, 900, 4096, 8192):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        try:
            D.write(2, tensors(2), {"steps": 2})
        except FileError as error:
            print(error.__cause__.errno)
"""
    with process(directory, script) as full:
        output, errors = full.communicate(timeout=60)
    assert output.split() == [str(errno.EFBIG)] * 4, errors
    assert_whole(directory.newest(), 1)
    assert names(directory) == ["checkpoint-00000000000000000001.safetensors", "lock"]


def test_an_old_one_that_cannot_be_deleted_is_an_error(
    directory: CheckpointDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    write(directory, 1, 2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(FileError, match="cannot delete .*0001.safetensors: Permission denied"):
            write(directory, 4)
    assert_whole(directory.newest(), 4)


# ---- writers that die


@pytest.mark.parametrize(
    ("name", "call"), [("fsync", 1), ("fsync", 2), ("replace", 1), ("fsync", 3), ("unlink", 1), ("unlink", 2)]
)
def test_death_at_each_call_leaves_a_whole_checkpoint(
    directory: CheckpointDirectory, name: str, call: int
) -> None:
    write(directory, 1, 2, 3)
    script = f"""
left, original = {call}, os.{name}
def dying(*arguments, **keywords):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **keywords)
with D.lock():
    os.{name} = dying
    D.write(4, tensors(4), {{"steps": 4}})
"""
    with process(directory, script) as dying:
        _, errors = dying.communicate(timeout=60)
    assert dying.returncode == -signal.SIGKILL, errors
    before_rename = (name, call) in {("fsync", 1), ("fsync", 2), ("replace", 1)}
    assert_whole(directory.newest(), 3 if before_rename else 4)
    assert before_rename == any(name.startswith(".") for name in names(directory))
    write(directory, 5)
    assert_whole(directory.newest(), 5)
    assert len(names(directory)) == 3 + 1


def test_writers_killed_at_random_times_leave_a_whole_checkpoint(directory: CheckpointDirectory) -> None:
    script = """
with D.lock():
    newest = D.newest()
    steps = newest.header["steps"] if newest else 0
    print(steps, flush=True)
    while True:
        steps += 1
        D.write(steps, tensors(steps), {"steps": steps})
"""
    chance, last = random.Random(0), 0
    for _ in range(20):
        with process(directory, script) as writer:
            assert writer.stdout is not None
            line = writer.stdout.readline()
            assert line, writer.communicate()[1]
            assert int(line) == last
            time.sleep(chance.uniform(0, 0.02))
            writer.kill()
        newest = directory.newest()
        if newest is not None:
            assert_whole(newest, newest.header["steps"])
            assert newest.header["steps"] >= last
            last = newest.header["steps"]
        for path in directory.path.glob("checkpoint-*"):
            read_tensors(path)
    assert last > 0
    write(directory, last + 1)
    assert len(names(directory)) == 3 + 1


# ---- one writer at a time

HOLD = """
with D.lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(directory: CheckpointDirectory) -> None:
    with process(directory, HOLD) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        held = rf"{directory.path} is in use by process {first.pid} on host \S+: wait for it or use another"
        with pytest.raises(FileError, match=held), directory.lock():
            pass
    with directory.lock():
        directory.write(1, tensors(1), {"steps": 1})
    assert_whole(directory.newest(), 1)


def test_a_second_holder_in_one_process_is_refused(directory: CheckpointDirectory) -> None:
    for other in (directory, CheckpointDirectory(directory.path)):
        with directory.lock():
            with pytest.raises(FileError, match=f"in use by process {os.getpid()}"), other.lock():
                pass
            directory.write(1, tensors(1), {})  # still held


def test_forked_children_do_not_hold_on_to_the_lock(directory: CheckpointDirectory) -> None:
    script = """
with D.lock():
    child = os.fork()
    if child == 0:
        time.sleep(60)
with D.lock():
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("again", flush=True)
"""
    with process(directory, script) as forking:
        output, errors = forking.communicate(timeout=30)
    assert output == "again\n", errors


def test_an_error_frees_the_lock_and_no_file_stays_open(directory: CheckpointDirectory) -> None:
    def fail() -> None:
        with directory.lock():
            raise KeyboardInterrupt

    before = open_files()
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            fail()
    assert open_files() <= before
    assert not directory.path.exists()  # nothing was written
    with directory.lock():
        (directory.path / "lock").touch()
    assert (directory.path / "lock").read_text() == ""
