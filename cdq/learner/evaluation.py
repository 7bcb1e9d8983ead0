"""Evaluation of a policy: episodes without learning."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    """Evaluation of each of several agents or tasks, by name, with the attributes of an `Evaluation` of all together.

    Parameters
    ----------
    each : mapping of object to Evaluation
        Evaluation of each.
    together : Evaluation
        Figures of all of them.
    """

    def __init__(self, each: Mapping[Any, Evaluation], together: Evaluation) -> None:
        super().__init__(each)
        self.mean_return, self.standard_error, self.mean_length = together[:3]
        self.episodes, self.mean_reward, self.unended = together[3:]


def evaluate_each(
    task: WideTask,
    values: Floats,
    stop: npt.NDArray[np.int32],
    *,
    seed: int,
    key: tuple[int, ...],
    episodes: int,
) -> Evaluations:
    """Run *episodes* of the greedy policy of each task, on the same streams; together they have the tasks' means."""
    each: dict[Any, Any] = {
        name: evaluate_greedy(alone, own, stop, seed=seed, key=key, episodes=episodes)
        for name, alone, own in task.each(values)
    }
    found = list(each.values())
    returns, errors, lengths, _, rewards, _ = (list(column) for column in zip(*found, strict=True))
    error = math.sqrt(sum(one**2 for one in errors)) / len(found)
    counts = sum(one.episodes for one in found), sum(one.unended for one in found)
    means = [float(np.mean(column)) for column in (returns, lengths, rewards)]
    return Evaluations(each, Evaluation(means[0], error, means[1], counts[0], means[2], counts[1]))


def evaluate_greedy(
    task: EnvironmentTask,
    values: Floats,
    stop: npt.NDArray[np.int32],
    *,
    seed: int,
    key: tuple[int, ...],
    episodes: int,
) -> Evaluation | Evaluations:
    """Run *episodes* of the greedy policy of a table, the lowest action among equals; *key* names the streams.

    Ctrl-C ends them: compiled episodes are run in a thread, as only the main one hears it, and not in compiled code.

    Returns
    -------
    Evaluation or Evaluations
        Figures of the episodes; where there are several agents, those of each, and together the mean of those that took
        part in one.
    """
    lanes = (
        min(episodes, _STREAMS) * task.lanes_each if task.threads else task.default_num_envs
    )  # as many environments as learning has
    words = streams(seed, (EVALUATION, *key), lanes)
    longest = max(_LONGEST_EPISODE, task.time_limit or 0)  # the environment heeds its own limit
    run = partial(task.run_episodes, values, words, episodes, longest)
    returns, lengths = heard(run, stop) if task.threads else heard_here(run, stop)
    limit = None if task.time_limit else longest
    if not task.agents:
        return _judged(returns, lengths, limit)
    took_part = np.maximum((lengths > 0).sum(axis=1), 1)
    each = {
        agent: _judged(returns[there, number], lengths[there, number], limit)
        for number, agent in enumerate(task.agents)
        if (there := lengths[:, number] > 0).any()
    }
    overall = _judged(returns.sum(axis=1) / took_part, lengths.max(axis=1), limit)
    return Evaluations(each, overall._replace(mean_reward=float(returns.sum() / lengths.sum())))


def _judged(
    returns: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64], limit: int | None
) -> Evaluation:
    """Return the figures of episodes, of which those of *limit* steps did not end."""
    episodes = len(returns)
    unended = 0 if limit is None else int((lengths >= limit).sum())
    mean = math.nan if unended else float(returns.mean())
    error = float(returns.std(ddof=1) / math.sqrt(episodes)) if episodes > 1 and not unended else math.nan
    per_step = float(returns.sum() / lengths.sum())
    return Evaluation(mean, error, float(lengths.mean()), episodes, per_step, unended)
