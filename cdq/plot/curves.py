"""Curves of runs: returns, gaps and bytes, with a band over seeds; speed-up by workers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from cdq.errors import ConfigError
from cdq.errors.checks import shown
from cdq.plot.axes import NEUTRAL, axes_for, engineering, legend_above, logarithms, plain, style_of
from cdq.plot.learners import is_learner
from cdq.plot.runs import Band, band_of, floor_of, histories_of

_TEXTS = {
    "mean_return": "mean return of an episode, exploring",
    "mean_length": "mean steps of an episode, exploring",
    "greedy_return": "mean return of the greedy policy",
    "visited": "part of the pairs that were visited",
    "gap": "distance from optimal, at most",
    "steps": "steps of all workers",
    "seconds": "seconds of learning",
    "bytes": "bytes exchanged",
}


_EARLY = 0.9  # part of the longest run: one that ended before that ended early


def learning_curve(runs: Any, *, y: str = "mean_return", x: str = "steps", ax: Any = None) -> Any:
    """Draw a column of the history over another: of a run a line, of several the median and a band of the quartiles.

    Parameters
    ----------
    runs : QLearner, History, Comparison, list or dict
        A run; a list of runs, which are one line with its band; or a dictionary, with a line for each name.
    y, x : str
        Columns of `History`. Returns are means over the episodes that ended between two points. A line goes on to the
        end of the longest run: others, which a condition ended sooner, keep their last figure.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; by default new ones.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If there is no such column, or the runs have no figures in it.
    PackageMissing
        If matplotlib is not installed.

    Examples
    --------
    >>> import cdq
    >>> runs = [cdq.QLearner("FrozenLake-v1", seed=seed).learn(50_000) for seed in range(5)]
    >>> cdq.plot.learning_curve(runs).get_xlabel()
    'steps of all workers'
    """
    return _curves(runs, x, y, ax, logarithmic=False)


def gap(runs: Any, *, x: str = "steps", ax: Any = None) -> Any:
    """Draw the certified distance of the greedy policy from optimal, on logarithmic axes.

    Gaps of less than 1e-5 of the largest are drawn there, at the lowest number of the axis.

    Parameters
    ----------
    runs, x, ax
        The same as for `learning_curve`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If a run has measured no gap.
    PackageMissing
        If matplotlib is not installed.

    Examples
    --------
    >>> import cdq
    >>> cdq.plot.gap(cdq.QLearner("FrozenLake-v1", seed=0).learn(100_000)).get_yscale()
    'log'
    """
    return _curves(runs, x, "gap", ax, logarithmic=True)


def communication(runs: Any, *, ax: Any = None) -> Any:
    """Draw the certified distance from optimal over the bytes that the workers exchanged, on logarithmic axes.

    Parameters
    ----------
    runs, ax
        The same as for `learning_curve`, of two workers or more.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If a run has measured no gap, or exchanged nothing.
    PackageMissing
        If matplotlib is not installed.

    Examples
    --------
    >>> import cdq
    >>> cdq.plot.communication(cdq.QLearner("FrozenLake-v1", workers=2, seed=0).learn(200_000)).get_xlabel()
    'bytes exchanged'
    """
    return _curves(runs, "bytes", "gap", ax, logarithmic=True)


def _curves(runs: Any, x: str, y: str, ax: Any, *, logarithmic: bool) -> Any:
    named = histories_of(runs)
    floor = floor_of(chain.from_iterable(named.values()), y) if logarithmic else None
    bands = {name: band_of(histories, x, y, floor=floor) for name, histories in named.items()}
    ax = axes_for(ax)
    for number, (name, band) in enumerate(bands.items()):
        _draw(ax, number, str(name), band)
    plain(ax)
    if floor is None:
        engineering(ax.xaxis)
    else:
        logarithms(ax, floor)
    ax.set_xlabel(_TEXTS.get(x, x.replace("_", " ")))
    ax.set_ylabel(_TEXTS.get(y, y.replace("_", " ")))
    _explain(ax, bands)
    return ax


def _draw(ax: Any, number: int, name: str, band: Band) -> None:
    style = style_of(number)
    marker = "o" if len(band.x) == 1 else None
    # A dollar begins a formula, and a legend leaves out what begins with an underscore.
    label = f"{' ' if name.startswith('_') else ''}{name}".replace("$", r"\$")
    ax.plot(band.x, band.middle, label=label, linewidth=1.8, marker=marker, **style)
    if band.n_runs > 1:
        ax.fill_between(band.x, band.low, band.high, color=style["color"], alpha=0.22, linewidth=0)


def _explain(ax: Any, bands: dict[Any, Band]) -> None:
    """Say above the axes which line is which, and what a band is."""
    most = max(band.n_runs for band in bands.values())
    title = f"median and quartiles of {most} runs" if most > 1 else None
    early = [band.first_end for band in bands.values() if band.first_end < _EARLY * band.x[-1]]
    if title and early:
        title += "; one that has ended keeps its last figure"
    named = [str(name) for name in bands if str(name)]
    if named:
        legend_above(ax, named, title)
    elif title:
        ax.set_title(title, loc="left", fontsize="medium")


def speedup(runs: Any, *, ax: Any = None) -> Any:
    """Draw the steps and seconds that runs took against their numbers of workers, as parts of those of the fewest.

    Runs that end with a condition, such as `cdq.OptimalWithin`, show what more workers are worth: with twice as many,
    half the steps of each and half the seconds would be a speed-up of 2, the dotted line.

    Parameters
    ----------
    runs : list of QLearner, or dict or Comparison
        Learners with their numbers of workers; or runs as `learning_curve` takes them, by numbers of workers.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; by default new ones.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If a number of workers is none, there are not two of them, or a run took no steps.
    PackageMissing
        If matplotlib is not installed.

    Examples
    --------
    >>> import cdq
    >>> goal = cdq.OptimalWithin(0.05)
    >>> runs = [cdq.QLearner("FrozenLake-v1", workers=n, seed=0).learn(1e6, until=goal) for n in (1, 2)]
    >>> cdq.plot.speedup(runs).get_legend_handles_labels()[1]
    ['linear', 'steps of each worker', 'seconds']
    """
    ended = _ends(runs)
    workers = np.array(sorted(ended), np.float64)
    ax = axes_for(ax)
    ax.plot(workers, workers / workers[0], color=NEUTRAL, linestyle=":", label="linear")
    for number, name in enumerate(("steps of each worker", "seconds")):
        quartiles = np.array([np.quantile(ended[n][:, number], (0.25, 0.5, 0.75)) for n in sorted(ended)])
        low, middle, high = quartiles[0, 1] / quartiles[:, ::-1].T
        bars = np.maximum([middle - low, high - middle], 0.0)
        ax.errorbar(workers, middle, bars, marker="o", capsize=3, label=name, **style_of(number))
    plain(ax)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(workers, [f"{n:g}" for n in workers])
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("workers")
    ax.set_ylabel(f"speed-up over {workers[0]:g} worker{'' if workers[0] == 1 else 's'}")
    legend_above(ax, ax.get_legend_handles_labels()[1])
    return ax


def _ends(runs: Any) -> dict[int, Any]:
    """Return steps of each worker, and seconds, of the runs of each number of workers."""
    if isinstance(runs, (list, tuple)) and all(is_learner(one) for one in runs):
        grouped: dict[Any, list[Any]] = {}
        for agent in runs:
            grouped.setdefault(agent.settings.workers, []).append(agent)
        runs = grouped
    if not isinstance(getattr(runs, "runs", runs), Mapping):
        raise ConfigError(
            f"runs are {shown(runs)}; allowed: a list of learners, or a dictionary of runs by their number of workers"
        )
    found = {}
    for workers, histories in histories_of(runs).items():
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ConfigError(
                f"a number of workers is {shown(workers)}; allowed: runs by whole numbers of at least 1"
            )
        if not all(len(history) and history[-1].steps and history[-1].seconds for history in histories):
            raise ConfigError(f"a run of {workers} workers took no steps; let it learn first")
        found[workers] = np.array(
            [(history[-1].steps / workers, history[-1].seconds) for history in histories]
        )
    if len(found) < 2:
        raise ConfigError(f"there are runs of {len(found)} numbers of workers; give two or more")
    return found
