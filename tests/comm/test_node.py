from __future__ import annotations

import math

from cdq.comm.node import Place, cores_of, crowded, here, unpacked


def test_a_place_can_be_sent() -> None:
    for place in (here("name"), Place("node", frozenset({0, 7}), 1.5)):
        assert unpacked(place.packed()) == place


def test_here_is_somewhere() -> None:
    place = here("name")
    assert place.cores
    assert place.quota > 0
    assert crowded([place]) == {}


def test_ranks_that_are_bound_to_a_core_each_have_enough() -> None:
    places = [Place("a", frozenset({core}), math.inf) for core in range(4)]
    assert cores_of(places, "a") == 4
    assert crowded(places) == {}


def test_crowded_nodes_are_told() -> None:
    both = frozenset({0, 1})
    places = [Place("a", both, math.inf)] * 2 + [Place("b", both, math.inf)] * 3
    assert crowded(places) == {"b": (3, 2)}


def test_a_quota_counts_as_cores() -> None:
    places = [Place("a", frozenset(range(64)), 1.5)] * 3
    assert crowded(places) == {"a": (3, 2)}
    assert crowded(places[:2]) == {}
