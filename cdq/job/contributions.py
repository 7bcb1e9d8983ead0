"""Contributions that a hub stores until a checkpoint includes them: a restart applies them again."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from zlib import crc32

from cdq.comm.contribution import Received
from cdq.errors import FileError
from cdq.storage import open_regular, open_to_read

if TYPE_CHECKING:
    from typing_extensions import Self

_RECORD = struct.Struct("<qqI")  # round, bytes, crc of them
_KEPT = 3  # as many checkpoints are kept


class Slot(NamedTuple):
    """A stored contribution: the file, the place in it, and the number of bytes."""

    path: Path
    offset: int
    length: int


class Contributions:
    """Files of contributions, one for the time after each checkpoint. The directory's lock must be held.

    Parameters
    ----------
    directory : path
        Directory of the files.
    durable : bool
        True if each contribution is to be on the disk when `write` returns.
    largest : int
        Bytes of the largest contribution: a record that says more is none.

    Attributes
    ----------
    directory : Path
        Directory of the files.
    size : int
        Bytes written since the last checkpoint.
    """

    def __init__(self, directory: Path, *, durable: bool, largest: int = 1 << 40) -> None:
        self.directory, self._durable, self._largest = directory, durable, largest
        self._begun: list[int] = []
        self._file: BinaryIO | None = None
        self._places: dict[int, list[Slot]] = {}
        self.size = 0

    def find(self) -> None:
        """Look up the rounds that have contributions here; a record that a crash left unfinished does not count.

        Raises
        ------
        FileError
            If a file cannot be read.
        """
        self._places.clear()
        for path in self._paths():
            places: dict[int, list[Slot]] = {}
            for number, place in _records(path, self._largest):
                places.setdefault(number, []).append(place)
            self._places.update(places)  # a round that was begun again is in the later file

    def of_round(self, number: int, checksums: Sequence[int]) -> list[bytes] | None:
        """Return the contributions to a round in the order of these CRCs; None if not all are here and whole."""
        payloads = [_read(place) for place in self._places.get(number, [])]
        return payloads if [crc32(payload) for payload in payloads] == list(checksums) else None

    def begin(self, rounds: int) -> None:
        """Begin a file for contributions after *rounds*; delete the files from before the checkpoints that are kept."""
        self._close()
        path = self.directory / f"contributions-{rounds:020d}.bin"
        try:
            path.unlink(missing_ok=True)  # not truncated: if it is a link, what it leads to is not ours
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self._file = os.fdopen(open_regular(path, flags, follow=False), "wb", buffering=0)
            self.size = 0
            self._begun.append(rounds)
            for other in self._paths() if len(self._begun) > _KEPT else []:
                if int(other.stem.partition("-")[2]) < self._begun[-_KEPT]:
                    other.unlink()
        except OSError as error:
            raise FileError(f"cannot begin {path}: {error.strerror or error}") from None

    def write(self, number: int, payloads: Sequence[Received]) -> list[int]:
        """Store the contributions to a round; return their CRCs, which take long where they are large.

        Raises
        ------
        FileError
            If the disk is full or fails: nothing may be acknowledged then.
        """
        assert self._file is not None
        try:
            checksums = [crc32(payload) for payload in payloads]
            for payload, checksum in zip(payloads, checksums, strict=True):
                write_all(self._file, _RECORD.pack(number, len(payload), checksum))
                write_all(self._file, payload)
                self.size += _RECORD.size + len(payload)
            if self._durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise FileError(
                f"cannot write contributions to {self.directory}: {error.strerror}; make room and start the hub again"
            ) from error
        return checksums

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # nothing is left to write, and no error may hide the first
                self._file.close()

    def _paths(self) -> list[Path]:
        return sorted(self.directory.glob(f"contributions-{'[0-9]' * 20}.bin"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def write_all(file: BinaryIO, data: Received) -> None:
    """Write all of *data* to a file without a buffer, of which one call may write a part."""
    rest = memoryview(data)
    while rest.nbytes:
        rest = rest[file.write(rest) :]


def _records(path: Path, largest: int) -> Iterator[tuple[int, Slot]]:
    """Yield the rounds that a file has contributions to, and where they are; without reading them."""
    with open_to_read(path, follow=False) as file:
        end, at = os.fstat(file.fileno()).st_size, 0
        while at + _RECORD.size <= end:
            file.seek(at)
            number, length, _ = _RECORD.unpack(file.read(_RECORD.size))
            at += _RECORD.size
            if not 0 <= length <= min(end - at, largest):
                return
            yield number, Slot(path, at, length)
            at += length


def _read(place: Slot) -> bytes:
    with open_to_read(place.path, follow=False) as file:
        file.seek(place.offset)
        return file.read(place.length)
