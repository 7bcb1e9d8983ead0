"""The journal of a job: a line per round, durable before any worker hears of it; with it every run can be repeated."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from cdq.errors import FileError
from cdq.job.faults import carried, point

if TYPE_CHECKING:
    from typing_extensions import Self

NAME = "journal.jsonl"
Entry = dict[str, Any]


class Journal:
    """Lines of JSON, appended. The directory's lock must be held.

    A line that a crash left unfinished was acknowledged to nobody, and is taken off.

    Parameters
    ----------
    directory : path
        Where it is, or is begun.
    durable : bool
        Whether each line is on the disk when `write` returns; otherwise `sync` brings it there.

    Attributes
    ----------
    directory : Path
        Where it is.
    entries : list of dict
        What it held when it was opened.

    Raises
    ------
    FileError
        If it cannot be read or written, or was altered.
    """

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self.directory, self._path, self._durable = directory, directory / NAME, durable
        self._epoch: object = None  # of the membership that was written last
        try:
            self._file = open(self._path, "a+b")  # noqa: SIM115
        except OSError as error:
            raise FileError(
                f"cannot open {self._path}: {error.strerror}; use one that you may write"
            ) from None
        try:
            self._file.seek(0)
            data = self._file.read()
            self.entries, end = _parse(self._path, data)
            if end < len(data):
                self._file.truncate(end)
        except BaseException:
            self._file.close()
            raise

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
                self._file.write(line)
            self._file.flush()
            point("hub:after_write")
            if self._durable:
                self.sync()
        except OSError as error:
            raise FileError(
                f"cannot write {self._path}: {error.strerror}; make room and start the hub again"
            ) from error

    def sync(self) -> None:
        """Bring all lines to the disk."""
        os.fsync(self._file.fileno())
        point("hub:after_fsync")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read(directory: Path) -> list[Entry]:
    """Return what a journal holds, whether or not somebody is writing it; an unfinished last line does not count.

    Raises
    ------
    FileError
        If there is none, or it was altered.
    """
    path = directory / NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}; name the directory of a job") from None
    return _parse(path, data)[0]


def hub_state(entries: Sequence[Entry]) -> dict[str, Any] | None:
    """Return what the hub's machine was at after the last line: what was written last, and the rounds since."""
    state: dict[str, Any] | None = None
    for entry in entries:
        if "hub" in entry:
            state = entry["hub"]
        elif "round" in entry and state is not None:
            applied = {uid: sequence for uid, sequence, _ in entry["members"]}
            peers = [
                [uid, identity, token, applied.get(uid, before), member]
                for uid, identity, token, before, member in state["peers"]
            ]
            state = {**state, "version": state["version"] + 1, "peers": peers}
    return state


def _line(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, sort_keys=True, allow_nan=False)
    return f'{text[:-1]}, "crc": {crc32(text.encode())}}}\n'.encode()


def _parse(path: Path, data: bytes) -> tuple[list[Entry], int]:
    """Return the entries and where the last whole one ends."""
    entries, end = [], 0
    for number, line in enumerate(_lines(data), 1):
        entry = _entry(line)
        if entry is None and not line.endswith(b"\n"):  # the last one
            break
        if entry is None:
            raise FileError(f"line {number} of {path} was altered; use another copy")
        end += len(line)
        entries.append(entry)
    return entries, end


def _lines(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end


def _entry(line: bytes) -> Entry | None:
    """Return what a line holds, None if it is not whole."""
    try:
        entry = json.loads(line)
        crc = entry.pop("crc")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return entry if line.endswith(b"\n") and _line(entry) == line and crc is not None else None
