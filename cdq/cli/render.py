"""Output: JSON for machines; tables of figures and a policy drawn on its grid for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from cdq.cli.options import is_stdout
from cdq.cli.output import printable
from cdq.mdp import MDP
from cdq.qfunctions import ARROWS, ASCII_ARROWS, LEGEND, policy_lines
from cdq.storage import in_digits, replacing
from cdq.training import is_for_a_person

# Tasks that are shown in full.
_MOST_TASKS = 20


def console_for_people(json_path: Path | None) -> Console:
    """Return the console; a silent one if JSON takes standard output, one without codes where no person looks at it."""
    plain = sys.stdout is not None and sys.stdout.isatty() and not is_for_a_person(sys.stdout)
    return Console(quiet=is_stdout(json_path), force_terminal=False if plain else None)


def write_json(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write *report* where ``--json`` says, if it does.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    if path is None:
        return
    text = json.dumps({key: _finite(value) for key, value in report.items()}, allow_nan=False)
    if is_stdout(path):
        print(text)
        return
    with replacing(path) as file:
        file.write(f"{text}\n".encode())


def _finite(value: Any) -> Any:
    """Return *value*, or None for an infinity or NaN: JSON has none; in a dictionary, too."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---- figures


def show_figures(console: Console, figures: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in ((name, printable(value)) for name, value in figures):
        table.add_row(f"  {name}", value if _has_unicode(console) else value.replace("±", "+-"))
    console.print(table, highlight=False, markup=False)


def show_hints(console: Console, hints: Iterable[str]) -> None:
    """Print sentences, a paragraph each, after an empty line."""
    for hint in hints:
        console.print(Padding(hint, (1, 0, 0, 2)), highlight=False, markup=False)


def show_spreads(console: Console, spreads: Mapping[str, Mapping[str, Any]]) -> None:
    """Print figures that were measured several times: their median, least and greatest."""
    table = Table("", "median", "min", "max", box=None, padding=(0, 2), header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, spread in spreads.items():
        table.add_row(name.replace("_", " "), *(quantity(spread[key]) for key in ("median", "min", "max")))
    console.print(table, highlight=False, markup=False)


def quantity(value: float) -> str:
    """Return a number in a few digits.

    Examples
    --------
    >>> quantity(41_234_567), quantity(0.00123456), quantity(12), quantity(329_412.5)
    ('41.23 M', '0.001235', '12', '329,400')
    """
    for size, unit in ((1e9, " G"), (1e6, " M")):
        if abs(value) >= size:
            return f"{in_digits(value / size)}{unit}"
    return f"{value:,}" if isinstance(value, int) else in_digits(value)


def mean_and_error(report: Mapping[str, Any]) -> str:
    """Return the mean return of a report with its standard error, or what there is where episodes do not end."""
    if report["mean_return"] is None:
        return f"none, as {report['episodes_unended']:,} of {report['episodes_evaluated']:,} episodes did not end"
    return f"{in_digits(report['mean_return'])} ± {in_digits(report['mean_return_error'], 2)}"


def seats(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a line for each seat of a game, with the parts of games that were won, drawn and lost; else nothing."""
    return [
        (
            f"{seat} seat",
            f"{_share(found, 'wins')} won, {_share(found, 'draws')} drawn, {_share(found, 'losses')} lost, of "
            f"{found['games']:,} games against {report['opponent']}",
        )
        for seat, found in report.get("seats", {}).items()
    ]


def _share(found: Mapping[str, Any], what: str) -> str:
    return f"{found[what]:.1%} ± {found[what + '_error']:.1%}"


def per_step(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the mean reward of a step as a figure, where episodes do not end."""
    unended = report["mean_return"] is None
    return (
        [("mean reward", f"{in_digits(report['mean_reward'])} a step, of the first 10,000")]
        if unended
        else []
    )


def of_agents(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the mean return of each agent, or of each worker of a fleet, as a figure, where there are several."""
    return [
        (f"worker {agent}" if isinstance(agent, int) else agent, mean_and_error(played))
        for agent, played in report.get("agents", {}).items()
    ]


def each_task(tasks: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return a figure for each of several tasks; of many for the first."""
    figures = []
    for task in tasks[:_MOST_TASKS]:
        said = [f"mean return {mean_and_error(task)}", *(value for _, value in per_step(task))]
        if task["mean_length"] is not None:
            said.append(f"{in_digits(task['mean_length'])} steps")
        if task.get("gap") is not None:
            said.append(f"gap at most {in_digits(task['gap'], 2)}")
        figures.append((f"task {task['task']}", ", ".join(said)))
    left = len(tasks) - len(figures)
    return [*figures, ("", f"and {left:,} more; --json has all")] if left else figures


def _has_unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


# ---- a policy on its grid


def show_policy(console: Console, model: MDP | None, policy: npt.NDArray[np.int64]) -> None:
    """Draw a policy, where there is a model, it is a grid, and the terminal wide enough."""
    if model is None:
        return
    lines = policy_lines(model, policy, ARROWS if _has_unicode(console) else ASCII_ARROWS)
    if not lines or len(lines[0]) + 2 > console.width:
        return
    for line in ["", *lines, "", LEGEND]:
        console.print(f"  {line}".rstrip(), markup=False, highlight=False)
