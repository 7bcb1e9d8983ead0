"""Workers of a job as one who looks on sees them: they join, are lost, leave and come back."""

from __future__ import annotations

from typing import Any

import pytest

from cdq.cli.watching.workers import Workers

NAMES = {0: ("north", "node-1"), 1: ("", ""), 7: ("", "node-2")}


def told(
    members: str = "", waiting: str = "", unreachable: str = "", evicted: int = 0, **more: Any
) -> dict[str, Any]:
    here = [int(uid) for uid in members + waiting]
    return {
        "members": [int(uid) for uid in members],
        "waiting": [int(uid) for uid in waiting],
        "unreachable": [int(uid) for uid in unreachable],
        "workers": [
            {"uid": uid, "name": NAMES[uid][0], "host": NAMES[uid][1], "state": "delivered", "seen": 0.5}
            for uid in here
            if uid in NAMES
        ],
        "counts": {"evicted": evicted},
        "service": {"speeds": {"0": {"steps": 100, "steps_per_second": 10.0}}},
        **more,
    }


def seen(*states: dict[str, Any]) -> tuple[dict[int, str], list[str]]:
    """Return the last states of workers by number, and what happened."""
    workers = Workers()
    for number, state in enumerate(states):
        workers.see(state, f"{number}")
    return {row["uid"]: row["state"] for row in workers.rows(known=True)}, [
        f"{when} {text}" for when, text in workers.events
    ]


def test_a_worker_that_is_killed_is_lost_and_stays() -> None:
    states, happened = seen(
        told("01"), told("01", unreachable="0"), told("1", evicted=1), told("1", evicted=1)
    )
    assert states == {0: "lost", 1: "learning"}
    assert happened == [
        "0 worker 0 (north on node-1) joined",
        "0 worker 1 joined",
        "1 worker 0 (north on node-1) cannot be reached",
        "2 worker 0 (north on node-1) was lost: the round went on without it",
    ]


def test_a_worker_that_comes_back_is_told_of() -> None:
    states, happened = seen(told("0"), told("0", unreachable="0"), told("0"))
    assert states == {0: "learning"}
    assert happened[1:] == [
        "1 worker 0 (north on node-1) cannot be reached",
        "2 worker 0 (north on node-1) is back",
    ]
    states, happened = seen(
        told("01"), told("1", evicted=1), told("1", "0", evicted=1), told("01", evicted=1)
    )
    assert states == {0: "learning", 1: "learning"}
    assert [line.partition(") ")[2] for line in happened[2:]] == [
        "was lost: the round went on without it",
        "waits to be let in",
        "joined",
    ]


def test_a_worker_that_goes_in_order_has_left() -> None:
    states, happened = seen(told("01", evicted=3), told("1", evicted=3))
    assert states == {0: "left", 1: "learning"}
    assert happened[-1] == "1 worker 0 (north on node-1) left"


def test_drops_before_the_first_look_are_nobodys() -> None:
    assert seen(told("01", evicted=9), told("1", evicted=9))[0][0] == "left"


def test_a_hub_that_was_started_again_counts_from_0() -> None:
    states, _ = seen(told("01", evicted=5), told("01", unreachable="01"), told("1"))
    assert states == {0: "lost", 1: "learning"}


def test_nobody_knows_where_workers_are_while_the_hub_is_gone() -> None:
    workers = Workers()
    workers.see(told("01"), "0")
    workers.see(told("1", evicted=1), "1")
    rows = workers.rows(known=False)
    assert [(row["state"], row["seen"], row["speed"]) for row in rows][1] == ("unknown", None, None)
    assert rows[0]["state"] == "lost"


def test_what_a_table_shows() -> None:
    workers = Workers()
    workers.see(told("0", "7"), "0")
    first, second = workers.rows(known=True)
    assert (first["who"], first["seen"], first["speed"], first["steps"]) == (
        "worker 0 (north on node-1)",
        0.5,
        10.0,
        100,
    )
    assert (second["who"], second["state"], second["speed"]) == ("worker 7 (on node-2)", "waiting", None)


def test_what_a_worker_says_of_itself_is_cut_and_printable() -> None:
    workers = Workers()
    rude = {"uid": 0, "name": "\x1b[2J" + "n" * 1000, "host": "two\nlines", "state": "learning", "seen": 1.0}
    workers.see(told("0", workers=[rude]), "0")
    (row,) = workers.rows(known=True)
    assert len(row["name"]) == 80
    assert row["name"].startswith("?[2Jn")
    assert row["host"] == "two lines"


def test_memory_is_bounded() -> None:
    """Thousands of members, of which a hub describes some alone, and thousands that came and went."""
    workers = Workers()
    workers.see(told(members="", **{}) | {"members": list(range(60_000))}, "0")
    assert len(workers.rows(known=True)) == 512
    for first in range(0, 5000, 100):
        workers.see(told() | {"members": list(range(first, first + 100))}, "1")
    rows = workers.rows(known=True)
    assert len(rows) <= 512
    assert {row["uid"] for row in rows if row["state"] == "learning"} == set(range(4900, 5000))
    assert len(workers.events) == 40


@pytest.mark.parametrize("missing", ["members", "waiting", "workers", "counts", "service"])
def test_a_state_without_a_part_is_refused(missing: str) -> None:
    state = told("0")
    del state[missing]
    with pytest.raises(KeyError):
        Workers().see(state, "0")
