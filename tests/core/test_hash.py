"""Keys and the rows that they have, against a dictionary."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq.core.probe import Probe
from cdq.core.table.hash import HashedRows, HashIndex, HashQ, KnownQ
from cdq.core.table.rows import Rows
from cdq.qfunctions.merged import allocate
from cdq.schedules import Constant, build_law
from tests.strategies import DTYPES

Keys = Any
MASK = 2**64 - 1


def mixed(x: int) -> int:
    """MurmurHash3's finalizer, as the index hashes keys."""
    x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCD & MASK
    x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53 & MASK
    return x ^ (x >> 33)


def unmixed(x: int) -> int:
    """Return the key with a hash."""
    x ^= x >> 33
    x = x * pow(0xC4CEB9FE1A85EC53, -1, 2**64) & MASK
    x ^= x >> 33
    x = x * pow(0xFF51AFD7ED558CCD, -1, 2**64) & MASK
    return x ^ (x >> 33)


# Keys that could be taken for one another: by low bits, high bits, slots, or what a slot holds of the hash.
ADVERSARIAL: dict[str, list[int]] = {
    "ends": [0, MASK, 1, 2**63, 2**63 - 1, 2**32, 2**32 - 1],
    "equal low bits": [k << 40 for k in range(3000)],
    "equal high bits": list(range(2**63, 2**63 + 3000)),
    "one slot": [unmixed(k << 32) for k in range(1, 700)],
    "one slot, and one half of the hash": [unmixed(7 << 32 | k << 20) for k in range(700)],
    "the last slot": [unmixed(k << 32 | 0xFFFFFFFF) for k in range(700)],
}


def array(keys: list[int]) -> Keys:
    return np.array(keys, np.uint64)


def rows_of(index: HashIndex, keys: Keys) -> list[int]:
    rows = np.empty(len(keys), np.uint32)
    index.insert(keys, rows)
    return list(rows.tolist())


class Reference:
    """A dictionary that numbers keys in the order in which they come."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}

    def insert(self, keys: Keys) -> list[int]:
        return [self.rows.setdefault(key, len(self.rows)) for key in keys.tolist()]


def test_the_hash_can_be_undone() -> None:
    assert all(mixed(unmixed(x)) == x for x in (0, 1, MASK, 2**40 + 17))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_keys_that_collide_are_told_apart(name: str) -> None:
    index, reference, keys = HashIndex(allocate), Reference(), array(ADVERSARIAL[name])
    for part in (keys[: len(keys) // 2], keys, keys[::-1].copy()):
        assert rows_of(index, part) == reference.insert(part)
    assert index.keys.tolist() == keys.tolist()
    assert [index.find(key) for key in keys.tolist()] == list(range(len(keys)))
    assert index.find(123_456_789) == -1


@given(st.lists(st.lists(st.integers(0, MASK) | st.integers(0, 50), max_size=40), max_size=12), st.data())
def test_an_index_is_a_dictionary_that_forgets_the_last_keys(
    batches: list[list[int]], data: st.DataObject
) -> None:
    index, reference = HashIndex(allocate), Reference()
    for batch in batches:
        assert rows_of(index, array(batch)) == reference.insert(array(batch))
        if data.draw(st.booleans()):
            n = data.draw(st.integers(0, len(index)))
            index.truncate(n)
            reference.rows = {key: row for key, row in reference.rows.items() if row < n}
        assert len(index) == len(reference.rows)
    assert index.keys.tolist() == list(reference.rows)
    assert all(index.find(key) == row for key, row in reference.rows.items())


@pytest.mark.parametrize("n", [1, 767, 768, 769, 1024, 1025, 3000, 100_000])
def test_an_index_grows_and_says_how_full_it_is(n: int) -> None:
    index, keys = HashIndex(allocate), np.random.default_rng(n).integers(0, 2**64, n, np.uint64)
    for part in np.array_split(keys, 7):
        index.insert(part)
    assert len(index) == n <= index.capacity
    assert 0 < index.load <= 0.75
    assert rows_of(index, keys) == list(range(n))


def test_forgetting_checks_how_many_there_are() -> None:
    index = HashIndex(allocate)
    index.insert(array([5]))
    for n in (-1, 2):
        with pytest.raises(ValueError, match="there are no"):
            index.truncate(n)


# ---- rows


def make_rows(keys: list[int], dtype: Any, initial: float = 0.0, n_actions: int = 3) -> HashedRows:
    random = np.random.default_rng(len(keys))
    values = random.normal(size=(len(keys), n_actions)).astype(dtype)
    clock = random.integers(0, 9, (len(keys), n_actions)).astype(np.uint32)
    return HashedRows(values, clock, array(keys), initial, allocate)


def values_of(rows: HashedRows, dtype: Any, n_actions: int = 3) -> Any:
    size = np.dtype(dtype).itemsize
    return rows.data[: len(rows.index), : n_actions * size].view(dtype).copy()


def counts_of(rows: HashedRows, dtype: Any, n_actions: int = 3) -> Any:
    size = np.dtype(dtype).itemsize
    return (
        rows.data[: len(rows.index), n_actions * size : n_actions * (size + 4)].view(np.uint32) & 0x7FFFFFFF
    )


class Stepping:
    """A hashed Q-function, and what it should be: rows in dictionaries."""

    def __init__(self, rows: HashedRows, n: int, dtype: Any) -> None:
        self.rows, self.n, self.dtype = rows, n, dtype
        self.q = HashQ(rows, n)
        self.probe = Probe(self.q)
        self.law = build_law(Constant(0.5), 0, 0.3, dtype)
        keys = rows.index.keys.tolist()
        self.values = dict(zip(keys, values_of(rows, dtype).tolist(), strict=True))
        self.counts = dict(zip(keys, counts_of(rows, dtype).tolist(), strict=True))

    def learn(self, keys: list[int], actions: list[int], rewards: list[float], next_keys: list[int]) -> None:
        """Learn a transition in each lane, as window.h defines it, with step size 1/2 and gamma 1/2."""
        while self.probe.room < 2 * self.n:
            self.q.make_room()
        self.probe.locate(array(keys).view(np.int64))
        self.probe.locate(array(next_keys).view(np.int64), successor=True)
        self.probe.learn(
            self.law, 0.5, np.array(actions, np.uint32), np.array(rewards), np.zeros(self.n, np.uint8)
        )
        for key in (*keys, *next_keys):
            self.values.setdefault(key, [self.rows.initial_value] * 3)
            self.counts.setdefault(key, [0] * 3)
        targets = [r + 0.5 * max(self.values[key]) for r, key in zip(rewards, next_keys, strict=True)]
        for key, action, target in zip(keys, actions, targets, strict=True):
            self.values[key][action] += 0.5 * (target - self.values[key][action])
            self.counts[key][action] += 1

    def check(self) -> None:
        keys = self.rows.index.keys.tolist()
        assert sorted(keys) == sorted(self.values)
        expected = np.array([self.values[key] for key in keys]).reshape(-1, 3)
        np.testing.assert_allclose(values_of(self.rows, self.dtype), expected, rtol=1e-5, atol=1e-6)
        assert counts_of(self.rows, self.dtype).tolist() == [self.counts[key] for key in keys]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("initial", [0.0, 1.5])
@pytest.mark.parametrize("n", [1, 5, 64, 200])
def test_a_hashed_table_learns_as_a_dictionary_does(dtype: str, initial: float, n: int) -> None:
    random = np.random.default_rng(n)
    stepping = Stepping(make_rows([3, 1, MASK], dtype, initial), n, dtype)
    before = stepping.rows.capacity
    for scale in (2, 50, 50, 3000, 3000, 10**6, 10**6):
        keys, next_keys = random.integers(0, scale, (2, n)).tolist()
        stepping.learn(
            keys,
            random.integers(0, 3, n).tolist(),
            random.integers(0, 3, n).astype(float).tolist(),
            next_keys,
        )
    stepping.check()
    assert stepping.rows.capacity >= before
    assert stepping.rows.touched == len(set(stepping.rows.log[: stepping.rows.touched].tolist()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rolling_back_forgets_new_keys_and_restores_the_others(dtype: str) -> None:
    rows = make_rows([10, 20, 30], dtype, 0.25)
    values, counts = values_of(rows, dtype), counts_of(rows, dtype)
    for _ in range(2):  # what was there before the first window leaves no trace in the second
        stepping = Stepping(rows, 4, dtype)
        stepping.learn([10, 77, 30, 78], [0, 1, 2, 0], [1.0, 2.0, 3.0, 4.0], [77, 79, 80, 10])
        stepping.learn([77, 79, 80, 10], [0, 1, 2, 0], [1.0, 2.0, 3.0, 4.0], [90, 91, 92, 93])
        stepping.check()
        rows.roll_back()
        assert rows.index.keys.tolist() == [10, 20, 30]
        assert rows.touched == 0
        assert np.array_equal(values_of(rows, dtype), values)
        assert np.array_equal(counts_of(rows, dtype), counts)
        assert rows.index.find(77) == -1


@pytest.mark.parametrize("dtype", DTYPES)
def test_settling_moves_what_was_learnt_to_the_agreed_rows(dtype: str) -> None:
    rows = make_rows([5, 6], dtype, 0.5)
    stepping = Stepping(rows, 3, dtype)
    stepping.learn([100, 5, 101], [0, 1, 2], [1.0, 2.0, 3.0], [101, 102, 103])
    others = array([103, 900, 100]), array([901, 900])
    mine = rows.new_keys.copy()
    rows.settle([others[0], mine, others[1]])
    assert rows.index.keys.tolist() == [5, 6, 103, 900, 100, 101, 102, 901]
    for key in (900, 901):
        stepping.values[key], stepping.counts[key] = [0.5] * 3, [0] * 3
    stepping.check()
    touched = {(rows.index.keys.tolist()[pair // 3], pair % 3) for pair in rows.log[: rows.touched].tolist()}
    assert touched == {(100, 0), (5, 1), (101, 2)}
    rows.roll_back()  # until they are accepted
    assert rows.index.keys.tolist() == [5, 6]


def test_settling_needs_the_own_keys_and_accepting_rows_that_there_are() -> None:
    rows = make_rows([5], "float64")
    Stepping(rows, 1, "float64").learn([100], [0], [1.0], [101])
    with pytest.raises(ValueError, match="lack some of this one"):
        rows.settle([array([100])])
    with pytest.raises(ValueError, match="cannot be agreed"):
        rows.accept(99)


def test_settling_grows_a_table() -> None:
    rows = make_rows([], "float32")
    Stepping(rows, 1, "float32").learn([8], [1], [2.0], [9])
    rows.settle([np.arange(100, 5000, dtype=np.uint64), array([8, 9])])
    assert len(rows.index) == 4902
    assert values_of(rows, "float32")[4900].tolist() == [0.0, 1.0, 0.0]


def test_a_table_refuses_a_key_that_occurs_twice_and_a_base_of_another_size() -> None:
    with pytest.raises(ValueError, match="occurs twice"):
        make_rows([4, 4], "float64")
    rows = make_rows([4], "float64")
    for base in (np.zeros(2), np.zeros(3, np.float32), np.zeros(4)):
        with pytest.raises(ValueError, match="size of the table"):
            rows.share(base, np.zeros(len(base), np.uint32))


def test_pairs_have_32_bits() -> None:
    def promise(n_bytes: int) -> Any:
        """Return memory that nobody will touch, and that need not be there."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
        return np.frombuffer(mmap.mmap(-1, n_bytes, flags=flags), np.uint8)

    n_actions = 2**20
    rows = HashedRows(
        np.zeros((0, n_actions), np.float32), np.zeros((0, n_actions), np.uint32), array([]), 0.0, promise
    )
    rows.reserve(4000)
    rows.reserve(5000)
    assert rows.capacity == 4094  # as many as there can be
    with pytest.raises(MemoryError, match="at most 4094 rows"):
        rows.reserve(5000)


def test_unknown_keys_read_the_row_after_the_last() -> None:
    index = HashIndex(allocate)
    index.insert(array([7, MASK]))
    values = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    probe, actions = Probe(KnownQ(Rows.of_values(values), 4, index)), np.empty(4, np.uint32)
    probe.locate(array([MASK, 7, 8, 0]).view(np.int64))
    probe.greedy(None, actions)
    assert actions.tolist() == [1, 0, 0, 0]
    assert len(index) == 2
    with pytest.raises(ValueError, match="a row for all others"):
        KnownQ(Rows.of_values(values[:2]), 4, index)
