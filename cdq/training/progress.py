"""Progress of a run, for the one who looks on: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from cdq.comm.rendezvous import launched_rank
from cdq.errors.checks import one_of, real
from cdq.errors.naming import named
from cdq.storage import in_digits
from cdq.training.callbacks import Callback

_AT_LEAST = 1.0  # seconds: of a shorter call no bar is shown, and no line that nobody asked for
_REDRAW, _LATELY = 0.2, 5.0  # seconds between two looks; over which the speed is measured
_MOMENT, _SILENT = (
    0.25,
    3,
)  # seconds between two moments of a speed, which is 0 after so many spans without a step
_WIDTH = 10  # of a bar: texts take the rest of 80 columns
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Seen(Protocol):
    """A run as progress shows it: a `RunView`, or the part of it that a worker of a hub sees."""

    environment: str

    @property
    def steps(self) -> int:
        """Steps so far, of all workers."""

    @property
    def target(self) -> int:
        """Steps at which the run ends; 0: not known."""

    def newest(self, name: str) -> float:
        """Return the newest figure of a column of the history; NaN if there is none."""


class ProgressBar(Callback):
    """Show the progress of a call on standard error, as `learn` does by itself: share, steps/s, time left, return, gap.

    A bar on a terminal and in a notebook. Elsewhere, and under mpiexec, with ``NO_COLOR`` or ``TERM=dumb``, plain lines
    without any control code: at the start, every so many *seconds*, and at the end. Those that `learn` shows by itself
    begin once a call has taken a second.

    Parameters
    ----------
    seconds : float
        Seconds between two plain lines.
    verbose : {1, 2}
        2: calls of less than a second, too; plain lines also for each measurement and checkpoint.
    stream : file, optional
        Text file for it; by default standard error.

    Raises
    ------
    ConfigError
        If *seconds* or *verbose* is not allowed.

    Examples
    --------
    >>> import sys
    >>> from cdq import ProgressBar, QLearner
    >>> bar = ProgressBar(verbose=2, stream=sys.stdout)
    >>> agent = QLearner("FrozenLake-v1", seed=0).learn(8_000, callbacks=[bar])  # doctest: +ELLIPSIS
    cdq: FrozenLake-v1: 0% of 8,000 steps
    cdq: FrozenLake-v1: 8,000 steps done, ... steps/s...
    """

    @named
    def __init__(self, seconds: float = 10.0, *, verbose: int = 1, stream: TextIO | None = None) -> None:
        self._seconds = real("seconds", seconds, "a finite number above 0", math.nextafter(0.0, 1.0))
        one_of("verbose", verbose, (1, 2))
        self._all, self._given = verbose == 2, stream
        self._display: Any = None
        self._asked_for = True

    def on_start(self, run: Seen) -> None:
        """Start the clock."""
        stream = self._given if self._given is not None else sys.stderr
        self._display = _display_for(stream, self._seconds, run.environment) if stream is not None else None
        self._begun = self._looked = time.monotonic()
        self._speed = Speed(self._begun, run.steps)
        self._shown = False
        if self._all or (self._asked_for and isinstance(self._display, _Lines)):
            self._show(run)

    def _look(self, run: Seen) -> None:
        """Show where the run is, now and then; called by the thread that waits for the workers."""
        now = time.monotonic()
        if now - self._looked >= _REDRAW:
            self._looked = now
            self._speed.note(now, run.steps)
            if self._shown or now - self._begun >= _AT_LEAST:
                self._show(run)

    def on_evaluation(self, run: Seen) -> None:
        """Show a measurement, where all is to be shown."""
        self._show_now(run)

    def on_checkpoint(self, run: Seen) -> None:
        """Show a checkpoint, where all is to be shown."""
        self._show_now(run)

    def on_end(self, run: Seen) -> None:
        """Show where the run ended, if anything was shown."""
        if self._shown:
            now = time.monotonic()
            self._write(
                1.0,
                _in_words(run, f"{amount(run.steps)} steps done", self._speed.overall(now, run.steps)),
                last=True,
            )

    def _show_now(self, run: Seen) -> None:
        if self._all:
            self._write(_share(run), self._text(run), now=True)

    def _show(self, run: Seen) -> None:
        self._shown = True
        self._write(_share(run), self._text(run))

    def _text(self, run: Seen) -> str:
        now = time.monotonic()
        speed = self._speed.lately(now, run.steps)
        left = self._speed.seconds_for(max(run.target - run.steps, 0), now)
        share = f"{_share(run):.0%} of {amount(run.target)} steps"
        done = share if run.target else f"{amount(run.steps)} steps"
        return _in_words(run, done, speed, f"{duration(left)} left" if left else "")

    def _write(self, share: float, text: str, **how: bool) -> None:
        if self._display is not None:
            try:
                self._display.draw(share, text, **how)
            except (OSError, ValueError):  # nobody looks on any more: the pipe or the file is closed
                self._display = None


def watched_by(callbacks: Any, verbose: int) -> Any:
    """Return callbacks with a progress bar added, where one is to be shown and they have none.

    Of runs that are side by side in threads only that of the main thread shows it.
    """
    one_of("verbose", verbose, (0, 1, 2))
    if not isinstance(callbacks, (list, tuple)) or threading.current_thread() is not threading.main_thread():
        return callbacks
    there = any(isinstance(one, ProgressBar) for one in callbacks)
    if there or not verbose:
        return callbacks
    bar = ProgressBar(verbose=verbose)
    bar._asked_for = False
    return [*callbacks, bar]


def _share(run: Seen) -> float:
    """Return the share that is done of all steps, also of those before the call."""
    return min(run.steps / run.target, 1.0) if run.target else 0.0


def _in_words(run: Seen, done: str, speed: float, left: str = "") -> str:
    parts = [done, f"{amount(speed)} steps/s" if speed else "", left, *_measured(run)]
    return ", ".join(filter(None, parts))


def _measured(run: Seen) -> list[str]:
    """Return the newest return, the greedy one where it was measured, and the newest gap, in words."""
    exploring, greedy, gap = (run.newest(name) for name in ("mean_return", "greedy_return", "gap"))
    returns = [f"return {in_digits(exploring)} (exploring)"] if not math.isnan(exploring) else []
    if not math.isnan(greedy):
        returns = [f"return {in_digits(greedy)} (greedy)"]
    return returns if math.isnan(gap) else [*returns, f"gap {in_digits(gap, 2)}"]


class Speed:
    """Steps per second: of the last seconds, and since the first steps; takes the same memory for good.

    Windows grow at the beginning, and so does the speed: then it is that of the later half of the time so far. Steps
    come by whole rounds, and the time is that from one round to another: a hub waits for its workers before the first.

    Examples
    --------
    >>> speed = Speed(0.0, 100)
    >>> speed.lately(2.0, 300), speed.lately(4.0, 1100), speed.lately(8.0, 1100), speed.lately(10.0, 1100)
    (100.0, 400.0, 400.0, 100.0)
    """

    def __init__(self, now: float, steps: int) -> None:
        self._first = now, steps  # the first round, once there is a second
        self._has_rounds = False
        self._seen = deque([self._first])

    def lately(self, now: float, steps: int) -> float:
        """Take note of so many steps; return the speed of the last seconds, 0 where there was none for long."""
        self.note(now, steps)
        (then, before), (last, newest) = self._seen[0], self._seen[-1]
        round_took = last - self._seen[-2 if len(self._seen) > 1 else 0][0]
        passed = (last if now - last <= 2 * round_took else now) - then  # a round is under way, or none
        silent = now - last >= max(2 * _LATELY, _SILENT * (last - then))
        return 0.0 if silent or not passed else (newest - before) / passed

    def note(self, now: float, steps: int) -> None:
        """Take note of so many steps."""
        seen = self._seen
        if steps == seen[-1][1]:
            return
        if len(seen) == 2 and not self._has_rounds:
            self._first, self._has_rounds = seen[1], True
            seen.popleft()
        elif len(seen) > 1 and now - seen[-2][0] < _MOMENT:
            seen.pop()
        seen.append((now, steps))
        span = min((now - self._first[0]) / 2, _LATELY)
        while len(seen) > 2 and now - seen[1][0] >= span:
            seen.popleft()

    def seconds_for(self, steps: int, now: float) -> float:
        """Return the seconds that so many more steps take, less those since the last round; 0 where nobody knows."""
        last, newest = self._seen[-1]
        speed = self.lately(now, newest)
        return max(steps / speed - (now - last), 0.0) if speed else 0.0

    def overall(self, now: float, steps: int) -> float:
        """Return the speed since the first round."""
        then, before = self._first
        return (steps - before) / max(now - then, 1e-9)


def amount(value: float) -> str:
    """Return a number of steps in a few digits.

    Examples
    --------
    >>> amount(5_000_000), amount(12_345), amount(312.4), amount(2.34)
    ('5 M', '12,345', '312', '2.3')
    """
    for size, unit in ((1e9, " G"), (1e6, " M")):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 1000 * size else f"{value / size:,.0f}{unit}"
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Return a time in the two largest of its units.

    Examples
    --------
    >>> duration(4.2), duration(187), duration(7300), duration(200_000)
    ('4 s', '3 min 7 s', '2 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    for unit, name, smaller, its_name in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // smaller} {its_name}"
    return f"{whole // _MINUTE} min {whole % _MINUTE} s"


# ---- where it is shown


def _display_for(stream: TextIO, seconds: float, name: str) -> Any:
    if stream is sys.stderr and _in_notebook():
        return _Notebook()
    return _Terminal(stream) if is_for_a_person(stream) else _Lines(stream, seconds, f"cdq: {name}: ")


def is_for_a_person(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether control codes may be written: to the terminal of a person, who did not ask for none.

    Launchers such as mpiexec give a rank a terminal of their own, whose output goes to a file perhaps.
    """
    plain = environment.get("NO_COLOR") or environment.get("TERM", "dumb") in {"", "dumb", "unknown"}
    return not plain and stream.isatty() and launched_rank() is None


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Lines:
    """Plain lines, every so many seconds."""

    def __init__(self, stream: TextIO, seconds: float, before: str) -> None:
        self._stream, self._seconds, self._before = stream, seconds, before
        self._due = -math.inf

    def draw(self, share: float, text: str, *, now: bool = False, last: bool = False) -> None:
        """Write a line, where one is due."""
        if now or last or time.monotonic() >= self._due:
            self._due = time.monotonic() + self._seconds
            self._stream.write(f"{self._before}{text}\n")
            self._stream.flush()


class _Terminal:
    """A line of a terminal that is drawn over, and removed at the end."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._stream, self._console = stream, Console(file=stream)

    def draw(self, share: float, text: str, *, now: bool = False, last: bool = False) -> None:
        """Draw the line again."""
        with self._console.capture() as drawn:
            self._console.print(_bar(share, text), end="", width=max(self._console.width - 1, 1))
        self._stream.write("\r\x1b[K" + ("" if last else drawn.get().splitlines()[0]))
        self._stream.flush()


class _Notebook:
    """A bar below the cell of a notebook."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, share: float, text: str, *, now: bool = False, last: bool = False) -> None:
        """Draw the bar again."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display(_bar(share, text), display_id=True)
        else:
            self._handle.update(_bar(share, text))


def _bar(share: float, text: str) -> Any:
    from rich.progress_bar import ProgressBar as Bar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1))
    line.add_column(width=_WIDTH, no_wrap=True)
    line.add_column(no_wrap=True, overflow="ellipsis")
    line.add_row(Bar(total=1.0, completed=share, width=_WIDTH), Text(text))
    return line
