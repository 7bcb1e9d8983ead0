"""Rounds in compiled code, from the seats of one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from cdq.core.barrier import BROKEN, TIMED_OUT, Barrier, barrier_bytes
from cdq.core.merge.merge import most_merged_bytes
from cdq.core.rounds import ENDED, INTERRUPTED, Pace, Rates, Seat, board_bytes
from cdq.qfunctions.merged import MergedTable, allocate, rows_over, table_bytes
from cdq.qfunctions.sole import SoleTable
from cdq.rules import Q_LEARNING, as_rule
from cdq.schedules import (
    Constant,
    ExponentialDecay,
    LinearDecay,
    RescaledLinear,
    Tabulated,
    build_law,
)
from cdq.schedules.rates import tabulated
from cdq.schedules.windows import FixedWindow
from cdq.training.quiet import pace_of, rates_of
from cdq.workers.worker import Worker
from tests.strategies import make_worker, random_model

MODEL = random_model(30, 4, seed=8, time_limit=50)
LAW = build_law(RescaledLinear(0.9), 0, 0.3, "float64")
WINDOW = 200
PACE = Pace(mass=0.0, floor=1.0, longest=1e6, exploration=rates_of(Constant(0.3)))


def worker(merged: Any, rank: int = 0, dtype: str = "float64", **changes: Any) -> Worker:
    how = {"is_keeper": rank == 0, **changes}
    return make_worker(MODEL, dtype, merged=merged, rank=rank, num_envs=2, **how)


def seat_of(one: Worker, rank: int = 0, rounds: int = 64, parts: int = 256) -> Seat:
    seat = one.seat(rank, np.zeros((rounds, 9), np.int64), np.zeros((parts, 8)))
    assert seat is not None
    return seat


def play(seat: Seat, seats: list[Seat], barrier: Any = None, **given: Any) -> int:
    usual: dict[str, Any] = {
        "law": LAW,
        "rule": 0,
        "needs_mass": False,
        "pace": PACE,
        "steps": 0,
        "window": float(WINDOW),
        "target": 10 * WINDOW * len(seats),
        "bytes_sent": 0,
        "finish": np.zeros(1, np.int32),
        "look_at": 10**9,
    }
    return seat.play(seats, barrier, 0.05, **{**usual, **given})


@pytest.mark.parametrize("kind", [MergedTable, SoleTable])
def test_one_worker_learns_what_it_learns_round_by_round(kind: Any) -> None:
    one, other = (worker(kind(30, 4, "float64", 0.0)) for _ in range(2))
    seat = seat_of(one)
    assert play(seat, [seat]) == ENDED
    assert (seat.rounds, seat.steps, seat.asked) == (10, 10 * WINDOW, False)
    for _ in range(10):
        other.run(LAW, WINDOW // 2, 0.3, 0.3)
        other.commit_alone()
    assert one.digest() == other.digest()
    assert one.lane_state == other.lane_state


@pytest.mark.parametrize(
    ("given", "rounds"),
    [
        ({"look_at": 3 * WINDOW}, 3),
        ({"look_at": 3 * WINDOW - 1}, 3),
        ({"seconds": 1e-9}, 1),
        ({"steps_per_look": 500, "unseen": True}, 10),
        ({"finish": np.ones(1, np.int32)}, 1),
        ({"target": WINDOW + 1}, 2),
    ],
)
def test_rounds_end_where_somebody_must_look(given: dict[str, Any], rounds: int) -> None:
    seat = seat_of(worker(MergedTable(30, 4, "float64", 0.0)))
    assert play(seat, [seat], **given) == ENDED
    assert seat.rounds == rounds
    assert seat.asked == ("finish" in given)


@pytest.mark.parametrize(("rounds", "parts", "expected"), [(4, 256, 4), (64, 129, 2)])
def test_rounds_end_where_there_is_no_room_to_record_another(rounds: int, parts: int, expected: int) -> None:
    seat = seat_of(worker(MergedTable(30, 4, "float64", 0.0)), rounds=rounds, parts=parts)
    assert play(seat, [seat]) == ENDED
    assert seat.rounds == expected


@pytest.mark.parametrize("kind", [MergedTable, SoleTable])
def test_clocks_are_counted_when_they_are_due(kind: Any) -> None:
    merged = kind(30, 4, "float64", 0.0)
    one, records = worker(merged), np.zeros((64, 9), np.int64)
    seat = one.seat(0, records, np.zeros((256, 8)))
    assert seat is not None
    assert play(seat, [seat], steps_per_look=3 * WINDOW, counts=True, target=6 * WINDOW) == ENDED
    assert (records[:5, 7:] == -1).all()  # the first multiple of 1,024 steps is crossed by the sixth round
    clocks = np.count_nonzero(merged.clock)
    assert records[5, 6:].tolist() == [merged.clock.sum(), clocks, clocks]


@pytest.mark.parametrize("kind", [MergedTable, SoleTable])
@pytest.mark.parametrize("rule", [Q_LEARNING, as_rule("double-q")])
def test_known_pairs_that_were_visited_are_counted(kind: Any, rule: Any) -> None:
    merged = kind(30, 4, "float64", 0.0, rule)
    known = np.arange(120) % 3 > 0
    one, records = worker(merged), np.zeros((64, 9), np.int64)
    seat = one.seat(0, records, np.zeros((256, 8)))
    assert seat is not None
    options = {"steps_per_look": 1, "known": known.view(np.uint8), "unseen": True}
    assert play(seat, [seat], target=WINDOW, **options) == ENDED
    assert records[0, 8] == np.count_nonzero(merged.updates().reshape(-1)[known]) > 0
    assert play(seat, [seat], target=WINDOW, seen=int(known.sum()), **options) == ENDED
    assert records[0, 8] == known.sum()  # which it takes to be so


def test_a_window_that_was_stopped_is_not_merged() -> None:
    one = worker(MergedTable(30, 4, "float64", 0.0), stop=np.ones(1, np.int32))
    seat = seat_of(one)
    assert play(seat, [seat]) == INTERRUPTED
    assert seat.rounds == 0


def test_the_others_are_waited_for_until_the_deadline() -> None:
    seats = [seat_of(worker(MergedTable(30, 4, "float64", 0.0), rank), rank) for rank in range(2)]
    barrier = Barrier(2)
    assert play(seats[0], seats, barrier) == TIMED_OUT
    assert play(seats[1], seats, barrier) == BROKEN
    assert [seat.rounds for seat in seats] == [0, 0]


@pytest.mark.parametrize("wrong", ["order", "barrier", "law"])
def test_seats_that_do_not_belong_together_are_refused(wrong: str) -> None:
    seats = [seat_of(worker(MergedTable(30, 4, "float64", 0.0), rank), rank) for rank in range(2)]
    law = build_law(RescaledLinear(0.9), 0, 0.3, "float32") if wrong == "law" else LAW
    order = seats[::-1] if wrong == "order" else seats
    with pytest.raises(ValueError, match="seats|law"):
        play(seats[0], order, Barrier(3 if wrong == "barrier" else 2), law=law)


def test_the_memory_of_a_seat_has_its_size() -> None:
    one = worker(MergedTable(30, 4, "float64", 0.0))
    for records, tallies in (
        (np.zeros((4, 8), np.int64), np.zeros((256, 8))),
        (np.zeros((4, 9), np.int64), np.zeros((9, 8))),
    ):
        with pytest.raises(ValueError, match="size"):
            one.seat(0, records, tallies)


RATES: dict[str, Any] = {
    "constant": Constant(0.3),
    "linear": LinearDecay(0.9, 0.05, 1234.5),
    "exponential": ExponentialDecay(1.0, 0.01, 777.0),
    "rising": LinearDecay(0.0, 1.0, 3000),
    "knots": Tabulated((0, 7, 1000), (0.5, 1.0, 0.0)),
    "one knot": Tabulated((0,), (0.25,)),
    "a function": tabulated(lambda steps: 1 / (1 + steps / 100), "exploration"),
}
PLACES = [0, 1, 6, 7, 8, 64, 999, 1000, 1001, 1235, 3000, 12_345, 2**33 + 5, 2**40, 2**52 + 1, 2**61]


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES.keys())
def test_rates_are_those_of_the_schedules(rate: Any) -> None:
    compiled = rates_of(rate)
    assert [compiled.at(steps) for steps in PLACES] == [rate.at(steps) for steps in PLACES]


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES.keys())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_step_sizes_that_follow_from_the_steps_are_those_of_the_schedules(
    rate: Any, dtype: str, scale: float
) -> None:
    """A worker with peers learns by the law of each window, and merges by it."""
    window = FixedWindow(WINDOW)
    pace = pace_of(window, Constant(0.3), rate, scale)
    one, other = (worker(MergedTable(30, 4, dtype, 0.0), dtype=dtype) for _ in range(2))
    seat = seat_of(one)
    law = build_law(rate, 0, window.mass, dtype, scale)
    assert play(seat, [seat], law=law, pace=pace, target=20 * WINDOW) == ENDED
    for i in range(20):
        other.run(build_law(rate, i * WINDOW, window.mass, dtype, scale), WINDOW // 2, 0.3, 0.3)
        other.commit_alone()
    assert one.digest() == other.digest()


@pytest.mark.parametrize(
    "wrong", [{"knots": np.array([1, 2])}, {"knots": np.array([0])}, {"rates": np.zeros(0)}]
)
def test_rates_without_knots_from_zero_on_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="knots from 0 on"):
        Rates(**{"rates": np.ones(2), **wrong})


@pytest.mark.parametrize("rule", [0, 1, 3])
def test_workers_apart_merge_through_memory_that_they_share(rule: int) -> None:
    """As those of two processes do: nothing else is common to them, neither the table nor the barrier."""
    size, common = 2, MergedTable(30, 4, "float64", 0.0)
    together = [worker(common, rank) for rank in range(size)]
    in_threads(*together_seats(together), rule=rule)
    merged = [MergedTable(30, 4, "float64", 0.0) for _ in range(size)]
    room = np.zeros((size, board_bytes(most_merged_bytes(30, 4, 8, size))), np.uint8)
    tables = allocate(size * table_bytes(common)).reshape(size, -1)
    lines = allocate(barrier_bytes(size))
    apart = [worker(own, rank, memory=tables[rank], is_keeper=True) for rank, own in enumerate(merged)]
    seats = [
        [
            one.seat(rank, np.zeros((64, 9), np.int64), np.zeros((256, 8)), room[rank])
            if other == rank
            else Seat.elsewhere_of(other, rows_over(tables[other], merged[rank]), room[other])
            for other in range(size)
        ]
        for rank, one in enumerate(apart)
    ]
    in_threads(seats, [Barrier(size, lines) for _ in range(size)], rule=rule)
    assert {own.digest() for own in merged} == {common.digest()}
    assert [one.lane_state for one in apart] == [one.lane_state for one in together]


def together_seats(workers: list[Worker]) -> tuple[list[list[Any]], list[Barrier]]:
    seats, barrier = [seat_of(one, rank) for rank, one in enumerate(workers)], Barrier(len(workers))
    return [seats] * len(workers), [barrier] * len(workers)


def in_threads(seats: list[list[Any]], barriers: list[Barrier], **given: Any) -> None:
    with ThreadPoolExecutor(len(seats)) as pool:
        ends = [
            pool.submit(play, own[rank], own, barriers[rank], look_at=7 * WINDOW, **given)
            for rank, own in enumerate(seats)
        ]
    assert [end.result() for end in ends] == [ENDED] * len(seats)
    assert [own[rank].rounds for rank, own in enumerate(seats)] == [4] * len(seats)


def test_a_seat_elsewhere_does_not_play_here() -> None:
    own = worker(MergedTable(30, 4, "float64", 0.0))
    seat = Seat.elsewhere_of(0, own.rows, np.zeros(board_bytes(9), np.uint8))
    with pytest.raises(ValueError, match="seats"):
        play(seat, [seat])
    with pytest.raises(ValueError, match="too short"):
        Seat.elsewhere_of(0, own.rows, np.zeros(63, np.uint8))
