"""Evaluation of a policy: episodes without learning."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.contracts import Floats
from cdq.training import EnvironmentTask, WideTask, heard, heard_here
from cdq.workers import EVALUATION, streams

_STREAMS = 64
# Evaluation cuts an episode here where the environment has no limit of its own: a poor policy may never end one.
_LONGEST_EPISODE = 10_000


class Evaluation(NamedTuple):
    """Result of running the greedy policy.

    Attributes
    ----------
    mean_return : float
        Mean undiscounted return of an episode; NaN if some did not end: their returns have no bound.
    standard_error : float
        Standard error of `mean_return`; NaN after a single episode.
    mean_length : float
        Steps of an episode, cut ones included.
    episodes : int
        Number of episodes that were run.
    mean_reward : float
        Mean reward of a step: the figure of environments whose episodes do not end.
    unended : int
        Number of episodes that nothing ended within 10,000 steps, neither the environment nor a time limit.
    """

    mean_return: float
    standard_error: float
    mean_length: float
    episodes: int
    mean_reward: float
    unended: int


class Evaluations(dict[Any, Evaluation]):
    """Evaluation of each of several tasks, by name; of all together it has the attributes of an `Evaluation`, too.

    Attributes
    ----------
    mean_return, mean_length, mean_reward : float
        Means over the tasks.
    standard_error : float
        Standard error of `mean_return`.
    episodes, unended : int
        Sums over the tasks.
    """

    def _mean(self, name: str) -> float:
        return float(np.mean([getattr(one, name) for one in self.values()]))

    @property
    def mean_return(self) -> float:  # noqa: D102
        return self._mean("mean_return")

    @property
    def mean_length(self) -> float:  # noqa: D102
        return self._mean("mean_length")

    @property
    def mean_reward(self) -> float:  # noqa: D102
        return self._mean("mean_reward")

    @property
    def standard_error(self) -> float:  # noqa: D102
        return math.sqrt(sum(one.standard_error**2 for one in self.values())) / len(self)

    @property
    def episodes(self) -> int:  # noqa: D102
        return sum(one.episodes for one in self.values())

    @property
    def unended(self) -> int:  # noqa: D102
        return sum(one.unended for one in self.values())


def evaluate_each(
    task: WideTask,
    values: Floats,
    stop: npt.NDArray[np.int32],
    *,
    seed: int,
    key: tuple[int, ...],
    episodes: int,
) -> Evaluations:
    """Run *episodes* of the greedy policy of each task, on the same streams."""
    return Evaluations(
        (name, evaluate_greedy(alone, own, stop, seed=seed, key=key, episodes=episodes))
        for name, alone, own in task.each(values)
    )


def evaluate_greedy(
    task: EnvironmentTask,
    values: Floats,
    stop: npt.NDArray[np.int32],
    *,
    seed: int,
    key: tuple[int, ...],
    episodes: int,
) -> Evaluation:
    """Run *episodes* of the greedy policy of a table, the lowest action among equals; *key* names the streams.

    Ctrl-C ends them: compiled episodes are run in a thread, as only the main one hears it, and not in compiled code.
    """
    lanes = (
        min(episodes, _STREAMS) if task.threads else task.default_num_envs
    )  # as many environments as learning has
    words = streams(seed, (EVALUATION, *key), lanes)
    longest = max(_LONGEST_EPISODE, task.time_limit or 0)  # the environment heeds its own limit
    run = partial(task.run_episodes, values, words, episodes, longest)
    returns, lengths = heard(run, stop) if task.threads else heard_here(run, stop)
    unended = 0 if task.time_limit else int((lengths >= longest).sum())
    mean = math.nan if unended else float(returns.mean())
    error = float(returns.std(ddof=1) / math.sqrt(episodes)) if episodes > 1 and not unended else math.nan
    per_step = float(returns.sum() / lengths.sum())
    return Evaluation(mean, error, float(lengths.mean()), episodes, per_step, unended)
