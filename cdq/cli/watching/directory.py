"""A run as its directory of checkpoints has it: the newest one, who writes there, a hub's last rounds."""

from __future__ import annotations

import os
import shlex
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from cdq.cli.output import printable
from cdq.cli.render import quantity
from cdq.cli.watching.model import has_features, has_no_table, model_of_run
from cdq.cli.watching.rounds import Bringers, last_rounds, speed_of
from cdq.errors import CdqError, FileError, UnsupportedEnvironment
from cdq.errors.checks import whole
from cdq.job.journal import Entry
from cdq.qfunctions import tables_in
from cdq.storage import CheckpointDirectory, Part, in_digits, read_part, require_kind
from cdq.training import (
    JOURNAL,
    Goal,
    Grid,
    action_values,
    curves_of,
    duration,
    grid_of,
    history_of,
    table_of,
)

_MOST = 1 << 20  # bytes that are read of each tensor of a checkpoint
_ROWS = 12  # of a table without a grid, that are shown
_LATELY = 5  # rows of the history of which the speed is


class DirectoryWatch:
    """Looks at a directory of checkpoints, again and again; it reads one when there is a new one, and a part of it.

    Parameters
    ----------
    path : Path
        Directory of the run.
    env : str, optional
        The environment, where it is of a module.

    Raises
    ------
    FileError
        If there is no such directory, or no run in it.
    ConfigError
        If the environment is another one than the run's.
    """

    def __init__(self, path: Path, env: str | None) -> None:
        self._path, self._env = path, env
        self._directory = CheckpointDirectory(path)
        self._seen: tuple[object, ...] = ()
        self._part: Part | None = None
        self._at = 0.0  # when the newest checkpoint was written
        self._grid: Grid | None = None
        self._model: object = None  # fingerprint of the model whose grid this is
        self._troubles: dict[str, str] = {}
        self._bringers = Bringers()
        self._shown: dict[str, Any] = {}
        _require_run(path, self._directory)

    def look(self) -> dict[str, Any]:
        """Return the picture of the run."""
        self._read()
        rounds = self._rounds()
        says = _state_of(self._path, self._directory, self._part)
        figures: list[tuple[str, str]] = [("checkpoint", "none yet")]
        run: dict[str, Any] = {"title": self._path.name, "share": 0.0}
        now = time.time()
        if self._part is not None:
            run, figures = _figures(self._part, rounds, now - self._at)
        goes_on = says["state"] == "running"
        shown = [(name, printable(text)) for name, text in figures if goes_on or name != "time left"]
        troubles = [text for text in self._troubles.values() if text]
        self._bringers.see(rounds)
        workers = self._bringers.rows(rounds, now, goes_on=goes_on)
        return {
            **self._shown,
            **({"workers": workers} if workers else {}),
            "run": {**run, "source": str(self._path), "figures": shown, "troubles": troubles, **says},
        }

    def _rounds(self) -> list[Entry]:
        """Return the last rounds, where a hub has the directory."""
        self._troubles["journal"] = ""
        try:
            return last_rounds(self._path)
        except FileError as error:
            self._troubles["journal"] = printable(f"The rounds of the hub cannot be shown: {error}")
        return []

    def _read(self) -> None:
        """Read the newest checkpoint, if it is another one than before."""
        newest = self._directory.last_path()
        seen = () if newest is None else (newest, *_stamp(newest))
        if seen == self._seen:
            return
        self._seen, self._troubles["checkpoint"] = seen, ""
        try:
            found = self._directory.newest_by(_read_checkpoint)
        except FileError as error:
            self._troubles["checkpoint"] = printable(f"No checkpoint can be shown: {error}")
            return
        if found is not None:
            self._at = _stamp(found[0])[0] / 1e9
            self._take(found[1])

    def _take(self, part: Part) -> None:
        if part.header.get("model") != self._model:
            self._grid = self._find_grid(part)
            self._model = part.header.get("model")
        self._part = part
        n_rows, keys = part.rows["values"], part.tensors.get("keys")
        table = table_of(_action_values(part), self._grid, n_rows=n_rows, keys=keys)
        self._shown = {
            "curves": curves_of(history_of(part.tensors)),
            "table": {**table, "weights": has_features(part.header)},
        }

    def _find_grid(self, part: Part) -> Grid | None:
        """Return the grid of the run's model, if it is known and has one; a user's environment must be the run's."""
        self._troubles["grid"] = ""
        try:
            return grid_of(model_of_run(self._path, part, self._env))
        except (
            CdqError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:  # also of a file that nobody of ours wrote
            if self._env is not None and self._part is None and not has_no_table(self._env, error):
                raise
            if not isinstance(error, UnsupportedEnvironment):
                self._troubles["grid"] = printable(f"The table is shown without its grid: {error}")
        return None


def _read_checkpoint(path: Path) -> Part:
    """Return what is shown of a checkpoint; raise `FileError` if it lacks any of it."""
    part = read_part(path, _MOST, follow=False)
    require_kind(path, part.header, "checkpoint")
    try:
        whole("steps", part.header["steps"], 0)
        Goal.from_config(part.header["goal"])
        history_of(part.tensors)
        _action_values(part)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FileError(f"{path} lacks what a run goes on from: {error!r}; use another") from None
    return part


def _action_values(part: Part) -> npt.NDArray[Any]:
    """Return the action values of the first states."""
    values, keys = part.tensors["values"], part.tensors.get("keys")
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(f"values of shape {values.shape}")
    if keys is not None and (keys.ndim != 1 or len(keys) < min(len(values), _ROWS)):
        raise ValueError(f"{len(keys)} keys for {len(values)} rows")
    return action_values(values, tables_in(part.header), part.tensors.get("actions"))


def _require_run(path: Path, directory: CheckpointDirectory) -> None:
    if not path.is_dir():
        kind = "is no directory" if path.exists() else "does not exist"
        raise FileError(f"{path} {kind}; name a directory of checkpoints, or the URL of a hub")
    if directory.last_path() is None and not any((path / name).exists() for name in ("lock", JOURNAL)):
        raise FileError(
            f"{path} holds no run; name the directory that --checkpoint names, or the URL of a hub"
        )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:  # it was deleted since
        return 0, 0
    return found.st_mtime_ns, found.st_size


# ---- what a page says


def _figures(part: Part, rounds: list[Entry], age: float) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    header, history = part.header, history_of(part.tensors)
    goal = Goal.from_config(header["goal"])
    steps = max([header["steps"], *(entry["steps"] for entry in rounds[-1:])])
    share = min(steps / goal.target, 1.0) if goal.target else 1.0
    speed = speed_of(rounds) or _speed(history["steps"], history["seconds"])
    figures = [
        ("steps", f"{steps:,} of {goal.target:,} ({share:.0%})"),
        ("speed", f"{quantity(speed)} steps/s"),
        ("time left", _left(goal.target - steps, speed)),
        *_newest(history),
        ("checkpoint", f"{duration(max(age, 0.0))} ago, at {header['steps']:,} steps"),
    ]
    return {"title": str(header.get("environment"))[:200], "share": share}, figures


def _left(steps: int, speed: float) -> str:
    if steps <= 0:
        return "none"
    return duration(steps / speed) if speed else "not known"


def _newest(history: Any) -> list[tuple[str, str]]:
    """Return the newest figures of a history, of those that there are."""
    if not len(history):
        return []
    known: list[tuple[str, str, Callable[[float], str]]] = [
        ("mean return", "mean_return", lambda value: f"{in_digits(value)}, exploring"),
        ("greedy return", "greedy_return", in_digits),
        ("gap", "gap", lambda value: f"at most {in_digits(value, 2)}, as last measured"),
        ("visited", "visited", "{:.0%} of the pairs".format),
        ("exploration", "epsilon", in_digits),
        ("window", "window", "{:,.0f} steps of each worker".format),
    ]
    row = history[-1]
    figures = [(name, shown(history.newest(column))) for name, column, shown in known]
    return [
        *((name, text) for name, text in figures if "nan" not in text),
        ("episodes", f"{row.episodes:,}"),
        ("rounds", f"{row.rounds:,}, {row.bytes:,} bytes exchanged"),
    ]


def _speed(steps: Any, seconds: Any) -> float:
    """Return the steps a second of the last rows."""
    passed = float(seconds[-1] - seconds[-_LATELY:][0]) if len(seconds) > 1 else 0.0
    if passed > 0:
        return float(steps[-1] - steps[-_LATELY:][0]) / passed
    return float(steps[-1] / seconds[-1]) if len(seconds) and seconds[-1] > 0 else 0.0


def _state_of(path: Path, directory: CheckpointDirectory, part: Part | None) -> dict[str, str]:
    """Return whether a run goes on, and what to do where it does not."""
    if not path.is_dir():
        return {"state": "gone", "says": "The directory is not there any more."}
    holder, hosted = directory.holder(), (path / JOURNAL).exists()
    done = part is not None and part.header["steps"] >= Goal.from_config(part.header["goal"]).target
    again = (
        "start the same cdq hub command again" if hosted else f"cdq train --resume {shlex.quote(str(path))}"
    )
    if holder is not None and _may_live(*holder):
        where = "" if holder[1] == socket.gethostname() else f" on {holder[1]}"
        what = "The hub" if hosted else "The run"
        return {"state": "running", "says": f"{what} goes on, in process {holder[0]}{where}."}
    if holder is not None:
        return {
            "state": "gone",
            "says": f"Process {holder[0]}, which learnt here, was killed. To go on: {again}.",
        }
    if part is None:
        return {"state": "waiting", "says": "There is no checkpoint yet."}
    if done:
        return {"state": "ended", "says": "The run has ended: it reached its goal."}
    return {"state": "stopped", "says": f"The run was ended before its goal. To go on: {again}."}


def _may_live(process: int, host: str) -> bool:
    """Return whether a process may be there; of another machine nobody knows here."""
    if host != socket.gethostname()[:256]:
        return True
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except ProcessLookupError:
        return False
    except (OSError, OverflowError, IndexError):  # it is another user's, or the system tells no more
        return True
    return state != b"Z"  # killed, and not yet taken note of by the process that started it
