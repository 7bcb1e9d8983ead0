"""Memory that is kept: given again once nobody refers to it, and never while somebody does."""

from __future__ import annotations

import numpy as np

from cdq.comm.kept import Kept


def address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def test_memory_is_given_again_once_nobody_refers_to_it() -> None:
    kept = Kept()
    first = kept.take(1 << 20)
    place = address(first)
    second = kept.take(1 << 20)
    assert address(second) != place
    del first
    assert address(kept.take((1 << 20) - 5)) == place


def test_any_view_holds_the_memory() -> None:
    kept = Kept()
    array = np.frombuffer(memoryview(kept.take(1 << 16)).toreadonly()[100:200], np.uint8)
    place = array.ctypes.data - 100
    assert all(address(kept.take(1 << 16)) != place for _ in range(3))
    del array
    assert address(kept.take(1 << 16)) == place


def test_memory_has_the_length_asked_for_and_is_not_much_larger() -> None:
    kept = Kept()
    kept.take(1 << 20)
    assert [len(kept.take(n)) for n in (1 << 20, 10, 0, 1 << 19)] == [1 << 20, 10, 0, 1 << 19]
    assert sum(array.size for array in kept._arrays) <= (1 << 20) + 10 + (1 << 19)


def test_no_more_than_a_few_are_kept() -> None:
    kept = Kept()
    views = [kept.take(1000) for _ in range(50)]
    assert len({address(view) for view in views}) == 50
    assert len(kept._arrays) <= 8
