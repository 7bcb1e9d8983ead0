from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdq.errors import FileError
from cdq.storage.directory import CheckpointDirectory
from tests.checkpoints import assert_whole, names, tensors, write


@pytest.fixture
def directory(tmp_path: Path) -> CheckpointDirectory:
    return CheckpointDirectory(tmp_path / "run")


# ---- writing and reading


def test_the_newest_is_read_back_and_three_are_kept(directory: CheckpointDirectory) -> None:
    assert directory.newest() is None
    for last in range(1, 6):
        write(directory, last * 100)
        assert_whole(directory.newest(), last * 100)
    assert names(directory) == [f"checkpoint-{steps:020d}.safetensors" for steps in (300, 400, 500)] + [
        "lock"
    ]


def test_an_older_one_is_deleted_only_when_a_newer_one_is_durable(
    directory: CheckpointDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory, 1, 2, 3)
    calls: list[str] = []
    for name in ("fsync", "replace", "unlink"):
        monkeypatch.setattr(os, name, recording(calls, name, getattr(os, name)))
    monkeypatch.setattr(Path, "unlink", recording(calls, "delete", Path.unlink))
    write(directory, 4)
    assert calls.pop(0) == "unlink", "what showed that the directory can be written"
    assert calls == ["fsync", "fsync", "replace", "fsync", "unlink", "delete", "unlink"]


def recording(calls: list[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def recorded(*arguments: Any, **keywords: Any) -> Any:
        calls.append(name)
        return function(*arguments, **keywords)

    return recorded


def test_the_same_steps_again_replace_the_checkpoint(directory: CheckpointDirectory) -> None:
    write(directory, 7, 7)
    assert names(directory) == ["checkpoint-00000000000000000007.safetensors", "lock"]


def test_other_files_of_the_directory_are_left_alone(directory: CheckpointDirectory) -> None:
    directory.path.mkdir()
    others = ["checkpoint-best.safetensors", "notes", ".hidden"]
    for name in others:
        (directory.path / name).write_text("mine")
    write(directory, 1, 2, 3, 4, 5)
    assert_whole(directory.newest(), 5)
    assert set(others) <= set(names(directory))
    (directory.path / ".hidden").unlink()


def test_writing_needs_the_lock(directory: CheckpointDirectory) -> None:
    with pytest.raises(FileError, match="its lock is not held"):
        directory.write(1, tensors(1), {})
    write(directory, 1)
    with pytest.raises(FileError, match="its lock is not held"):
        directory.write(2, tensors(2), {})


# ---- damage


def damage_newest(directory: CheckpointDirectory, change: Callable[[bytes], bytes]) -> Path:
    checkpoint = directory.newest()
    assert checkpoint is not None
    checkpoint.path.write_bytes(change(checkpoint.path.read_bytes()))
    return checkpoint.path


def test_a_checkpoint_truncated_anywhere_is_skipped(
    directory: CheckpointDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    write(directory, 1, 2)
    newest = directory.newest()
    assert newest is not None
    whole = newest.path.read_bytes()
    for length in range(0, len(whole), 64):
        newest.path.write_bytes(whole[:length])
        caplog.clear()
        assert_whole(directory.newest(), 1)
        assert [record.getMessage().split(": ")[0] for record in caplog.records] == [f"skipped {newest.path}"]


def test_a_checkpoint_with_a_flipped_bit_is_skipped(directory: CheckpointDirectory) -> None:
    """Every byte of the head, and every 61st of the data."""
    write(directory, 1, 2)
    newest = directory.newest()
    assert newest is not None
    whole = newest.path.read_bytes()
    head = len(whole) - sum(tensor.nbytes for tensor in newest.tensors.values())
    for offset in [*range(head), *range(head, len(whole), 61)]:
        flipped = whole[offset] ^ 1 << offset % 8
        newest.path.write_bytes(whole[:offset] + bytes([flipped]) + whole[offset + 1 :])
        assert_whole(directory.newest(), 1)


def test_each_damaged_one_is_named_in_a_warning(
    directory: CheckpointDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    write(directory, 1, 2, 3)
    last = damage_newest(directory, lambda data: data[:-1])
    middle = damage_newest(directory, lambda data: data[:-8] + b"another!")
    caplog.clear()
    assert_whole(directory.newest(), 1)
    assert [(record.name, record.levelno) for record in caplog.records] == [("cdq", logging.WARNING)] * 2
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith(f"skipped {last}: ")
    assert messages[1] == f"skipped {middle}: it was altered (its checksum differs); use another copy"


def test_none_whole_is_an_error_that_names_all(directory: CheckpointDirectory) -> None:
    write(directory, 1, 2, 3)
    paths = [path for path in directory.path.iterdir() if path.name != "lock"]
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(FileError, match=f"no checkpoint in {directory.path} can be read") as caught:
        directory.newest()
    assert all(str(path) in str(caught.value) for path in paths)


def test_a_checkpoint_that_is_a_directory_is_skipped(directory: CheckpointDirectory) -> None:
    write(directory, 1)
    (directory.path / f"checkpoint-{2:020d}.safetensors").mkdir()
    assert_whole(directory.newest(), 1)


def test_a_run_that_resumed_before_the_damaged_ones_keeps_its_own(directory: CheckpointDirectory) -> None:
    """The damaged ones have more steps: they must not push out what is whole."""
    write(directory, 10, 20, 30)
    for _ in range(2):
        damage_newest(directory, lambda data: data[:100])
    write(directory, 11)
    assert_whole(directory.newest(), 11)
    write(directory, 12, 13)
    assert_whole(directory.newest(), 13)
    write(directory, 20, 30, 40)
    assert_whole(directory.newest(), 40)
    assert len(names(directory)) == 3 + 1


# ---- directories that are none


def test_a_directory_whose_parent_is_missing_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for path in ("missing/run", "file/run", "file", "nowhere"):
        directory = CheckpointDirectory(tmp_path / path)
        with (
            pytest.raises(FileError, match="cannot make the checkpoint directory .*; name a"),
            directory.lock(),
        ):
            pass
        assert directory.newest() is None


def test_a_link_to_a_directory_is_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    write(CheckpointDirectory(tmp_path / "link"), 3)
    assert_whole(CheckpointDirectory(tmp_path / "there").newest(), 3)


def test_a_lock_that_cannot_be_opened(directory: CheckpointDirectory) -> None:
    (directory.path / "lock").mkdir(parents=True)
    with (
        pytest.raises(FileError, match="cannot lock the checkpoint directory .*Is a directory"),
        directory.lock(),
    ):
        pass


def test_a_file_system_without_locks(directory: CheckpointDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with pytest.raises(FileError, match=r"cannot lock .* locks \(flock\)"), directory.lock():
        pass


# ---- what is in the place of a file


def lock(directory: CheckpointDirectory) -> None:
    with directory.lock():
        pass


def test_what_is_in_the_place_of_the_lock_is_left_as_it_is(
    directory: CheckpointDirectory, tmp_path: Path
) -> None:
    directory.path.mkdir()
    mine, place = tmp_path / "mine", directory.path / "lock"
    mine.write_text("process of years")
    for put, said in [
        (lambda: place.symlink_to(mine), "it is a link, which is not followed"),
        (lambda: place.symlink_to(tmp_path / "new"), "it is a link"),
        (lambda: place.symlink_to("/dev/zero"), "it is a link"),
        (lambda: os.link(mine, place), "was not written by cdq, and is left as it is"),
        (lambda: os.mkfifo(place), "it is not a regular file"),
        (lambda: place.write_text("my notes"), "was not written by cdq, and is left as it is"),
        (lambda: place.write_text("process 1 on host " + "x" * 600), "was not written by cdq"),
        (lambda: place.write_text("process 1 on host x\nand more"), "was not written by cdq"),
    ]:
        put()
        with pytest.raises(FileError, match=said):
            lock(directory)
        with pytest.raises(FileError, match=said):
            write(directory, 1)
        assert mine.read_text() == "process of years"
        place.unlink()
    assert not (tmp_path / "new").exists()
    place.write_text("process 17 on host gone")  # of a run that was killed
    lock(directory)
    assert place.read_text() == ""
    os.link(place, tmp_path / "backup")  # as backups by hard links make them
    write(directory, 1)
    assert_whole(directory.newest(), 1)


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_lock_whose_holder_removes_it_is_not_claimed(
    made_anew: bool, directory: CheckpointDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder ends by an error after this process has opened the file, and before it has the lock."""
    flock, place = fcntl.flock, directory.path / "lock"

    def late(*arguments: Any) -> None:
        flock(*arguments)
        place.unlink()
        if made_anew:
            place.write_text("process 17 on host other")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", late)
        with pytest.raises(FileError, match="is in use by another process: wait for it"):
            lock(directory)
    assert place.exists() is made_anew
    lock(directory)


def test_what_is_in_the_place_of_a_checkpoint_is_skipped(
    directory: CheckpointDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(directory, 1, 2)
    newest = directory.newest()
    assert newest is not None
    newest.path.rename(tmp_path / "elsewhere")
    for put, said in [
        (lambda: newest.path.symlink_to(tmp_path / "elsewhere"), "it is a link"),
        (lambda: newest.path.symlink_to("/dev/zero"), "it is a link"),
        (lambda: os.mkfifo(newest.path), "it is not a regular file"),
    ]:
        put()
        caplog.clear()
        assert_whole(directory.newest(), 1)
        assert said in caplog.text
        newest.path.unlink()


def test_a_directory_that_cannot_be_written_is_told_before_work(
    directory: CheckpointDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(directory)

    def refused(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("cdq.storage.files.open", refused, raising=False)
    with pytest.raises(FileError, match="cannot write .*: Read-only file system"):
        lock(directory)


def test_an_error_while_unlocking_does_not_hide_the_first(
    directory: CheckpointDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        with directory.lock():
            monkeypatch.setattr("fcntl.flock", lambda *_: os.close(-1))
            raise FileError("the disk is full")

    flock = fcntl.flock
    with pytest.raises(FileError, match="the disk is full"):
        work()
    monkeypatch.setattr("fcntl.flock", flock)
    lock(directory)


def test_what_a_writer_deletes_meanwhile_is_not_damage(
    directory: CheckpointDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(directory, 1)
    listed = directory._paths()
    write(directory, 2)
    listed[0].unlink()
    lists = [listed]
    monkeypatch.setattr(
        directory, "_paths", lambda: lists.pop() if lists else sorted(directory.path.glob("c*"))
    )
    assert_whole(directory.newest(), 2)
    assert caplog.text == ""


@pytest.mark.parametrize("there", ["nothing", "directory", "lock", "other"])
def test_an_error_before_anything_is_written_leaves_what_was_there(there: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    if there != "nothing":
        path.mkdir()
    if there == "lock":
        (path / "lock").touch()
    if there == "other":
        (path / "other").touch()
    before = sorted(tmp_path.rglob("*"))
    directory = CheckpointDirectory(path)

    def fail_after(write: str, error: type[BaseException]) -> None:
        with directory.lock():
            (path / write).touch()
            raise error

    with pytest.raises(KeyboardInterrupt):
        fail_after("lock", KeyboardInterrupt)
    assert set(tmp_path.rglob("*")) - set(before) == ({path / "lock"} if there == "other" else set())
    with pytest.raises(FileError):
        fail_after("checkpoint", FileError)
    assert {path / "lock", path / "checkpoint"} <= set(path.iterdir())


def test_a_lock_that_was_removed_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has opened it before, and would hold what nobody else sees."""
    one, other = CheckpointDirectory(tmp_path / "run"), CheckpointDirectory(tmp_path / "run")
    opened = other._open_lock

    def late() -> Any:
        file = opened()
        (tmp_path / "run" / "lock").unlink()
        return file

    monkeypatch.setattr(other, "_open_lock", late)
    with pytest.raises(FileError, match="in use|cannot lock"), other.lock():
        pass
    with one.lock():
        pass
