from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cdq.core.barrier import BROKEN, DONE, TIMED_OUT, Barrier, barrier_bytes
from cdq.qfunctions.merged import allocate


def in_threads(size: int, function: Callable[[int], Any]) -> list[Any]:
    results: list[Any] = [None] * size

    def run(rank: int) -> None:
        results[rank] = function(rank)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_nobody_passes_before_the_last_has_come(size: int) -> None:
    barrier, rounds = Barrier(size), 100
    came = [0] * size

    def passes(rank: int) -> bool:
        right = True
        for number in range(1, rounds + 1):
            came[rank] = number
            right &= barrier.wait(rank, 10.0) == DONE
            right &= min(came) >= number
            right &= max(came) <= number + 1
        return right

    assert all(in_threads(size, passes))


def test_waits_without_the_gil() -> None:
    barrier = Barrier(2)
    counted = 0

    def count(rank: int) -> int:
        nonlocal counted
        if rank == 0:
            return barrier.wait(0, 10.0)
        end = time.monotonic() + 0.05
        while time.monotonic() < end:
            counted += 1
        return barrier.wait(1, 10.0)

    assert in_threads(2, count) == [DONE, DONE]
    assert counted > 1000


@pytest.mark.parametrize("timeout", [0.0, 0.02, 0.2])
def test_names_who_is_missing_in_time(timeout: float) -> None:
    barrier = Barrier(4)
    start = time.monotonic()
    came = {0: 0, 1: 2}
    results = in_threads(2, lambda index: barrier.wait(came[index], timeout))
    assert TIMED_OUT in results
    assert set(results) <= {TIMED_OUT, BROKEN}  # one thread may have started after the other gave up
    assert timeout <= time.monotonic() - start < timeout + 5.0
    assert {1, 3} <= set(barrier.missing())
    assert barrier.wait(1, 10.0) == BROKEN
    assert 1 in barrier.missing()


def test_missing_is_right_in_later_rounds() -> None:
    barrier = Barrier(3)
    for _ in range(3):
        assert in_threads(3, lambda rank: barrier.wait(rank, 10.0)) == [DONE] * 3
    assert barrier.wait(1, 0.01) == TIMED_OUT
    assert barrier.missing() == [0, 2]


def test_break_wakes_and_stays() -> None:
    barrier = Barrier(3)

    def wait_or_break(rank: int) -> int:
        if rank < 2:
            return barrier.wait(rank, 10.0)
        time.sleep(0.02)
        barrier.break_()
        barrier.break_()
        return BROKEN

    start = time.monotonic()
    assert in_threads(3, wait_or_break) == [BROKEN] * 3
    assert time.monotonic() - start < 5.0
    assert barrier.wait(2, 10.0) == BROKEN
    assert barrier.missing() == [2]


@pytest.mark.parametrize("crowded", [False, True])
def test_a_process_that_ends_breaks_it(crowded: bool) -> None:
    """A file that can be read tells of that; before, and while nobody has ended, all is as without."""
    told, ends = os.pipe()
    try:
        barrier = Barrier(3, crowded=crowded, ends=[told])
        assert in_threads(3, lambda rank: barrier.wait(rank, 10.0)) == [DONE] * 3
        waking = threading.Timer(0.05, os.write, [ends, b"x"])
        waking.start()
        start = time.monotonic()
        assert in_threads(2, lambda rank: barrier.wait(rank, 10.0)) == [BROKEN] * 2
        waking.join()
        assert time.monotonic() - start < 5.0
        assert barrier.missing() == [2]
    finally:
        os.close(told)
        os.close(ends)


def test_a_barrier_that_opened_is_open_for_all() -> None:
    """Whoever breaks it just after the last round takes no success away from the others."""
    for _ in range(300):
        barrier = Barrier(2)

        def last_round(rank: int, barrier: Barrier = barrier) -> int:
            result = barrier.wait(rank, 10.0)
            barrier.break_()
            return result

        assert in_threads(2, last_round) == [DONE, DONE]


def test_deadline_against_arrival() -> None:
    """At the very deadline both ranks see the same: open, or one timed out and the other kept out."""
    for number in range(100):
        barrier = Barrier(2)

        def race(rank: int, barrier: Barrier = barrier, delay: float = number * 2e-6) -> int:
            if rank == 0:
                return barrier.wait(0, 1e-4)
            time.sleep(delay)
            return barrier.wait(1, 10.0)

        assert in_threads(2, race) in ([DONE, DONE], [TIMED_OUT, BROKEN])


def test_signals_are_heard_while_waiting() -> None:
    barrier = Barrier(2)
    waking = threading.Timer(0.02, signal.raise_signal, [signal.SIGINT])
    waking.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        barrier.wait(0, 10.0)
    waking.join()
    assert time.monotonic() - start < 5.0


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="size is 0"):
        Barrier(0)
    with pytest.raises(ValueError, match="rank is 2; allowed are 0 to 1"):
        Barrier(2).wait(2, 1.0)
    assert Barrier(2).wait(0, float("nan")) == TIMED_OUT
    assert Barrier(2).wait(0, -1.0) == TIMED_OUT
    assert Barrier(1).wait(0, float("inf")) == DONE


_CHILD = """
import mmap, os, sys
import numpy as np
from cdq.core.barrier import DONE, Barrier
memory = np.frombuffer(mmap.mmap(int(sys.argv[1]), 0), np.uint8)
barrier = Barrier(2, memory)
for number in range(1000):
    assert barrier.wait(1, 10.0) == DONE
    memory[-1] = number % 200
assert barrier.wait(1, 10.0) == DONE
print(barrier.wait(1, 10.0))
"""


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux's anonymous files")
def test_processes_meet_in_memory_that_they_share() -> None:
    file = os.memfd_create("barrier")
    try:
        os.ftruncate(file, barrier_bytes(2) + 64)
        memory = np.frombuffer(mmap.mmap(file, 0), np.uint8)
        barrier = Barrier(2, memory)
        command = [sys.executable, "-c", _CHILD, str(file)]
        with subprocess.Popen(command, pass_fds=[file], stdout=subprocess.PIPE, text=True) as child:
            for number in range(1000):
                assert barrier.wait(0, 30.0) == DONE
                assert memory[-1] in {number % 200, max(number - 1, 0) % 200}  # a round behind at most
            assert barrier.wait(0, 10.0) == DONE
            barrier.break_()
            assert barrier.wait(0, 10.0) == BROKEN
            assert child.communicate(timeout=20)[0].split() == [str(BROKEN)]
    finally:
        os.close(file)


def test_the_memory_of_a_barrier_is_of_whole_lines() -> None:
    memory = allocate(barrier_bytes(3) + 64)
    for wrong in (memory[: barrier_bytes(3) - 1], memory[8:]):
        with pytest.raises(ValueError, match="cache line"):
            Barrier(3, wrong)
    assert Barrier(1, memory).wait(0, 1.0) == DONE
