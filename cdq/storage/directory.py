"""The checkpoints of a run: a directory that one process writes, in which the newest whole file counts."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy.typing as npt

from cdq.errors import FileError
from cdq.storage.files import (
    Tensors,
    check_replaceable,
    open_regular,
    open_to_read,
    read_tensors,
    unfinished,
    write_tensors,
)

T = TypeVar("T")

_log = logging.getLogger("cdq")

_KEPT = 3
# A lock says who holds it, or nothing; a file that says something else is none, and is not ours to empty.
_HOLDER, _LONGEST_LOCK = re.compile(rb"process (\d{1,18}) on host ([^\n]*)"), 512
# Times that a directory is listed again because its writer deleted what was listed.
_LISTINGS = 10
_NAMES = f"checkpoint-{'[0-9]' * 20}.safetensors"


class Checkpoint(NamedTuple):
    """A checkpoint, from which a run goes on.

    Attributes
    ----------
    path : Path
        Path of the file.
    tensors : dict of str to ndarray
        Tensors, as they were written.
    header : dict
        Header, as it was written, with the file's "format" and the version, "cdq", that wrote it.
    """

    path: Path
    tensors: dict[str, npt.NDArray[Any]]
    header: dict[str, Any]


class CheckpointDirectory:
    """Checkpoints, each in a file of its own, in a directory that one process at a time may write.

    The three last written are kept. Whoever writes holds the lock; reading needs none.

    Parameters
    ----------
    path : path
        The directory; `lock` makes it where it is missing and its parent is there.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as name:
    ...     directory = CheckpointDirectory(name)
    ...     with directory.lock():
    ...         path = directory.write(500, {"values": np.zeros((4, 2))}, {"kind": "example"})
    ...     newest = directory.newest()
    >>> newest.path.name, newest.header["kind"]
    ('checkpoint-00000000000000000500.safetensors', 'example')
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._locked = False

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes, and other holders in this one, from writing while the context lasts.

        The kernel frees the lock when its holder dies, however that happens. A context that an error ends before
        anything else is in the directory leaves nothing that it has made: neither the lock's file nor the directory.

        Raises
        ------
        FileError
            If somebody holds the lock (the message names process and host), if the directory cannot be made or
            written, if its file "lock" is something else than a lock, or if its file system has no locks.
        """
        made = [path for path in (self.path / "lock", self.path) if not path.exists()]
        self._make()
        with self._open_lock() as file:
            self._claim(file)
            try:
                # Now, not after an hour; by a checkpoint's name, so that what a kill leaves here is cleared away, too.
                check_replaceable(self.path / f"checkpoint-{0:020d}.safetensors")
                self._locked = True
                yield
            except BaseException:
                self._remove(made)
                raise
            finally:
                self._locked = False
                with contextlib.suppress(
                    OSError
                ):  # an error that ended the run must not be hidden by one of this
                    file.truncate(0)
                    # Closing is not enough: forked children have the file open too.
                    fcntl.flock(file, fcntl.LOCK_UN)

    def _remove(self, made: list[Path]) -> None:
        """Remove what the lock has made, where nothing has come to it; the lock must be held."""
        with contextlib.suppress(OSError):
            if made and os.listdir(self.path) == ["lock"]:
                for path in made:
                    (path.rmdir if path == self.path else path.unlink)()

    def _make(self) -> None:
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise FileError(
                f"cannot make the checkpoint directory {self.path}: {error.strerror}; name a directory, or a new one "
                "in a directory that exists"
            ) from None

    def _open_lock(self) -> BinaryIO:
        try:
            descriptor = open_regular(self.path / "lock", os.O_RDWR | os.O_CREAT, follow=False)
        except OSError as error:
            raise FileError(
                f"cannot lock the checkpoint directory {self.path}: its file lock: {error}; use a directory that is "
                "yours to write"
            ) from None
        return os.fdopen(descriptor, "r+b", buffering=0)  # without a buffer, closing writes nothing

    def _claim(self, file: BinaryIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(self.path / "lock")):
                raise BlockingIOError  # since it was opened, its holder has removed it, and another one made it
            said = file.read(_LONGEST_LOCK + 1)
            if said and (len(said) > _LONGEST_LOCK or not _HOLDER.fullmatch(said)):
                raise FileError(
                    f"{self.path / 'lock'} was not written by cdq, and is left as it is; use another directory"
                )
            file.truncate(0)
            file.seek(0)
            file.write(b"process %d on host %s" % (os.getpid(), socket.gethostname().encode()[:256]))
        except (BlockingIOError, FileNotFoundError):
            holder = file.read(200).decode(errors="replace") or "another process"
            raise FileError(
                f"{self.path} is in use by {holder}: wait for it or use another directory"
            ) from None
        except FileError:
            raise
        except OSError as error:
            raise FileError(
                f"cannot lock the checkpoint directory {self.path}: {error.strerror}; its file system must have room "
                "and locks (flock)"
            ) from None

    def write(self, steps: int, tensors: Tensors, header: Mapping[str, Any]) -> Path:
        """Write a checkpoint, durably, then delete all but the newest three up to it; return its path.

        The lock must be held. Contiguous tensors are not copied; they must not change meanwhile.

        Parameters
        ----------
        steps : int
            Environment steps so far; they order the checkpoints. A checkpoint of the same steps is replaced.
        tensors : dict of str to ndarray
            Tensors of Booleans, integers or floats.
        header : dict
            A JSON object.

        Raises
        ------
        FileError
            If the disk is full or fails; the checkpoints that were there still are.
        """
        if not self._locked:
            raise FileError(
                f"cannot write to {self.path}: its lock is not held; enter CheckpointDirectory.lock"
            )
        path = self.path / f"checkpoint-{steps:020d}.safetensors"
        _delete(unfinished(self.path, _NAMES))
        write_tensors(path, tensors, header)
        # Newer ones were skipped as damaged when the run resumed: they count for nothing, and are not ours to delete.
        _delete([other for other in self._paths() if other.name <= path.name][:-_KEPT])
        return path

    def clear(self) -> None:
        """Delete all checkpoints, whole or not; the lock must be held.

        Raises
        ------
        FileError
            If one cannot be deleted.
        """
        if not self._locked:
            raise FileError(f"cannot clear {self.path}: its lock is not held; enter CheckpointDirectory.lock")
        _delete([*unfinished(self.path, _NAMES), *self._paths()])

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None where there are none; needs no lock.

        Newer ones that are damaged are named in warnings of the logger "cdq".

        Raises
        ------
        FileError
            If there are checkpoints and none is whole; names them.
        """
        found = self.newest_by(partial(read_tensors, follow=False))
        return None if found is None else Checkpoint(found[0], *found[1])

    def newest_by(self, read: Callable[[Path], T]) -> tuple[Path, T] | None:
        """Return the path of the newest checkpoint that *read* reads, and what it returns; see `newest`."""
        skipped: list[str] = []
        for _ in range(_LISTINGS):
            paths, skipped = self._paths(), []
            for path in reversed(paths):
                try:
                    found = read(path)
                except FileError as error:
                    skipped.append(str(error).removeprefix("cannot read "))
                    continue
                for damage in skipped:
                    _log.warning("skipped %s", damage)
                return path, found
            if paths == self._paths():  # else a run goes on there, and has deleted what was listed
                break
        if skipped:
            raise FileError(
                f"no checkpoint in {self.path} can be read; use another copy: {'; '.join(skipped)}"
            )
        return None

    def holder(self) -> tuple[int, str] | None:
        """Return the number of the process that holds the lock, and its host; None where none does, or says so.

        One that was killed is named, too: it had no time to take its name out.
        """
        try:
            with open_to_read(self.path / "lock", follow=False) as file:
                said = _HOLDER.fullmatch(file.read(_LONGEST_LOCK))
        except FileError:
            return None
        return None if said is None else (int(said[1]), said[2].decode(errors="replace"))

    def last_path(self) -> Path | None:
        """Return the path of the newest checkpoint, whole or not; None where there are none."""
        paths = self._paths()
        return paths[-1] if paths else None

    def _paths(self) -> list[Path]:
        """Return the checkpoints' paths, oldest first."""
        return sorted(self.path.glob(_NAMES))


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise FileError(f"cannot delete {path}: {error.strerror}") from error
