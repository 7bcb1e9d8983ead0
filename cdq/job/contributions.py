"""What an asynchronous hub took in since its checkpoints: each was learnt from a table that is gone, so it is kept."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from cdq.errors import FileError

if TYPE_CHECKING:
    from typing_extensions import Self

_RECORD = struct.Struct("<qqI")  # round, bytes, crc of them
_KEPT = 3  # as many checkpoints are kept


class Contributions:
    """Files of contributions, one for the time after each checkpoint. The directory's lock must be held.

    Parameters
    ----------
    directory : path
        Where they are.
    durable : bool
        Whether each contribution is on the disk when `write` returns.
    """

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self._directory, self._durable = directory, durable
        self._begun: list[int] = []
        self._close: Callable[[], None] = lambda: None

    def read(self) -> dict[int, bytes]:
        """Return the contributions by their rounds; what a crash left unfinished does not count."""
        found: dict[int, bytes] = {}
        for path in self._paths():
            data, at = path.read_bytes(), 0
            while at + _RECORD.size <= len(data):
                number, length, crc = _RECORD.unpack_from(data, at)
                at += _RECORD.size + length
                payload = data[at - length : at]
                if at > len(data) or crc32(payload) != crc:
                    break
                found[number] = payload
        return found

    def begin(self, rounds: int) -> None:
        """Begin a file for what comes after *rounds*; delete those from before the checkpoints that are kept."""
        self._close()
        self._file = open(self._directory / f"contributions-{rounds:020d}.bin", "wb")  # noqa: SIM115
        self._close = self._file.close
        self._begun.append(rounds)
        for path in self._paths() if len(self._begun) > _KEPT else []:
            if int(path.stem.partition("-")[2]) < self._begun[-_KEPT]:
                path.unlink()

    def write(self, number: int, payload: bytes) -> None:
        """Keep what came in a round.

        Raises
        ------
        FileError
            If the disk is full or fails: nothing may be acknowledged then.
        """
        try:
            self._file.write(_RECORD.pack(number, len(payload), crc32(payload)))
            self._file.write(payload)
            self._file.flush()
            if self._durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise FileError(
                f"cannot write {self._file.name}: {error.strerror}; make room and start the hub again"
            ) from error

    def _paths(self) -> list[Path]:
        return sorted(self._directory.glob(f"contributions-{'[0-9]' * 20}.bin"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
