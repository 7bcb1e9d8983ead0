"""The journal of a job: a line per round, durable before any answer to a worker; with it every run can be repeated."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from cdq.errors import FileError
from cdq.job.contributions import write_all
from cdq.job.faults import carried, point
from cdq.storage import open_regular, open_to_read, strict_json
from cdq.training import JOURNAL

if TYPE_CHECKING:
    from typing_extensions import Self

NAME = JOURNAL
Entry = dict[str, Any]
# Bytes of a line: one of the most members that a hub may have is of some megabytes.
_LONGEST = 1 << 26
_BEGIN = b'{"'


class Journal:
    """Lines of JSON, appended. The directory's lock must be held.

    A line that a crash left unfinished was acknowledged to nobody, and is taken off.

    Parameters
    ----------
    directory : path
        Directory of the journal; a journal is begun where there is none.
    durable : bool
        True: each line is on the disk when `write` returns. False: `sync` brings it there.
    after : int
        Rounds that a checkpoint has; they are left out of `entries`.

    Attributes
    ----------
    directory : Path
        Directory of the journal.
    entries : list of dict
        The starts of the hub and the rounds, as they were when it was opened.
    hub : dict or None
        State of the hub after the last line.
    begun : float or None
        When the last line that is left out of `entries` was written; None if there is none.

    Raises
    ------
    FileError
        If it cannot be read or written, or was altered.
    """

    def __init__(self, directory: Path, *, durable: bool, after: int = -1) -> None:
        self.directory, self._path, self._durable = directory, directory / NAME, durable
        self._epoch: object = None  # of the membership that was written last
        self._after = after
        self.entries: list[Entry]
        self.hub: dict[str, Any] | None
        self.begun: float | None
        try:
            # Without a buffer: what could not be written is not tried again when the file is closed.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
            self._file = os.fdopen(open_regular(self._path, flags, follow=False), "a+b", buffering=0)
        except OSError as error:
            raise FileError(
                f"cannot open {self._path}: {error.strerror or error}; use one that you may write"
            ) from None
        try:
            self._end = self._take_over()
        except BaseException:
            self._file.close()
            raise

    def cut(self, number: int) -> None:
        """Take off the line of a round, and all that come after it."""
        end = 0
        for entry, line_end in _entries(self._path):
            if entry.get("round") == number:
                break
            end = line_end
        self._file.truncate(end)
        self._end = self._take_over()

    def _take_over(self) -> int:
        """Read what there is, take off a line that is not whole, and return where the next one begins."""
        self.entries, self.hub, self.begun, end = [], None, None, 0
        for entry, line_end in _entries(self._path):
            try:
                end, self.hub = line_end, _hub_after(self.hub, entry)
                if entry.get("round", self._after + 1) > self._after:
                    self.entries.append(entry)
                else:
                    self.begun = entry.get("time")
            except (KeyError, TypeError, ValueError) as error:
                raise FileError(f"{self._path} is no journal of a job: {error!r}; use another copy") from None
        if end < os.fstat(self._file.fileno()).st_size:
            self._file.truncate(end)
        return end

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append a line; the hub's state, "hub", is left out of it where only what `hub_state` restores changed.

        Raises
        ------
        FileError
            If the disk is full or fails: nothing may be acknowledged then.
        """
        epoch = entry["hub"]["epoch"] if "hub" in entry else None
        if "round" in entry and epoch == self._epoch:
            entry = {name: value for name, value in entry.items() if name != "hub"}
        self._epoch = epoch
        try:
            point("hub:before_write")
            for line in carried("hub:write", _line(entry)):
                write_all(self._file, line)
            point("hub:after_write")
            if self._durable:
                self._sync()
        except OSError as error:
            with contextlib.suppress(OSError):  # a part of a line is none
                self._file.truncate(self._end)
            raise self._failure(error) from error
        self._end = os.fstat(self._file.fileno()).st_size

    def sync(self) -> None:
        """Bring all lines to the disk; raise `FileError` if that fails."""
        try:
            self._sync()
        except OSError as error:
            raise self._failure(error) from error

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        point("hub:after_fsync")

    def _failure(self, error: OSError) -> FileError:
        return FileError(f"cannot write {self._path}: {error.strerror}; make room and start the hub again")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # nothing is left to write, and no error may hide the first
            self._file.close()


def read(directory: Path) -> list[Entry]:
    """Return the entries of a journal, even while somebody writes it; an unfinished last line does not count.

    Raises
    ------
    FileError
        If there is none, or it was altered.
    """
    return list(lines(directory))


def lines(directory: Path) -> Iterator[Entry]:
    """Yield the entries that `read` returns, one by one."""
    if not (directory / NAME).exists():
        raise FileError(f"there is no {NAME} in {directory}; name the directory of a job")
    for entry, _ in _entries(directory / NAME):
        yield entry


def tail(directory: Path, most: int = 1 << 18) -> list[Entry]:
    """Return the last rounds of a journal: those whose lines are whole among its last bytes, *most* of them.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    with open_to_read(directory / NAME, follow=False) as file:
        begin = max(os.fstat(file.fileno()).st_size - most, 0)
        file.seek(begin)
        ends = file.read(most).splitlines(keepends=True)[bool(begin) :]  # the first may be the end of a line
    return [entry for entry in map(_entry, ends) if entry is not None and "round" in entry]


def hub_state(entries: Iterable[Entry]) -> dict[str, Any] | None:
    """Return the state of the hub's machine after the last line: the state written last, and the rounds since."""
    state: dict[str, Any] | None = None
    for entry in entries:
        state = _hub_after(state, entry)
    return state


def _hub_after(state: dict[str, Any] | None, entry: Entry) -> dict[str, Any] | None:
    if "hub" in entry:
        return dict(entry["hub"])
    if "round" not in entry or state is None:
        return state
    applied = {uid: sequence for uid, sequence, _ in entry["members"]}
    peers = [
        [uid, identity, token, applied.get(uid, before), member]
        for uid, identity, token, before, member in state["peers"]
    ]
    return {**state, "version": state["version"] + 1, "peers": peers}


def _line(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, sort_keys=True, allow_nan=False)
    return f'{text[:-1]}, "crc": {crc32(text.encode())}}}\n'.encode()


def _entries(path: Path) -> Iterator[tuple[Entry, int]]:
    """Yield each whole line's entry and the end of the line; raise `FileError` if the file is no journal."""
    end = number = 0
    with open_to_read(path, follow=False) as file:
        while line := file.readline(_LONGEST):
            number += 1
            entry = _entry(line)
            unfinished = not line.endswith(b"\n") and len(line) < _LONGEST and line[:2] == _BEGIN[: len(line)]
            if entry is None and unfinished:  # the last one
                return
            if entry is None:
                raise FileError(f"line {number} of {path} was altered; use another copy")
            end += len(line)
            yield entry, end


def _entry(line: bytes) -> Entry | None:
    """Return the entry of a line, None if the line is not whole."""
    try:
        entry = strict_json(line)
        crc = entry.pop("crc")
        whole = line.endswith(b"\n") and _line(entry) == line and crc is not None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return entry if whole else None
