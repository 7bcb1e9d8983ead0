"""Report of a run: its figures as a JSON object, and hints in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.learner.evaluation import Evaluation, Evaluations
from cdq.learner.matches import Match
from cdq.mdp import MDP, OptimalityGap, optimality_gap
from cdq.qfunctions import MergedNetwork, MergedTable, QTable
from cdq.settings import Settings
from cdq.storage import html, in_digits
from cdq.training import History, Row, WideTask


def digest_of(merged: MergedTable, table: Callable[[], QTable]) -> str:
    """Return the SHA-256 of what was learnt: of a table its values and visits, of a network its parameters."""
    return merged.digest().hex() if isinstance(merged, MergedNetwork) else table().digest()


class Report(dict[str, Any]):
    """A JSON object with the results of a run, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows = [(name.replace("_", " "), _shown(value)) for name, value in self.items() if name != "hints"]
        hints = "".join(f"<p>{escape(hint)}</p>" for hint in self.get("hints", []))
        return html.table((), rows, f"Report on {self.get('env')}") + hints


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return in_digits(value, 6)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_OPTIMAL = 1e-6  # a gap of so much of the optimal value counts as none
_EXPLORED = 0.2  # games want so much exploration
_MISSED = 0.01  # pairs never visited, as a part of all, from which on it is worth a word

_NO_ROUND = Row(0, 0.0, 0.0, 0, 0, 0, 0.0)


def make_report(
    about: dict[str, Any],
    settings: Settings,
    history: History,
    gap: OptimalityGap | None,
    evaluation: Evaluation | Evaluations | Match | None,
) -> dict[str, Any]:
    """Return a JSON object: *about*, then settings, speed, the greedy policy's return, and the gap, where known."""
    last = history[-1] if len(history) else _NO_ROUND
    return {
        **about,
        "workers": settings.workers,
        "num_envs": settings.num_envs,
        "seed": settings.seed,
        "gamma": settings.gamma,
        "rule": settings.rule.name,
        "merge": settings.to_config()["merge"],
        "overlap": settings.overlap,
        "seconds": last.seconds,
        "steps_per_second": last.steps / last.seconds if last.seconds else 0.0,
        "rounds": last.rounds,
        "bytes": last.bytes,
        "episodes": last.episodes,
        **played(evaluation),
        "policy_value": None if gap is None else gap.policy_value,
        "optimal_value": None if gap is None else gap.optimal_value,
        "gap": None if gap is None else gap.gap,
    }


def played(evaluation: Evaluation | Evaluations | Match | None) -> dict[str, Any]:
    """Return the figures of the greedy policy's episodes; None for those that there are not."""
    if evaluation is None:
        names = ("mean_return", "mean_return_error", "mean_reward", "episodes_evaluated", "episodes_unended")
        return dict.fromkeys(names)
    mean, error = evaluation.mean_return, evaluation.standard_error
    figures = {
        "mean_return": None if math.isnan(mean) else mean,
        "mean_return_error": None if evaluation.unended else error,
        "mean_reward": evaluation.mean_reward,
        "episodes_evaluated": evaluation.episodes,
        "episodes_unended": evaluation.unended,
    }
    if isinstance(evaluation, Match):
        seats = {"first": evaluation.first._asdict(), "second": evaluation.second._asdict()}
        return {**figures, "opponent": evaluation.opponent, "seats": seats}
    return figures


def of_each(
    task: WideTask,
    values: npt.NDArray[np.floating[Any]],
    evaluation: Evaluation | Evaluations | Match | None,
    gamma: float,
) -> list[dict[str, Any]]:
    """Return the figures of each of several tasks, in their order: its episodes, and the gap where it has a model."""
    found = []
    for number, name in enumerate(task.names):
        alone = evaluation.get(name) if isinstance(evaluation, Evaluations) else None
        model = task.model_of(number)
        gap = None if model is None else optimality_gap(model, task.values_to(values, number), gamma)
        bounds = {
            "policy_value": None if gap is None else gap.policy_value,
            "optimal_value": None if gap is None else gap.optimal_value,
            "gap": None if gap is None else gap.gap,
        }
        length = None if alone is None else alone.mean_length
        found.append({"task": name, **played(alone), "mean_length": length, **bounds})
    return found


def unvisited(model: MDP | None, visits: npt.NDArray[np.int64]) -> float | None:
    """Return the part of the pairs that episodes can reach which was never visited; None without a model."""
    if model is None:
        return None
    known = _of_reachable(model, visits)
    return (known.size - np.count_nonzero(known)) / known.size if known.size else 0.0


def visited(model: MDP | None, visits: npt.NDArray[np.int64]) -> float:
    """Return the part of the pairs that was visited: of those that episodes can reach, where there is a model."""
    known = visits if model is None else _of_reachable(model, visits)
    return np.count_nonzero(known) / known.size if known.size else math.nan


def known_pairs(model: MDP | None) -> npt.NDArray[np.bool_] | None:
    """Return the pairs that episodes can reach, (n_states, n_actions); None without a model: they may be all."""
    if model is None:
        return None
    pairs = np.zeros((model.n_states, model.n_actions), np.bool_)
    states = model.reachable()
    pairs[states] = True if model.actions is None else model.actions[states]
    return pairs


def _of_reachable(model: MDP, visits: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the visits of the pairs that episodes can reach."""
    states = model.reachable()
    return visits[states] if model.actions is None else visits[states][model.actions[states]]


def hints(
    report: dict[str, Any], model: MDP | None, values: npt.NDArray[np.floating[Any]], missed: float | None
) -> list[str]:
    """Return hints about a run beside its figures, a sentence each: the reason for a weak result, and a remedy.

    Parameters
    ----------
    report : dict
        The object that `make_report` returned, with an entry `solved`.
    model : MDP or None
        Model of the environment.
    values : array
        Values of the table.
    missed : float or None
        Result of `unvisited`.
    """
    found = []
    best = 1.0 if model is None else float(model.reward.max(initial=0.0))
    if report["steps"] and best > 0 and not values.any():
        found.append(
            f"No reward was seen: every value is still 0. initial_value={best:g} (--initial-value {best:g}), no less "
            "than what can be paid, leads to what was never tried; where rewards are near, more exploration does too: "
            "exploration=0.5."
        )
    optimal = report["gap"] is not None and report["gap"] <= _OPTIMAL * max(1.0, abs(report["optimal_value"]))
    if report["steps"] and missed is not None and missed > _MISSED and not optimal:
        found.append(
            f"{missed:.0%} of the pairs that episodes can reach were never visited: learn for more steps. The model is "
            "known, so that `cdq solve`, or cdq.solve(agent.model, gamma), finds the optimum at once."
        )
    if report["solved"] is False and optimal:
        found.append(
            f"Below Gymnasium's threshold, and yet optimal: at gamma {report['gamma']:g} no policy is better by more "
            f"than {in_digits(report['gap'], 2)}."
        )
    return found


def hints_on_games(settings: Settings, steps: int) -> list[str]:
    """Return a hint where a game is learnt with so little exploration that refutations are hardly ever seen."""
    if settings.opponent is None or not steps or settings.exploration.at(steps) >= _EXPLORED:
        return []
    return [
        f"Exploration is {settings.exploration.at(steps):g}: greedy self-play hardly visits moves that refute it. "
        "exploration=0.3 (--exploration 0.3), and no less than 0.2 at the end, learns both sides of a game."
    ]
