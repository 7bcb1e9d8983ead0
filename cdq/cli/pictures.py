"""Pictures of what files hold, for cdq plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cdq import plot
from cdq.cli.options import alone
from cdq.errors import ConfigError, unknown_name
from cdq.learner import QLearner
from cdq.mdp import Solution
from cdq.plot.files import check_picture, write_picture
from cdq.qfunctions import QTable
from cdq.storage import read_tensors

OF_RUNS: dict[str, Callable[[Any], Any]] = {
    "curve": plot.learning_curve,
    "gap": plot.gap,
    "bytes": plot.communication,
    "speedup": plot.speedup,
}
OF_RESULTS: dict[str, Callable[..., Any]] = {
    "values": plot.values,
    "visits": plot.visits,
    "table": plot.table,
    "surface": plot.surface,
}
_LOGS = (".csv", ".jsonl", ".ndjson")
_READERS: dict[Any, Callable[[Path], Any]] = {"table": QTable.load, "solution": Solution.load}


def draw(files: list[Path], kind: str, target: Path, env: str | None) -> str:
    """Draw what files hold to a file, and return the kind of the picture.

    Raises
    ------
    ConfigError
        If there is no such kind, or what the files hold has no picture of it.
    FileError
        If a file cannot be read, or the picture not be written.
    PackageMissing
        If matplotlib is not installed.
    """
    if kind not in {"auto", *OF_RUNS, *OF_RESULTS}:
        raise ConfigError(unknown_name("kind of picture", kind, ("auto", *OF_RUNS, *OF_RESULTS)))
    check_picture(target)
    found = [_read(path, env) for path in files]
    chosen = _usual(found) if kind == "auto" else kind
    if chosen in OF_RUNS:
        runs = found if chosen == "speedup" else _by_settings(files, found)
        write_picture(target, lambda: OF_RUNS[chosen](runs))
        return chosen
    if len(found) > 1:
        raise ConfigError(f"{len(files)} files for {chosen}, a picture of one; give one, or --kind curve")
    given = found if env is None or chosen in {"table", "surface"} else [found[0], env]
    write_picture(target, lambda: OF_RESULTS[chosen](*given))
    return chosen


def _read(path: Path, env: str | None) -> Any:
    """Return what a file or a directory of checkpoints holds."""
    if path.suffix.lower() in _LOGS:
        raise ConfigError(
            f"{path} is a log, which table programs draw; give a file of cdq train --save, or a checkpoint directory,"
            " whose history has the same rows"
        )
    with alone():
        if path.is_dir():
            return QLearner.resume(path, env)
        reader = _READERS.get(read_tensors(path)[1].get("kind"))
        return reader(path) if reader else QLearner.load(path, env)


def _usual(found: list[Any]) -> str:
    """Return the kind of picture that says most."""
    one = found[0]
    if len(found) > 1:
        return "curve"
    if not isinstance(one, QLearner):
        return "table"
    if one.model is not None and one.model.grid is not None:
        return "values"
    return "surface" if one.input_bounds is not None and len(one.input_bounds[0]) == 2 else "curve"


def _by_settings(files: list[Path], found: list[Any]) -> Any:
    """Return runs by the name of the first file of those that differ in nothing but the seed."""
    names: dict[str, str] = {}
    runs: dict[str, list[Any]] = {}
    for path, one in zip(files, found, strict=True):
        if not isinstance(one, QLearner):
            raise ConfigError(f"{path} holds no run; give files of learners, or --kind table")
        settings = f"{one.name} {replace(one.settings, seed=0)}"
        runs.setdefault(names.setdefault(settings, path.stem), []).append(one)
    return runs if len(runs) > 1 else next(iter(runs.values()))
