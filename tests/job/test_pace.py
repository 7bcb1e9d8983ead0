from __future__ import annotations

from cdq.job.pace import Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_pace_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert (pace.steps, pace.per_second()) == (0, 0.0)
    for _ in range(100):
        clock.now += 0.1
        pace.add(50)
    assert 490 < pace.per_second() < 510
    for _ in range(100):
        clock.now += 0.1
        pace.add(5)
    assert 49 < pace.per_second() < 51  # what was before is forgotten
    assert pace.steps == 5500


def test_a_pace_falls_to_nothing_where_nothing_comes() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now += 1.0
    pace.add(1000)
    clock.now += 1.0
    pace.add(1000)
    assert pace.per_second() == 1000.0
    clock.now += 3.0
    assert pace.per_second() == 250.0
    clock.now += 30.0
    assert pace.per_second() == 0.0
    clock.now += 0.5
    pace.add(100)
    assert 0.0 < pace.per_second() < 100.0


def test_a_pace_does_not_count_the_time_before_its_first_steps() -> None:
    """A hub waits for its workers: that says nothing of their speed."""
    clock = Clock()
    pace = Pace(clock)
    clock.now += 60.0
    pace.per_second()
    for _ in range(5):
        clock.now += 0.1
        pace.add(50)
    assert 490 < pace.per_second() < 510


def test_rounds_that_take_long_have_a_pace_between_them() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(3):
        clock.now += 20.0
        pace.add(1000)
    clock.now += 19.0
    assert pace.per_second() == 50.0
