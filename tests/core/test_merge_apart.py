"""Merges of workers that differ: each has a law of its own, and some are left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_merge import LAWS, contributions_of, fresh, laws, merge_shared, merge_wire
from tests.reference import merge as reference
from tests.strategies import Tables, clock_of, tables, values_of


@pytest.mark.parametrize("rule", reference.RULES)
@given(tables(), st.data())
def test_workers_have_laws_of_their_own_and_some_are_left_out(
    rule: str, given: Tables, data: st.DataObject
) -> None:
    size, dtype = len(given.values), str(given.base.dtype)
    own = data.draw(st.lists(laws, min_size=size, max_size=size))
    out = data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1))
    law, reference_law = LAWS[0, dtype]
    contributions = contributions_of(given.workers(), law)
    for one in contributions:
        one.laws = [None if rank in out else LAWS[own[rank], dtype][0] for rank in range(size)]
    among = [rank for rank in range(size) if rank not in out]
    expected = reference.merge(
        rule,
        given.base.ravel(),
        given.values.reshape(size, -1)[among],
        given.visits.reshape(size, -1)[among],
        given.clock.ravel(),
        reference_law,
        [LAWS[own[rank], dtype][1] for rank in among],
    )
    for merge in (merge_shared, merge_wire):
        worker = fresh(given)
        mass = worker.commit(merge(contributions, rule))
        n = int(expected.total.sum())
        assert values_of(worker).tobytes() == expected.values.tobytes()
        assert (
            clock_of(worker).tobytes() == reference.clock_after(given.clock.ravel(), expected.gain).tobytes()
        )
        assert mass == (expected.mass / 2**20 / n if n else 0.0)
