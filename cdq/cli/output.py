"""Standard output and error of a command: a failure to write is reported in one line, and ends nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

from cdq.errors import FileError


class ReaderGone(Exception):
    """The reader of standard output has closed it: nobody is left to report to."""


class _Output:
    """Standard output, whose errors say what they are of.

    Parameters
    ----------
    stream : file or None
        The output; None where it was closed before the program began.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write text; raises `FileError` or `ReaderGone`."""
        with self._told():
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return int(self._stream.write(text))

    def flush(self) -> None:
        """Write buffered text; raises `FileError` or `ReaderGone`."""
        with self._told():
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            _discard(self._stream)
            raise ReaderGone from None
        except OSError as error:
            _discard(self._stream)
            raise FileError(f"cannot write to standard output: {error.strerror or error}") from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Messages:
    """Standard error, on which nothing fails: where it cannot be written, nobody reads it.

    Parameters
    ----------
    stream : file or None
        Standard error; None where it was closed before the program began.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write text, if that is possible."""
        try:
            return int(self._stream.write(text)) if self._stream is not None else len(text)
        except OSError:
            _discard(self._stream)
            return len(text)

    def flush(self) -> None:
        """Write buffered text, if that is possible."""
        try:
            if self._stream is not None:
                self._stream.flush()
        except OSError:
            _discard(self._stream)

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Let a command write to its standard streams while the context lasts; standard output is flushed at its end.

    Raises
    ------
    FileError
        If standard output cannot be written: it is closed, or on a full disk.
    ReaderGone
        If it is a pipe that nobody reads.
    """
    _occupy()
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Output(streams[0]), _Messages(streams[1])
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = streams


def printable(text: str) -> str:
    r"""Return text without what a terminal would obey: names in files, and what a hub says, are not ours.

    Examples
    --------
    >>> printable("lake\x1b[2J")
    'lake?[2J'
    """
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _occupy() -> None:
    """Open the null device where a standard stream is closed: else the next file gets its number, and its output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free


def _discard(stream: Any) -> None:
    """Let what a stream still holds go nowhere: flushed at exit, it would fail again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
