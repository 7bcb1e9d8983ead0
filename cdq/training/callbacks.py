"""Callbacks of a call of `learn`: code of the user's that sees each round, and may ask to stop."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cdq.errors import ConfigError
from cdq.errors.checks import shown, whole
from cdq.errors.naming import named
from cdq.qfunctions import QTable
from cdq.settings import Settings
from cdq.training.history import History
from cdq.training.played import FIRST_ROW, Row
from cdq.training.state import State

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

_log = logging.getLogger("cdq")


class RunView:
    """View of a call of `learn` as it is after a round: callbacks get it, and change nothing by it.

    Attributes
    ----------
    environment : str
        Name of the environment.
    settings : Settings
        Settings of the learner.
    begun : int
        Steps that were done before the call.
    """

    def __init__(
        self,
        environment: str,
        settings: Settings,
        state: State,
        table: Callable[[], QTable],
        evaluate: Callable[[int, int], Any],
    ) -> None:
        self.environment, self.settings, self.begun = environment, settings, state.progress.steps
        self._state, self._table, self._evaluate = state, table, evaluate
        self._before = self.begun

    def __repr__(self) -> str:
        return f"RunView({self.environment!r}, {self.steps:,} of {self.target:,} steps)"

    @property
    def steps(self) -> int:
        """Steps so far, of all workers and all calls of `learn`."""
        return self._state.progress.steps

    @property
    def target(self) -> int:
        """Steps at which the call ends."""
        return self._state.goal.target

    @property
    def row(self) -> Row:
        """The newest row of the history, whose `gap` and `greedy_return` are NaN unless this round measured them."""
        history = self._state.history
        return history[-1] if len(history) else FIRST_ROW

    @property
    def rows(self) -> list[Row]:
        """The rows that the last round added to the history, oldest first: several where its window was long."""
        return self._state.history.after(self._before)

    @property
    def _is_measured(self) -> bool:
        return self._state.history.measured

    def newest(self, name: str) -> float:
        """Return the newest figure of a column of the history that is not NaN; NaN if there is none."""
        return self._state.history.newest(name)

    @property
    def seconds(self) -> float:
        """Seconds of learning so far."""
        return self.row.seconds

    @property
    def history(self) -> History:
        """A copy of the history so far."""
        return History.from_arrays(self._state.history.to_arrays())

    @property
    def table(self) -> QTable:
        """A copy of the merged table; `digest()` of it tells two tables apart."""
        return self._table()

    @property
    def network(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """A copy of the network's tensors, by name, where no table is learnt."""
        return self._state.network()

    def evaluate(self, episodes: float = 100, *, seed: int = 0) -> Any:
        """Run episodes of the greedy policy, and return a `cdq.Evaluation`; `row` then has the mean return.

        The table and the random streams of learning stay as they are.

        Raises
        ------
        ConfigError
            If *episodes* or *seed* is not allowed.
        """
        result = self._evaluate(whole("episodes", episodes, 1), whole("the seed", seed, 0))
        self._state.history.set_greedy_return(result.mean_return)
        return result

    def _end_round(self) -> None:
        self._before = self.steps


class Callback:
    """Code that `learn` calls while it runs, on rank 0; each method gets a view of the run, and a true result stops it.

    All workers stop after the same round, and the table is that of the round after which a method asked; `on_start`
    and `on_checkpoint` are heard with the round that follows. Methods are called one after another, `on_start` and
    `on_round` in the thread of a worker, or of the hub: while one runs, nobody learns beyond the window in hand. What
    a method raises ends the call, which raises it; the table is that of the last whole round.

    Examples
    --------
    >>> from cdq import Callback, QLearner
    >>> class Patience(Callback):
    ...     def on_round(self, run):
    ...         return run.row.visited == 1.0
    >>> agent = QLearner("FrozenLake-v1", seed=0, sync_every=1000).learn(1_000_000, callbacks=[Patience()])
    >>> agent.steps < 1_000_000
    True
    """

    _writes = False  # True: called after the others, to write down what they measured

    def on_start(self, run: RunView) -> object:
        """Before the first round."""

    def on_round(self, run: RunView) -> object:
        """After each round, which is in the table."""

    def on_evaluation(self, run: RunView) -> object:
        """After a round at which the gap or the greedy return was measured, after all `on_round`."""

    def on_checkpoint(self, run: RunView) -> object:
        """After a checkpoint is written; at a hub also for those that only take the place of its records."""

    def _judge(self, row: Row) -> object:
        """Judge what the run itself has measured, before a callback measures more."""

    def _look(self, run: RunView) -> None:
        """Look at the run now and then, in the thread that waits for the workers."""

    def on_end(self, run: RunView) -> object:
        """At the end of the call, also where it fails, if `on_start` returned; the result is not looked at."""


class _OnRound(Callback):
    """A plain function, called after each round."""

    def __init__(self, function: Callable[[RunView], object]) -> None:
        self._function = function

    def on_round(self, run: RunView) -> object:
        """Call the function."""
        return self._function(run)


class CallbackList:
    """Callbacks of one call of `learn`, in order; a context in which they are begun, and which ends those that were.

    Parameters
    ----------
    callbacks : iterable of Callback or callable
        The callbacks; a plain function is called after each round.
    view : RunView, optional
        View that they get.
    first : sequence of Callback
        Callbacks that come before them: those of the call itself.

    Raises
    ------
    ConfigError
        If one of them is neither.
    """

    def __init__(
        self, callbacks: Iterable[Any] = (), view: RunView | None = None, *, first: Sequence[Callback] = ()
    ) -> None:
        given = sorted(map(_as_callback, _listed(callbacks)), key=attrgetter("_writes"))
        self._all = [*first, *given]
        self._view, self._begun, self._asked = view, list[Callback](), False
        self._of_measurements = [one for one in self._all if _does(one, "_judge")]
        self._of_rounds = [one for one in self._all if _does(one, "on_round")]
        self._of_evaluations = [one for one in self._all if _does(one, "on_evaluation")]

    @property
    def of_rounds(self) -> bool:
        """True if one of them sees each round."""
        return bool(self._of_rounds)

    def begin(self) -> None:
        """Call `on_start` of each, first of those that open files: what cannot be written is all that is said."""
        for one in sorted(self._all, key=attrgetter("_writes"), reverse=True):
            self._hear(one.on_start(self._seen))
            self._begun.append(one)
        if self._view is not None:
            self._view._end_round()

    def see_round(self, measured: Row | None = None) -> bool:
        """Call `on_round` of each, and `on_evaluation` after a measurement; return whether one asks to stop.

        *measured* is the row of the round, where the run itself measured something for it.
        """
        if measured is not None:
            for one in self._of_measurements:
                self._hear(one._judge(measured))
        for one in self._of_rounds:
            self._hear(one.on_round(self._seen))
        if self._of_evaluations and self._seen._is_measured:
            for one in self._of_evaluations:
                self._hear(one.on_evaluation(self._seen))
        if self._of_rounds:
            self._seen._end_round()
        return self._asked

    def look(self) -> None:
        """Let those that were begun, and show progress, look at the run."""
        for one in list(self._begun):
            one._look(self._seen)

    def see_checkpoint(self) -> None:
        """Call `on_checkpoint` of each that was begun."""
        for one in self._begun:
            self._hear(one.on_checkpoint(self._seen))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Call `on_end` of each that was begun; raise the first error of theirs, unless the call failed already."""
        begun, self._begun, raised = self._begun, [], error
        for one in begun:
            try:
                one.on_end(self._seen)
            except Exception as another:
                if raised is not None:
                    _log.exception("on_end of %s failed too", type(one).__name__)
                raised = raised or another
        if error is None and raised is not None:
            raise raised

    @property
    def _seen(self) -> RunView:
        assert self._view is not None
        return self._view

    def _hear(self, answer: object) -> None:
        self._asked = bool(answer) or self._asked


def _does(one: Callback, name: str) -> bool:
    """Return whether a callback has a method of its own."""
    return getattr(getattr(one, name), "__func__", None) is not getattr(Callback, name)


def _listed(callbacks: Any) -> list[Any]:
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable) or isinstance(callbacks, str):
        raise ConfigError(f"callbacks is {shown(callbacks)}; allowed: a list of them, as in callbacks=[...]")
    return list(callbacks)


def _as_callback(given: Any) -> Callback:
    if isinstance(given, Callback):
        return given
    if isinstance(given, type) or not callable(given):
        raise ConfigError(
            f"callbacks has {shown(given)}; allowed: objects of a cdq.Callback, as in cdq.StopOnTime(60), and functions"
        )
    try:
        inspect.signature(given).bind(None)
    except TypeError:
        raise ConfigError(
            f"callbacks has {shown(given)}; allowed: functions of one argument, the run"
        ) from None
    except ValueError:  # of a function in C nobody knows
        pass
    return _OnRound(given)


class EvalCallback(Callback):
    """Evaluate the greedy policy every so many steps, and keep the best table.

    An evaluation is due at the first round after each multiple of *every* steps: a window is not cut short for it, so
    that the table is the same as without, and there are no more evaluations than rounds. Where that makes less than
    half as many as were asked for, the log says so; ``sync_every=`` makes windows shorter. The mean return is in the
    history, as `greedy_return`.

    Parameters
    ----------
    every : float
        Steps between two evaluations.
    episodes : int
        Episodes of each.
    seed : int
        Seed of the episodes: the same for each evaluation, so that tables are told apart, and not luck.

    Attributes
    ----------
    evaluations : list of tuple
        Steps and `cdq.Evaluation` of the newest 1,024 evaluations.
    best : Evaluation or None
        The best of all; where episodes do not end, by the mean reward of a step.
    best_steps : int
        Steps at which it was made.
    best_table : QTable or None
        The table of then; of a network None.
    best_network : mapping or None
        The tensors of then by name, of a network.

    Raises
    ------
    ConfigError
        If a number is none that is allowed.

    Examples
    --------
    >>> from cdq import EvalCallback, QLearner
    >>> seen = EvalCallback(100_000, seed=7)
    >>> agent = QLearner("FrozenLake-v1", seed=0, sync_every=10_000).learn(300_000, callbacks=[seen])
    >>> len(seen.evaluations), seen.best.mean_return > 0.5, seen.best_table.shape
    (3, True, (16, 4))
    """

    MOST = 1024

    @named
    def __init__(self, every: float, *, episodes: float = 100, seed: int = 0) -> None:
        self.every = whole("every", every, 1)
        self.episodes, self.seed = whole("episodes", episodes, 1), whole("the seed", seed, 0)
        self.evaluations: list[tuple[int, Any]] = []
        self.best: Any = None
        self.best_steps, self.best_table = 0, None  # type: int, QTable | None
        self.best_network: Mapping[str, npt.NDArray[np.float32]] | None = None
        self._begun = self._last = self._made = 0

    def on_start(self, run: RunView) -> None:
        """Count from the steps that are done."""
        self._begun = self._last = run.steps
        self._made = 0

    def on_round(self, run: RunView) -> None:
        """Evaluate, where it is due."""
        if run.steps // self.every == self._last // self.every:
            return
        self._last, self._made = run.steps, self._made + 1
        result = run.evaluate(self.episodes, seed=self.seed)
        self.evaluations = [*self.evaluations, (run.steps, result)][-self.MOST :]
        if self.best is None or _merit(result) > _merit(self.best):
            self.best, self.best_steps = result, run.steps
            if run.settings.network is None:
                self.best_table = run.table
            else:
                self.best_network = run.network

    def on_end(self, run: RunView) -> None:
        """Say where rounds were too long."""
        due = run.steps // self.every - self._begun // self.every
        if self._made < due / 2:
            _log.warning(
                "EvalCallback(every=%s) made %d of %d evaluations, as rounds are longer: QLearner(sync_every=...) makes"
                " them shorter",
                f"{self.every:,}",
                self._made,
                due,
            )


def _merit(result: Any) -> tuple[bool, float]:
    """Return what orders evaluations: those whose episodes end are above those whose do not."""
    ends = not math.isnan(result.mean_return)
    return ends, result.mean_return if ends else result.mean_reward
