"""Comparison of settings: each is run with several seeds, side by side over the cores."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.registry import name_of
from cdq.errors import ConfigError, unknown_name
from cdq.errors.checks import path_of, shown, whole
from cdq.errors.naming import named
from cdq.learner.learning import make_goal
from cdq.learner.qlearner import QLearner
from cdq.storage import html, in_digits, to_pandas, write_csv
from cdq.training import Callback, CallbackList, History

_TICK = 0.1  # seconds after which a thread that waits looks for Ctrl-C
_OF_LEARN = ("steps", "until", "callbacks")


class Comparison:
    """Histories of settings that were each run with the same seeds: a column by name, or frames and files of all.

    Attributes
    ----------
    runs : dict of list of History
        Histories of each setting by its name, in the order of the seeds.
    seeds : tuple of int
        Seeds of the runs.
    """

    def __init__(self, runs: Mapping[Hashable, list[History]], seeds: Sequence[int]) -> None:
        self.runs, self.seeds = dict(runs), tuple(seeds)

    def __repr__(self) -> str:
        return f"Comparison of {', '.join(map(str, self.runs))}: {len(self.seeds)} seeds each"

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return columns of one length: setting, seed, and those of `History`, with a row for each of their rows."""
        several = [
            (str(name), seed, history.to_arrays())
            for name, histories in self.runs.items()
            for seed, history in zip(self.seeds, histories, strict=True)
        ]
        lengths = [len(columns["steps"]) for _, _, columns in several]
        return {
            "setting": np.repeat(np.array([name for name, _, _ in several]), lengths),
            "seed": np.repeat(np.array([seed for _, seed, _ in several]), lengths),
            **{key: np.concatenate([columns[key] for _, _, columns in several]) for key in several[0][2]},
        }

    def __getitem__(self, column: str) -> npt.NDArray[Any]:
        """Return a column of `to_arrays`; raises `ConfigError` if there is no such one."""
        if isinstance(column, Hashable) and column in self.runs:
            raise ConfigError(
                f"{shown(column)} is a setting, and [] takes columns; its histories are in .runs[{shown(column)}]"
            )
        columns = self.to_arrays()
        if column not in columns:
            raise ConfigError(unknown_name("column", column, columns))
        return columns[column]

    def to_pandas(self) -> Any:
        """Return a tidy `pandas.DataFrame` of the columns of `to_arrays`.

        Raises
        ------
        PackageMissing
            If pandas is not installed.
        """
        return to_pandas(self.to_arrays())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the columns of `to_arrays` to a CSV file, atomically.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        write_csv(path_of("the file", path), self.to_arrays())

    def _repr_html_(self) -> str:
        rows = [[str(name), *_last(histories)] for name, histories in self.runs.items()]
        caption = f"medians of {len(self.seeds)} seeds, at the end of the runs"
        return html.table(("setting", *_LAST), rows, caption)


_LAST = ("steps", "mean_return", "gap")


def _last(histories: list[History]) -> list[str]:
    """Return the medians of the last figures of runs; "" where one has none."""
    found = []
    for name in _LAST:
        columns = [history[name] for history in histories]
        known = [column[~np.isnan(column)] for column in columns]
        found.append(
            in_digits(float(np.median([one[-1] for one in known])), 6) if all(map(len, known)) else ""
        )
    return found


@named
def compare(
    settings: Mapping[Any, Mapping[str, Any]],
    env: Any = None,
    *,
    seeds: int | Sequence[int] = 20,
    **common: Any,
) -> Comparison:
    """Learn with each of several settings and each of several seeds, side by side over the cores.

    Parameters
    ----------
    settings : dict
        Arguments of `QLearner` for each setting, by its name; also *env*, and *steps* and *until* of `QLearner.learn`;
        and *callbacks*: a function without arguments that returns those of a run, as each run needs its own.
    env : str, callable or MDP, optional
        The environment of all settings that do not name one.
    seeds : int or sequence of int
        Seeds of the runs of each setting; a number stands for 0 to that less 1.
    **common
        Arguments of all settings that do not say otherwise; *steps* is 100,000 by default.

    Returns
    -------
    Comparison
        Histories of all runs; `cdq.plot.learning_curve` and `cdq.plot.gap` draw them with bands.

    Raises
    ------
    ConfigError, UnsupportedEnvironment
        Before any run starts, if a setting is not allowed; names it.
    CdqError
        If a run fails; the others are ended.

    Notes
    -----
    Runs are threads of this process: compiled loops run at the same time, environments that are stepped in Python take
    turns. Each history is that of the run alone, but for its seconds, as runs share the machine.

    Examples
    --------
    >>> import cdq
    >>> settings = {"pooled": {"merge": "pooled"}, "mean": {"merge": "mean"}}
    >>> result = cdq.compare(settings, "FrozenLake-v1", workers=2, steps=20_000, seeds=3)
    >>> result, len(result.runs["mean"])
    (Comparison of pooled, mean: 3 seeds each, 3)
    """
    if (comm := name_of("auto")) != "inprocess":
        raise ConfigError(
            f"workers would be reached by {comm!r}, as a launcher or CDQ_COMM says; runs side by side are threads of "
            "one process: start the program without it"
        )
    numbers = _seeds_of(seeds)
    calls = {name: _arguments(name, given, env, common) for name, given in _named(settings).items()}
    widest = max(_tried(name, *call, numbers[0]) for name, call in calls.items())
    jobs = [(arguments, learn, seed) for arguments, learn in calls.values() for seed in numbers]
    histories = iter(_run_all(jobs, max(1, _cores() // widest)))
    return Comparison({name: [next(histories) for _ in numbers] for name in calls}, numbers)


def _named(settings: Any) -> Mapping[Any, Any]:
    if not isinstance(settings, Mapping) or not settings:
        raise ConfigError(
            f"settings are {shown(settings)}; allowed: a dictionary with one setting or more, by name, as in "
            'cdq.compare({"default": {}, "slow": {"step_size": 0.1}}, "FrozenLake-v1", seeds=20)'
        )
    return settings


def _seeds_of(seeds: Any) -> list[int]:
    if isinstance(seeds, (Sequence, np.ndarray, range)) and not isinstance(seeds, (str, bytes)):
        numbers = [whole("a seed", seed, 0, 2**63 - 1) for seed in seeds]
        if not numbers or len(set(numbers)) < len(numbers):
            raise ConfigError(f"seeds are {shown(seeds)}; allowed: one or more, each once")
        return numbers
    return list(range(whole("seeds", seeds, 1, 100_000)))


def _arguments(
    name: Any, given: Any, env: Any, common: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `QLearner` and of `learn` of a setting."""
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"setting {shown(name)} is {shown(given)}; allowed: a dictionary of arguments of QLearner, as in "
            '{"step_size": 0.1}'
        )
    arguments = {"env": env, "steps": 1e5, **common, **given}
    if arguments["env"] is None:
        raise ConfigError(
            f"setting {shown(name)} has no environment; give env, to all settings or to this one"
        )
    refused = {"seed": "seeds=...", "checkpoint": "QLearner", "comm": "workers=..., which are threads"}
    for argument, better in refused.items():
        if argument in arguments:
            raise ConfigError(
                f"setting {shown(name)} has {argument}, not for runs side by side; use {better}"
            )
    learn = {key: arguments.pop(key) for key in _OF_LEARN if key in arguments}
    return arguments, learn


def _tried(name: Any, arguments: Mapping[str, Any], learn: Mapping[str, Any], seed: int) -> int:
    """Return the workers of a setting, of which a learner can be made that may learn so."""
    try:
        agent = QLearner(**arguments, seed=seed)
        make_goal(agent._state, agent._checkpoints, learn.get("steps"), learn.get("until"))
        CallbackList(_callbacks_of(learn))
    except TypeError as error:
        raise ConfigError(
            f"setting {shown(name)}: {str(error).replace('QLearner.__init__()', 'QLearner')}"
        ) from None
    except ConfigError as error:
        raise ConfigError(f"setting {shown(name)}: {error}") from None
    agent.close()
    shared = hasattr(arguments["env"], "unwrapped") and not isinstance(arguments["env"], type)
    if shared and agent.model is None:
        raise ConfigError(
            f"setting {shown(name)} has an environment that runs side by side cannot share; give its id, or a callable "
            "that makes one"
        )
    return agent.settings.workers


def _callbacks_of(learn: Mapping[str, Any]) -> Any:
    """Return the callbacks of one run."""
    make = learn.get("callbacks", list)
    if isinstance(make, Callback) or not callable(make):
        raise ConfigError(
            f"callbacks is {shown(make)}; allowed: a function that makes those of each run, as in "
            "callbacks=lambda: [cdq.StopOnReturn(0.7)]"
        )
    return make()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run_all(jobs: Sequence[tuple[dict[str, Any], dict[str, Any], int]], at_once: int) -> list[History]:
    """Return the history of each job; so many run at the same time."""
    running: list[QLearner] = []
    ended: list[bool] = []

    def run(arguments: dict[str, Any], learn: dict[str, Any], seed: int) -> History:
        agent = QLearner(**arguments, seed=seed)
        running.append(agent)
        try:
            if not ended:
                agent.learn(**{**learn, "callbacks": _callbacks_of(learn)})
            return agent.history
        finally:
            running.remove(agent)
            agent.close()

    with ThreadPoolExecutor(at_once, "cdq-compare") as pool:
        futures = [pool.submit(run, *job) for job in jobs]
        try:
            # A tick at a time: the main thread hears Ctrl-C only when it wakes up.
            while wait(futures, _TICK, FIRST_EXCEPTION).not_done:
                if any(future.done() and future.exception() for future in futures):
                    break
            return [future.result() for future in futures if future.done()]
        finally:  # of runs that are left, where one failed or Ctrl-C came
            ended.append(True)
            for future in futures:
                future.cancel()
            for agent in list(running):
                agent._requests.stop[0] = 1
