"""The tests that every communicator passes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cdq.comm.base import Communicator
from cdq.errors import CollectiveMismatch, CommError, PeerLost
from cdq.testing import cases

SIZES = (1, 2, 3, 4, 7)
SEVERAL = SIZES[1:]
LENGTHS = (0, 1, 777, 10**6, "unequal")
DEADLINE = 0.3

every_size = pytest.mark.parametrize("size", SIZES)
several = pytest.mark.parametrize("size", SEVERAL)
every_length = pytest.mark.parametrize("kind", LENGTHS)


class CommunicatorConformance:
    """Conformance tests of communicators, for pytest.

    Subclass it in a test module as ``TestSomething`` and define `run`; nothing else is needed.
    All functions given to `run` can be pickled (module-level functions of :mod:`cdq.testing.cases`,
    or `functools.partial` of them), and so can their results: ranks may be other processes.

    Examples
    --------
    >>> from cdq.comm.inprocess import connect
    >>> from cdq.testing import run_in_threads
    >>> class TestInProcess(CommunicatorConformance):
    ...     def run(self, size, function, *, timeout=10.0):
    ...         return run_in_threads(connect(size, timeout), function)
    >>> TestInProcess().test_identity(2)
    """

    def run(self, size: int, function: Callable[[Communicator], Any], *, timeout: float = 10.0) -> list[Any]:
        """Call `function` on each of `size` newly connected ranks, and end them.

        Parameters
        ----------
        size : int
            Number of ranks; call `pytest.skip` if there cannot be so many.
        function : callable
            Takes the communicator. It ends the communicator by the rules of its context manager.
        timeout : float
            The communicators' `timeout`.

        Returns
        -------
        list
            Results in rank order: the value that `function` returned there or, if it raised, the exception.
        """
        raise NotImplementedError

    def results(self, size: int, function: Callable[[Communicator], Any]) -> list[Any]:
        """Return what `function` returns on each rank; raise what it raised, the cause first."""
        results = self.run(size, function)
        errors = [result for result in results if isinstance(result, BaseException)]
        for error in sorted(errors, key=lambda error: isinstance(error, CommError)):
            raise error
        return results

    # ---- each collective

    @every_size
    def test_identity(self, size: int) -> None:
        """Ranks are dense and in order."""
        assert self.results(size, cases.identity) == [(rank, size) for rank in range(size)]

    @several
    def test_barrier_waits(self, size: int) -> None:
        """Nobody passes before the last one has come."""
        waited = self.results(size, partial(cases.barrier_waits, late=size - 1))
        assert min(waited[:-1]) > 0.05

    @every_size
    def test_barrier_is_reusable(self, size: int) -> None:
        """A thousand times in a row."""
        self.results(size, partial(cases.many_barriers, times=1000))

    @every_length
    @every_size
    def test_allgather(self, size: int, kind: int | str) -> None:
        """Every rank gets all parts in rank order."""
        self.results(size, partial(cases.allgather, kind=kind))

    @every_length
    @every_size
    def test_alltoall(self, size: int, kind: int | str) -> None:
        """Every rank gets what the others meant for it."""
        self.results(size, partial(cases.alltoall, kind=kind))

    @every_length
    @every_size
    def test_broadcast(self, size: int, kind: int | str) -> None:
        """Every root reaches everyone."""
        self.results(size, partial(cases.broadcast, kind=kind))

    @every_size
    def test_agree(self, size: int) -> None:
        """The whole truth table of "all of them"."""
        table = [False] * (2**size - 1) + [True]
        assert self.results(size, cases.agree) == [table] * size

    @every_size
    def test_input_kinds(self, size: int) -> None:
        """Any C-contiguous buffer is taken; the rest is refused before anything is sent."""
        self.results(size, cases.input_kinds)

    @every_size
    def test_results_stay(self, size: int) -> None:
        """Results do not change when the sender's buffer does, or later."""
        self.results(size, cases.results_stay)

    @every_size
    def test_random_collectives(self, size: int) -> None:
        """Some hundred collectives in an order chosen by a seed."""
        self.results(size, partial(cases.random_collectives, seed=size, times=300))

    # ---- groups and merges

    @every_size
    def test_split(self, size: int) -> None:
        """Groups by colour and key, nested, beside their parent."""
        self.results(size, cases.split)

    @pytest.mark.parametrize("shared", [False, True])
    @pytest.mark.parametrize("size", range(1, 8))
    def test_merge_is_in_rank_order(self, size: int, shared: bool) -> None:
        """MergedTable numbers have the bits of the fold in rank order, for every length."""
        for length in (0, 1, size - 1, size + 1, 10**5):
            self.results(size, partial(cases.merge, length=length, shared=shared, rule="sum"))

    def test_merge_hands_the_rule_over(self) -> None:
        """Another rule, another result."""
        self.results(3, partial(cases.merge, length=100, shared=False, rule="max"))

    @pytest.mark.parametrize("n_bytes", [0, 1, 5000, 3 << 20])
    @every_size
    def test_share(self, size: int, n_bytes: int) -> None:
        """Memory that all ranks can read, or None on all of them."""
        self.results(size, partial(cases.share, n_bytes=n_bytes))

    @every_size
    def test_together(self, size: int) -> None:
        """A place where compiled code of all ranks meets, or None on all of them."""
        self.results(size, cases.meet)

    # ---- failures

    @pytest.mark.parametrize(
        "operation", ["barrier", "alltoall", "broadcast", "split", "agree", "merge", "root"]
    )
    @several
    def test_different_calls(self, size: int, operation: str) -> None:
        """Every rank finds that the calls differ, whichever rank is the odd one."""
        for odd in {0, size - 1}:
            results = self.run(size, partial(cases.differs, odd=odd, operation=operation))
            assert [type(result) for result in results] == [CollectiveMismatch] * size

    @pytest.mark.parametrize("grouped", [False, True])
    @pytest.mark.parametrize("slow", [False, True])
    @several
    def test_a_rank_raises(self, size: int, slow: bool, grouped: bool) -> None:
        """The others find at once that the rank is lost, also in a group with it."""
        culprit = size // 2
        function = partial(cases.raises, culprit=culprit, slow=slow, grouped=grouped)
        results = self.run(size, function)
        assert isinstance(results.pop(culprit), RuntimeError)
        self.all_lost(results, culprit)

    @several
    def test_a_rank_leaves(self, size: int) -> None:
        """A rank that closed in order while others still call is lost to them."""
        results = self.run(size, partial(cases.leaves, leaver=0))
        assert results.pop(0) is None
        self.all_lost(results, 0)

    @staticmethod
    def all_lost(results: list[Any], culprit: int) -> None:
        """Check that all got PeerLost, naming the culprit."""
        assert [type(result) for result in results] == [PeerLost] * len(results)
        assert all(result.ranks == (culprit,) for result in results)

    @pytest.mark.parametrize(("size", "absent"), [(2, (0,)), (3, (2,)), (4, (1, 3)), (7, (0, 4, 5))])
    def test_absent_ranks(self, size: int, absent: tuple[int, ...]) -> None:
        """Ranks that do not come are named when the deadline passes."""
        results = self.run(size, partial(cases.stays_away, absent=absent), timeout=DEADLINE)
        waited = [result for rank, result in enumerate(results) if rank not in absent]
        assert [missing for missing, _ in waited] == [absent] * len(waited)
        assert 0.5 * DEADLINE < max(seconds for _, seconds in waited) < DEADLINE + 2.0

    @pytest.mark.parametrize("how", ["close", "abort", "failure"])
    @every_size
    def test_after_the_end(self, size: int, how: str) -> None:
        """Nothing can be called any more, but to end it again."""
        if how != "failure" or size > 1:
            self.run_to_the_end(size, how)

    def run_to_the_end(self, size: int, how: str) -> None:
        """Allow for ranks that are lost because another one was faster to end."""
        for result in self.run(size, partial(cases.after_the_end, how=how)):
            assert result is None or (isinstance(result, PeerLost) and how != "failure")

    @every_size
    def test_other_thread(self, size: int) -> None:
        """A communicator belongs to the thread of its first call."""
        self.results(size, cases.other_thread)

    # ---- what is left behind

    def test_nothing_is_left(self) -> None:
        """A hundred connections leave no thread and no file descriptor."""
        self.run(2, cases.identity)
        threads, files = set(threading.enumerate()), open_files()
        for _ in range(100):
            self.run(2, cases.identity)
        assert set(threading.enumerate()) == threads
        assert open_files() == files


def open_files() -> int:
    """Return the number of file descriptors of this process, 0 where that is not known."""
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0
