from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq.workers.contribution import LARGEST_SUMMARY, Summary
from cdq.workers.tallies import MOST_PARTS, parts_of, require_tallies, tallies_in

# Three parts of a window of 500 steps.
PARTS = np.array(
    [
        [166, 2, 30, 0.75, 10, 20, -0.25, 1.0],
        [167, 0, 0, 0, 0, 0, 0, 0],
        [167, 1, 90, 2.0, 90, 90, 2.0, 2.0],
    ]
)
WHOLE = (3, 120, 2.75)


def test_the_number_of_parts_is_bounded() -> None:
    assert [parts_of(steps) for steps in (1, 127, 128, 500, 10**5, 10**9)] == [1, 1, 1, 3, 128, MOST_PARTS]


def test_a_summary_survives_bytes() -> None:
    summary = Summary(*WHOLE, 77, 2, PARTS.tobytes())
    packed = summary.pack()
    assert len(packed) == summary.nbytes <= LARGEST_SUMMARY
    assert Summary.unpack(b"before" + packed + b"after", 6) == summary
    assert np.array_equal(tallies_in(summary.tallies), PARTS)


def test_a_summary_without_tallies_is_what_it_was_before_there_were_any() -> None:
    plain = np.array([3, 120, np.float64(2.75).view(np.int64), 77, 2], "<i8").tobytes()
    assert Summary(*WHOLE, 77, 2).pack() == plain
    assert Summary.unpack(plain) == Summary(*WHOLE, 77, 2)


@pytest.mark.parametrize("count", [-1, 4, MOST_PARTS + 1, 2**31 - 1])
def test_a_summary_that_cannot_be_is_refused(count: int) -> None:
    packed = bytearray(Summary(*WHOLE, 0, 0, PARTS.tobytes()).pack())
    packed[36:40] = np.int32(count).tobytes()
    with pytest.raises(ValueError, match="which it cannot"):
        Summary.unpack(packed)
    with pytest.raises(ValueError, match="too short for a summary"):
        Summary.unpack(packed[:39])


def test_tallies_that_a_worker_may_have_brought() -> None:
    require_tallies(PARTS.tobytes(), 500, *WHOLE)
    require_tallies(np.array([[100.0, 0, 0, 0, 0, 0, 0, 0]]).tobytes(), 100, 0, 0, 0.0)


WRONG: list[tuple[int, int, Any]] = [
    (0, 0, 165),
    (0, 0, np.nan),
    (0, 1, 1),
    (0, 1, 2.5),
    (0, 3, np.inf),
    (0, 3, 0.7501),
    (0, 4, 21),
    (0, 4, 16),
    (0, 5, 14),
    (0, 4, -10),
    (0, 6, 1.5),
    (0, 6, np.nan),
    (1, 0, -167),
    (1, 4, 1),
    (1, 7, -1.0),
    (2, 2, 89),
]


@pytest.mark.parametrize(("part", "column", "value"), WRONG)
def test_tallies_that_cannot_be_are_refused(part: int, column: int, value: float) -> None:
    wrong = PARTS.copy()
    wrong[part, column] = value
    with pytest.raises(ValueError, match="tallies"):
        require_tallies(wrong.tobytes(), 500, *WHOLE)


def test_tallies_of_another_window_are_refused() -> None:
    for parts in (PARTS[:2], PARTS[:0], np.vstack([PARTS, np.zeros((1, 8))])):
        with pytest.raises(ValueError, match="a window of 500 steps has"):
            require_tallies(parts.tobytes(), 500, *WHOLE)
