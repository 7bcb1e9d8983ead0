"""Who is allowed, whatever lies in the directory: what is no key lets nobody in, and keeps nobody in."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cdq.comm.zmq import keys as module
from cdq.comm.zmq.gate import Gate
from cdq.comm.zmq.keys import Keys, allow, keygen
from cdq.comm.zmq.library import load
from cdq.errors import ConfigError


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Return a hub's keys, with one worker allowed."""
    for name in ("hub", "worker", "other"):
        keygen(tmp_path / name)
    for name in ("worker", "other"):
        allow(tmp_path / "hub", tmp_path / name / "own.public", name)
    return Keys(tmp_path / "hub")


def key_of(keys: Keys, name: str) -> bytes:
    return (keys.directory.parent / name / "own.public").read_bytes().strip()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_text(path: Path) -> None:
    path.write_bytes(bytes(range(128, 256)))


def wildcard(path: Path) -> None:
    path.write_text("*")


def two_keys(path: Path) -> None:
    path.write_text(f"{'a' * 40}\n{'b' * 40}\n")


def too_long(path: Path) -> None:
    path.write_bytes(b"a" * 40 + b" " * 4096)


def directory(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_a_key(path: Path) -> None:
    path.symlink_to(path.parents[2] / "hub" / "own.public")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path)


def of_everybody(path: Path) -> None:
    path.write_text("a" * 40)
    path.chmod(0o666)


BAD = [
    empty,
    no_text,
    wildcard,
    two_keys,
    too_long,
    directory,
    pipe,
    device,
    link_to_a_key,
    link_to_nothing,
    loop,
    of_everybody,
]


@pytest.mark.parametrize("make", BAD)
@pytest.mark.parametrize("name", ["a.public", "z\udcff\n.public"])
def test_what_is_no_key_is_named_and_the_others_count(
    keys: Keys, make: Callable[[Path], None], name: str
) -> None:
    make(keys.directory / "allowed" / name)
    found = keys.allowed()
    assert found.keys == {key_of(keys, "worker"), key_of(keys, "other")}
    assert len(found.wrong) == 1
    assert "allowed/" in found.wrong[0]
    assert found.wrong[0].isprintable()
    found.wrong[0].encode()


@pytest.fixture
def gate(keys: Keys) -> Gate:
    context = load().Context()
    made = Gate(context, keys)
    yield made
    made.close()
    context.term()


@pytest.mark.parametrize("make", BAD)
def test_g10_a_key_is_revoked_beside_what_is_none(
    keys: Keys, gate: Gate, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    worker, other = (key_of(keys, name).decode() for name in ("worker", "other"))
    assert gate.allows(worker)
    make(keys.directory / "allowed" / "a.public")
    (keys.directory / "allowed" / "worker.public").unlink()
    assert gate.reread(1.0) == {worker}
    assert not gate.allows(worker)
    assert gate.allows(other)
    assert gate.reread(3.0) == frozenset()
    assert len(caplog.messages) == 1, "it is named once, not every second"


def vanish(folder: Path) -> None:
    shutil.rmtree(folder)


def become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def become_a_loop(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder)


def open_to_everybody(folder: Path) -> None:
    folder.chmod(0o777)


@pytest.mark.parametrize("change", [vanish, become_a_file, become_a_loop, open_to_everybody])
def test_g10_where_it_cannot_be_told_who_is_allowed_nobody_is(
    keys: Keys, gate: Gate, change: Callable[[Path], None]
) -> None:
    both = {key_of(keys, name).decode() for name in ("worker", "other")}
    change(keys.directory / "allowed")
    assert gate.reread(1.0) == both
    assert not any(map(gate.allows, both))


@pytest.mark.parametrize("change", [become_a_file, become_a_loop, open_to_everybody])
def test_a_hub_that_cannot_tell_who_is_allowed_does_not_start(
    keys: Keys, change: Callable[[Path], None]
) -> None:
    change(keys.directory / "allowed")
    context = load().Context()
    with pytest.raises(ConfigError, match="allowed"):
        Gate(context, keys)
    context.term()


def test_a_key_that_two_files_hold_is_allowed_while_one_does(keys: Keys, gate: Gate) -> None:
    allow(keys.directory, keys.directory.parent / "worker" / "own.public", "again")
    (keys.directory / "allowed" / "worker.public").unlink()
    assert gate.reread(1.0) == frozenset()
    (keys.directory / "allowed" / "again.public").unlink()
    assert gate.reread(3.0) == {key_of(keys, "worker").decode()}


def test_nothing_that_is_read_as_a_key_blocks_or_never_ends(keys: Keys) -> None:
    began = time.monotonic()
    for make in (pipe, device):
        for name in ("own.public", "own.secret"):
            path = keys.directory / name
            path.unlink()
            make(path)
            with pytest.raises(ConfigError, match="no regular file"):
                Keys(keys.directory)
            path.unlink()
            path.write_text("a" * 40)
            path.chmod(0o600)
    assert time.monotonic() - began < 30


def test_a_directory_that_vanishes_is_named_once(
    keys: Keys, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    vanish(keys.directory / "allowed")
    for now in (1.0, 3.0, 5.0):
        gate.reread(now)
    assert caplog.messages == [
        f"{keys.directory / 'allowed'} is not there any more: nobody may join, and who was in is out"
    ]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_full_disk_leaves_no_half_of_a_pair(
    fails_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fsync(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        keygen(tmp_path / "keys")
    assert not list((tmp_path / "keys").iterdir())
    Keys(keygen(tmp_path / "keys").parent)


def test_a_file_that_may_not_grow_leaves_no_half_of_a_pair(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from cdq.comm.zmq.keys import keygen\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "try: keygen(sys.argv[1])\nexcept OSError as error: print(error.strerror)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "keys")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "File too large\n"
    assert not list((tmp_path / "keys").iterdir())


def test_keys_need_a_directory() -> None:
    with pytest.raises(ConfigError, match="the directory of keys is ''; allowed: a path"):
        keygen("")


# ---- who may read the secret key


@pytest.mark.parametrize(
    ("mode", "owner", "user", "private"),
    [
        (0o600, 0, 0, True),
        (0o400, 1000, 1000, True),
        # Secrets of Kubernetes with fsGroup: root's, and for the pod's group to read.
        (0o640, 0, 1000, True),
        (0o440, 0, 1000, True),
        (0o640, 0, 0, False),  # root reads by itself: who else is in that group?
        (0o640, 1000, 1000, False),
        (0o640, 1000, 1001, False),
        (0o660, 0, 1000, False),
        (0o650, 0, 1000, False),
        (0o644, 0, 1000, False),
        (0o604, 0, 1000, False),
        (0o602, 0, 1000, False),
    ],
)
def test_a_group_may_read_the_secret_where_it_is_that_of_a_pod(
    mode: int, owner: int, user: int, private: bool
) -> None:
    found = os.stat_result((0o100000 | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    assert module._is_private(found, user) is private


@pytest.mark.parametrize("mode", [0o640, 0o440, 0o604, 0o620])
def test_a_secret_that_others_may_read_is_refused(keys: Keys, mode: int) -> None:
    (keys.directory / "own.secret").chmod(mode)
    with pytest.raises(ConfigError, match=r"own.secret: others may read it; chmod 600"):
        Keys(keys.directory)


# ---- one pair for a whole job


def test_the_keys_of_a_job_are_one_pair(tmp_path: Path) -> None:
    public = keygen(tmp_path / "job", job=True)
    names = sorted(str(path.relative_to(tmp_path / "job")) for path in (tmp_path / "job").rglob("*.*"))
    assert names == ["allowed/job.public", "hub.public", "own.public", "own.secret"]
    assert len({(public.parent / name).read_text() for name in names}) == 2
    assert (public.parent / "own.secret").stat().st_mode & 0o777 == 0o600
    Keys(public.parent).require_job()


def test_keys_of_a_job_are_never_overwritten(tmp_path: Path) -> None:
    keygen(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="own.secret is there already; use another directory"):
        keygen(tmp_path, job=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "own.secret").unlink()
    (tmp_path / "own.public").unlink()
    (tmp_path / "hub.public").write_text("of a hub")
    with pytest.raises(ConfigError, match="hub.public is there already"):
        keygen(tmp_path, job=True)
    assert [path.name for path in tmp_path.iterdir()] == ["hub.public"]


@pytest.mark.parametrize("change", ["hub.public", "own.public", "allowed/job.public"])
def test_keys_of_which_one_is_another_are_not_those_of_a_job(change: str, tmp_path: Path) -> None:
    folder = keygen(tmp_path / "job", job=True).parent
    (folder / change).write_bytes(keygen(tmp_path / "other").read_bytes())
    with pytest.raises(
        ConfigError, match="job holds no keys of a whole job, one pair for all its processes; cdq keygen"
    ):
        Keys(folder).require_job()
