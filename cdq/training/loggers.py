"""Loggers: callbacks that write the figures of each round to a file as it is played."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from cdq.errors import FileError, PackageMissing
from cdq.errors.checks import path_of, whole
from cdq.errors.naming import named
from cdq.storage import open_regular
from cdq.training.callbacks import Callback, RunView
from cdq.training.history import History
from cdq.training.played import MOST_ROWS, Row


class _Logger(Callback):
    """A logger of rows that a round adds: the first one after each multiple of so many steps, measurements, the last.

    By default every row is due until a run has as many as a history holds, then one once the steps have grown by a part
    of them: a run without end has a file that is written ever more rarely.
    """

    _writes = True

    def __init__(self, place: Path, every: float | None) -> None:
        self._place = place
        self._every = None if every is None else whole("every", every, 1)
        self._last, self._written = 0, 0  # steps of the last row, and number of the run's rows
        self._file: BinaryIO | None = None  # without a buffer: what cannot be written is known at once

    def on_start(self, run: RunView) -> None:
        """Open the file."""
        self._last, self._written = run.steps, 0
        try:
            self._open(run)
        except OSError as error:
            self._fail(error)

    def on_round(self, run: RunView) -> None:
        """Write those of the round's rows that are due."""
        if not (self._is_due(run.steps) or run._is_measured):  # nor is an earlier row of the round
            return
        due = []
        for row in run.rows:
            if self._is_due(row.steps) or not (math.isnan(row.gap) and math.isnan(row.greedy_return)):
                due.append(row)
                self._last = row.steps
                self._written += 1
        self._write(due)

    def on_end(self, run: RunView) -> None:
        """Write the row of the last round, if it was not due, and close the file."""
        try:
            if self._file is not None and run.row.steps > self._last:
                self._write([run.row])
        finally:
            self._close()

    def _is_due(self, steps: int) -> bool:
        every, last = self._every, self._last
        if every is not None:
            return steps // every != last // every
        return self._written < MOST_ROWS or steps - last > last // MOST_ROWS

    def _write(self, rows: list[Row]) -> None:
        assert self._file is not None
        try:
            _write_whole(self._file, b"".join(map(self._line, rows)))
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._close()
        raise FileError(f"cannot write {self._place}: {error.strerror or error}") from None

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _open(self, run: RunView) -> None:
        raise NotImplementedError

    def _line(self, row: Row) -> bytes:
        raise NotImplementedError


def _write_whole(file: BinaryIO, data: bytes) -> None:
    """Write all of *data* to a file without a buffer, which takes a part of it where the disk is nearly full."""
    while data:
        data = data[file.write(data) :]


class _LineLogger(_Logger):
    """A logger that writes lines, each whole: what a crash cut is removed when the file is opened again.

    A run that goes on from a checkpoint plays rounds again that came after it: their lines are removed, too.
    """

    _HEAD = b""
    _COUNTS: re.Pattern[bytes]  # steps, episodes and rounds of a line

    @named
    def __init__(self, path: str | os.PathLike[str], *, every: float | None = None) -> None:
        self.path = Path(path_of("the file", path))
        super().__init__(self.path, every)

    def _open(self, run: RunView) -> None:
        descriptor = open_regular(self.path, os.O_RDWR | os.O_CREAT, follow=True)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._go_on(self._file)
        if run.steps:
            with open(self.path, "rb") as lines:
                end, last, number = _end_of_run(map(self._counts, lines), run.history, run.steps)
            if end:
                self._file.truncate(end)
                self._file.seek(end)
                self._last, self._written = last, number

    def _counts(self, line: bytes) -> tuple[int, tuple[int, ...]]:
        """Return the bytes of a line, and its steps, episodes and rounds; nothing of a line of another form."""
        found = self._COUNTS.match(line)
        return len(line), tuple(map(int, found.groups())) if found else ()

    def _go_on(self, file: BinaryIO) -> None:
        head = file.read(len(self._HEAD))
        if head != self._HEAD and not self._HEAD.startswith(head):
            raise OSError("it is another file; give a new name")
        file.truncate(_end_of_last_line(file))
        if file.seek(0, os.SEEK_END) == 0:
            _write_whole(file, self._HEAD)


def _end_of_last_line(file: BinaryIO) -> int:
    """Return where the last line break of a file ends."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 4096)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _end_of_run(
    lines: Iterable[tuple[int, tuple[int, ...]]], history: History, steps: int
) -> tuple[int, int, int]:
    """Return where the lines end that a run of so many steps has behind it, the steps of the last, and their number.

    Lines of a file are those of one run after another, each of which counts its steps upwards. Only the last one is
    looked at, which is this run if its history says so.
    """
    end, kept, last, number, before = 0, 0, (), 0, -1  # type: int, int, tuple[int, ...], int, int
    for length, counts in lines:
        end += length
        if not counts or counts[0] <= before:  # another run begins
            kept, last, number = 0, (), 0
        before = counts[0] if counts else -1
        if counts and counts[0] <= steps:
            kept, last, number = end, counts, number + 1
    return (kept, last[0], number) if last and _has(history, last) else (0, 0, 0)


def _has(history: History, counts: tuple[int, ...]) -> bool:
    """Return whether steps, episodes and rounds may be those of a moment of a run, from which rows were left out."""
    known = [history[name] for name in ("steps", "episodes", "rounds")]
    at = int(known[0].searchsorted(counts[0], "right"))
    earlier = all(column[at - 1] <= n for column, n in zip(known, counts, strict=True)) if at else True
    later = int(known[0].searchsorted(counts[0]))
    return earlier and (
        later == len(known[0]) or all(column[later] >= n for column, n in zip(known, counts, strict=True))
    )


def _csv_line(fields: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().encode()


class CSVLogger(_LineLogger):
    """Write lines of a CSV file after each round, of rows that it adds to the history; empty where NaN.

    Lines are added to a file that a logger began; one of another kind is refused. Lines that a run wrote after the
    checkpoint from which it goes on are removed, as it plays those rounds again. The last round has a line in any case.

    Parameters
    ----------
    path : path
        The file.
    every : float, optional
        Steps between two lines, at least. By default every row has a line until a run has 1,024, as many as a history
        holds; then one has that comes a 1,024th of the steps so far after the last. Measurements of the gap and of the
        greedy return have a line in any case.

    Raises
    ------
    ConfigError
        If *every* is no whole number of at least 1.
    FileError
        From `learn`, if the file cannot be written or is another one.

    Examples
    --------
    >>> import tempfile
    >>> from cdq import CSVLogger, QLearner
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     log = CSVLogger(f"{directory}/log.csv")
    ...     agent = QLearner("FrozenLake-v1", seed=0, sync_every=10_000).learn(30_000, callbacks=[log])
    ...     lines = log.path.read_text().splitlines()
    >>> len(lines), lines[0][:26]
    (235, 'steps,seconds,mean_return,')
    """

    _HEAD = _csv_line(Row._fields)
    _COUNTS = re.compile(rb"(\d+),[^,]*,[^,]*,(\d+),(\d+),")

    def _line(self, row: Row) -> bytes:
        return _csv_line("" if math.isnan(value) else value for value in row)


class JSONLogger(_LineLogger):
    """Write lines of JSON after each round, of rows that it adds to the history; null in place of NaN.

    Parameters, errors and files that are there already: as for `CSVLogger`.

    Examples
    --------
    >>> import json, tempfile
    >>> from cdq import JSONLogger, QLearner
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     log = JSONLogger(f"{directory}/log.jsonl", every=20_000)
    ...     agent = QLearner("FrozenLake-v1", seed=0, sync_every=10_000).learn(40_000, callbacks=[log])
    ...     rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    >>> [row["steps"] for row in rows], rows[-1]["epsilon"]
    ([20000, 40000], 0.1)
    """

    _COUNTS = re.compile(
        rb'\{"steps": (\d+), "seconds": [^,]*, "mean_return": [^,]*, "episodes": (\d+), "rounds": (\d+),'
    )

    def _go_on(self, file: BinaryIO) -> None:
        if file.read(1) not in (b"", b"{"):
            raise OSError("it is another file; give a new name")
        super()._go_on(file)

    def _line(self, row: Row) -> bytes:
        fields = {name: value if math.isfinite(value) else None for name, value in row._asdict().items()}
        return json.dumps(fields, allow_nan=False).encode() + b"\n"


# Names of figures in TensorBoard, whose part before the stroke is the group that it shows together.
_TAGS = {
    "mean_return": "return/exploring",
    "least_return": "return/least",
    "greatest_return": "return/greatest",
    "greedy_return": "return/greedy",
    "gap": "gap/certified",
    "mean_length": "episodes/mean_length",
    "episodes": "episodes/ended",
    "epsilon": "schedules/epsilon",
    "step_size": "schedules/step_size",
    "window": "rounds/window",
    "rounds": "rounds/played",
    "bytes": "rounds/bytes",
    "visited": "table/visited",
    "seconds": "time/seconds",
}


class TensorBoardLogger(_Logger):
    """Write event files that TensorBoard shows, a point of each figure per row of a round; by the package tensorboardX.

    Parameters
    ----------
    directory : path
        Directory of the event files of a run, one for each call of `learn`: ``tensorboard --logdir DIRECTORY``. Points
        that the run wrote after the checkpoint from which it goes on are shown no more.
    every : float, optional
        Steps between two points, at least; as for `CSVLogger`.

    Raises
    ------
    PackageMissing
        If tensorboardX is not installed (extra ``tensorboard``).
    ConfigError
        If *every* is no whole number of at least 1.
    FileError
        From `learn`, if the directory cannot be written.
    """

    @named
    def __init__(self, directory: str | os.PathLike[str], *, every: float | None = None) -> None:
        self.directory = Path(path_of("the directory", directory))
        super().__init__(self.directory, every)
        try:
            from tensorboardX import proto
            from tensorboardX.record_writer import masked_crc32c
        except ImportError as error:
            raise PackageMissing(
                f'TensorBoardLogger needs tensorboardX ({error}): pip install "cdq[tensorboard]"; CSVLogger and '
                "JSONLogger need nothing"
            ) from None
        # Its SummaryWriter is not taken: a full disk ends the thread that writes there, and who waits for it waits on.
        self._proto: Any = proto
        self._checksum: Callable[[bytes], int] = masked_crc32c

    def _open(self, run: RunView) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        seconds, rest = divmod(time.time_ns(), 10**9)
        name = f"events.out.tfevents.{seconds}.{socket.gethostname()}.{rest:09}"
        descriptor = open_regular(self.directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, follow=False)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        begun = self._record(file_version="brain.Event:2")
        if run.steps:
            started = self._proto.event_pb2.SessionLog(
                status=1
            )  # START: what was written from this step on is void
            begun += self._record(step=run.steps + 1, session_log=started)
        _write_whole(self._file, begun)

    def _line(self, row: Row) -> bytes:
        kind = self._proto.summary_pb2.Summary
        points = [
            kind.Value(tag=_TAGS[name], simple_value=value)
            for name, value in row._asdict().items()
            if name in _TAGS and math.isfinite(value)
        ]
        return self._record(step=row.steps, summary=kind(value=points))

    def _record(self, **fields: Any) -> bytes:
        """Return an event as a record of its file: its length and itself, each with its checksum."""
        data = self._proto.event_pb2.Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(data))
        return b"".join(part + struct.pack("<I", self._checksum(part)) for part in (length, data))
