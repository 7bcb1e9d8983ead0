"""Overlap: the merge of a window travels while the next window is learnt, and is applied one window late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.core.table.rows import Law
from cdq.workers.contribution import Rule, Summary, WorkerContribution
from cdq.workers.rounds import STOP_BEFORE, Interrupted, Round
from cdq.workers.worker import Episodes, Worker


class Pipeline:
    """A worker's rounds, each merged while the next window is learnt.

    The merged table of window t arrives at the end of window t + 1. It becomes the base, and what the worker has
    learnt since stays on top of it: a pair that m visits have taken from value v to v' is now v' + a (merged - v),
    with a the weight that the visits leave to what was before, the product of 1 - step size. Its next contribution
    is those m visits, relative to the new base, so that nothing is lost or counted twice. The price is staleness:
    workers act on, and bootstrap from, what the others knew a window ago, and the step sizes of a window are chosen
    at clocks that do not yet show what the others did in the one before. And memory: a second table, as it was
    handed over, and a base, clocks and visits of the worker's own.

    Tables are a function of seed and number of workers alone, as without overlap: the same bits on every backend.
    All collectives come from the caller's thread; the windows are learnt in a thread of the pipeline's own.

    Parameters
    ----------
    worker : Worker
        Worker, the only one on its `MergedTable`, which it keeps. It has no open window.
    comm : Communicator
        Communicator of at least two ranks: a worker alone has nothing to wait for.
    rule : str or callable
        Rule that `cdq.merges.resolve` returned.
    needs_mass : bool
        True if the next window depends on the round's pooled mass.

    Examples
    --------
    A run of three windows on each rank::

        pipeline.begin(law, sweeps, rates)
        first = pipeline.step(law, sweeps, rates, request)
        second = pipeline.step(law, sweeps, rates, request)
        third = pipeline.finish(request)
    """

    def __init__(self, worker: Worker, comm: Communicator, rule: Rule, needs_mass: bool) -> None:
        self._worker, self._comm, self._rule = worker, comm, rule
        self._handed = worker.second_table()
        self._contribution = WorkerContribution(worker, needs_mass)
        self._contribution.rows = self._handed
        self._thread = _Background(f"cdq-window-{comm.rank}")
        self._law: Law
        self._ended: Episodes

    def begin(self, law: Law, sweeps: int, rates: tuple[float, float]) -> None:
        """Learn a window with nothing to merge meanwhile: the first one, or the first after `finish`.

        Raises
        ------
        Interrupted
            If the window was ended early.
        """
        self._law = law
        self._keep(self._worker.run(law, sweeps, *rates))

    def step(self, law: Law, sweeps: int, rates: tuple[float, float], request: int) -> Round | None:
        """Merge the window learnt before while learning another one, and apply the merge to both.

        Parameters
        ----------
        law : Law
            Step sizes of the window that is learnt now.
        sweeps : int
            Steps of every lane in that window.
        rates : (float, float)
            Exploration rates at the start and end of that window.
        request : int
            The request that this worker makes of all, with the window that is merged now.

        Returns
        -------
        Round or None
            Round of the window that was merged. None where a worker's request was STOP_BEFORE: then
            both windows are thrown away, on all workers, and the table is that of the round before.

        Raises
        ------
        Interrupted
            If the window was ended early; the one before is applied all the same, as it is on every other worker.
        CommError
            If the merge failed. Both windows are thrown away, and only `close` is allowed.
        """
        lanes = self._hand_over(request)
        learning = self._thread.submit(self._worker.run, law, sweeps, *rates)
        played = None
        try:
            slices, summaries = self._comm.merge(self._contribution, self._rule)
            if not any(summary.request == STOP_BEFORE for summary in summaries):
                played = Round(summaries, self._apply(slices, law, learning))
        finally:
            wait([learning])
            if played is None:
                self._worker.take_back(self._handed, lanes)
        self._law = law
        if played is not None:
            self._keep(learning.result())
        return played

    def finish(self, request: int) -> Round | None:
        """Merge the window learnt before and wait; then all workers have the same table, as after a plain round.

        Returns and raises as `play`, of which it is the one without a window.
        """
        return self.step(self._law, 0, (0.0, 0.0), request)

    def close(self) -> None:
        """End the thread. Any number of times; `Worker.roll_back` undoes a window that was not merged."""
        self._thread.shutdown()

    def _hand_over(self, request: int) -> npt.NDArray[np.uint8]:
        self._contribution.law = self._law
        self._contribution.summary = Summary.of(self._ended, self._comm.bytes_sent, request)
        return self._worker.hand_over(self._handed)

    def _apply(self, slices: list[Any], law: Law, learning: Future[Episodes | None]) -> float:
        if learning.result() is None:  # nobody else has that window, but all have the merge
            self._worker.roll_back()
        return self._worker.rebase(slices, self._handed, law)

    def _keep(self, ended: Episodes | None) -> None:
        if ended is None:
            raise Interrupted
        self._ended = ended


class _Background:
    """A thread that makes one call after another.

    Nobody waits for it at the end of the program, unlike those of a ThreadPoolExecutor: it may be in a step of an
    environment that never returns.

    Parameters
    ----------
    name : str
        Name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Let the thread make a call; return what will have the result."""
        future: Future[Any] = Future()
        self._calls.put((future, partial(function, *arguments)))
        return future

    def shutdown(self) -> None:
        """Wait for its last call."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            try:
                future.set_result(function())
            except BaseException as error:  # for who waits for the result
                future.set_exception(error)
