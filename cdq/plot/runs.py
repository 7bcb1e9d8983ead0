"""Runs as pictures take them: learners, histories, comparisons, or lists or dictionaries of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError
from cdq.errors.checks import shown
from cdq.plot.learners import is_learner
from cdq.training import History

Floats = npt.NDArray[np.float64]

_MOST_POINTS = 200  # of a line
_MOST_AVERAGES = 60  # each of more episodes, so that the line is smooth
_DECADES = 1e-5  # of the largest figure: what is less is drawn there, on logarithmic axes
_NO_EPISODE = "; no episode ended, whose returns and lengths these are"
# Reasons for which a column may have no figures.
_WHY = {
    "gap": "; the gap is measured where the model is known, and not in the first steps",
    "greedy_return": "; it is measured by cdq.EvalCallback(every=...) among the callbacks of learn, or "
    "until=cdq.MeanReturn(...)",
    **{
        f"{which}_{what}": _NO_EPISODE
        for which in ("mean", "least", "greatest")
        for what in ("return", "length")
    },
}
_ALLOWED = "a learner, its history, a comparison, or a list of these, or a dictionary of them by name"


class Band(NamedTuple):
    """A line, and the band around it: median and quartiles of several runs; of one run, three times the same.

    Attributes
    ----------
    x, low, middle, high : (n,) arrays
        Places, first quartiles, medians, and third quartiles.
    n_runs : int
        Number of runs.
    first_end : float
        Place at which the first of the runs ended.
    """

    x: Floats
    low: Floats
    middle: Floats
    high: Floats
    n_runs: int
    first_end: float = np.inf


def histories_of(runs: Any) -> dict[Any, list[History]]:
    """Return the histories of each line of a picture, by its name; "" for a single line without one.

    Raises
    ------
    ConfigError
        If there are none, or something else is given.
    """
    runs = getattr(runs, "runs", runs)  # of a comparison
    named = runs if isinstance(runs, Mapping) else {"": runs}
    found = {name: list(_several(one)) for name, one in named.items()}
    if not found or not all(found.values()):
        raise ConfigError(f"runs are {shown(runs)}, without any run; allowed: {_ALLOWED}")
    return found


def _several(given: Any) -> Iterable[History]:
    if isinstance(given, History) or is_learner(given):
        given = [given]
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise ConfigError(f"runs are {shown(given)}; allowed: {_ALLOWED}")
    for one in given:
        history = one.history if is_learner(one) else one
        if not isinstance(history, History):
            raise ConfigError(f"a run is {shown(one)}; allowed: {_ALLOWED}")
        yield history


def band_of(histories: list[History], x: str, y: str, *, floor: float | None = None) -> Band:
    """Return the band of one column of histories over another, from where all of them have it to the end of the last.

    Means over episodes are averaged over the episodes between two places, other columns interpolated. A run that ended
    before the others, as by a condition, keeps its last figure.

    Parameters
    ----------
    histories : list of History
        Histories of the runs.
    x, y : str
        Names of columns.
    floor : float, optional
        Least figure, where both axes are logarithmic: what is less counts as so much. Logarithms are interpolated.

    Raises
    ------
    ConfigError
        If a run has no figures in these columns, or one ended before another has any.
    """
    averaged = y.startswith("mean_")
    points = [_known(history, x, y, floor) for history in histories]
    logarithmic = floor is not None
    first, ends = max(places[0] for places, _ in points), [float(places[-1]) for places, _ in points]
    if min(ends) < first:
        raise ConfigError(f"the runs have no range of {x} in common in which all have {y}; learn for as long")
    last = max(ends)
    given = np.concatenate([places for places, _ in points])
    places = _places(given, first, last, logarithmic, _MOST_AVERAGES if averaged else _MOST_POINTS)
    if averaged:
        each = np.array([_averages(history, x, y, places) for history in histories])
    else:
        each = np.array([_interpolated(places, *one, logarithmic) for one in points])
    whole = ~np.isnan(each).any(axis=0)
    low, middle, high = np.quantile(each[:, whole], (0.25, 0.5, 0.75), axis=0)
    return Band(places[whole], low, middle, high, len(histories), min(ends))


def _known(history: History, x: str, y: str, floor: float | None) -> tuple[Floats, Floats]:
    """Return the places and figures of the rows that have both."""
    places, figures = history[x].astype(np.float64), history[y].astype(np.float64)
    known = np.isfinite(places) & np.isfinite(figures)
    if floor is not None:
        known &= places > 0
    if not known.any():
        why = _WHY.get(y, "")
        why = "; a worker without others exchanges none" if x == "bytes" and not places.any() else why
        why = why if len(history) or y == "greedy_return" else "; let it learn first"
        raise ConfigError(f"a run of {len(history)} rows has no {y} over {x}{why}")
    figures = figures if floor is None else np.maximum(figures, floor)
    return places[known], figures[known]


def _places(given: Floats, first: float, last: float, logarithmic: bool, most: int) -> Floats:
    """Return the places at which runs are compared: all that they have, or fewer, evenly spaced."""
    places = np.unique(given[(given >= first) & (given <= last)])
    if len(places) <= most:
        return places
    return (np.geomspace if logarithmic else np.linspace)(first, last, most)


def floor_of(histories: Iterable[History], y: str) -> float:
    """Return the power of ten below which figures are next to nothing beside the largest of all."""
    figures = np.concatenate([np.abs(history[y].astype(np.float64)) for history in histories])
    largest = float(figures[np.isfinite(figures)].max(initial=0.0)) or 1.0
    return float(10.0 ** np.floor(np.log10(_DECADES * largest)))


def _interpolated(at: Floats, places: Floats, figures: Floats, logarithmic: bool) -> Floats:
    if logarithmic:
        return np.exp(np.interp(np.log(at), np.log(places), np.log(figures)))
    return np.interp(at, places, figures)


def _averages(history: History, x: str, y: str, at: Floats) -> Floats:
    """Return the mean over the episodes that ended between two places, for each place and the one before it.

    After the end of the run it stays as it was.
    """
    ended = np.diff(history["episodes"].astype(np.float64), prepend=0.0)
    sums = np.cumsum(ended * np.nan_to_num(history[y]))
    places = np.append(0.0, history[x])
    counts = np.append(0.0, np.cumsum(ended))
    edges = np.append(0.0, at)
    n = np.diff(np.interp(edges, places, counts))
    total = np.diff(np.interp(edges, places, np.append(0.0, sums)))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(n > 1e-9, total / n, np.nan)
    known = np.flatnonzero(~np.isnan(means))
    if len(known):
        means[(at > places[-1]) & (np.arange(len(at)) > known[-1])] = means[known[-1]]
    return means
