from typing import Any

CELLS: int

def group(
    tallies: list[Any], counts: Any, ends: Any, figures: Any, steps: Any, of: Any, starts: Any
) -> int: ...
def fill_moments(records: list[Any], rows: Any, before: Any) -> None: ...
def fill_rows(
    rows: Any,
    before: Any,
    own: Any,
    starts: Any,
    workers: Any,
    pairs: Any,
    figures: Any,
    steps: Any,
    of: Any,
    steps_per_pair: int,
    most_rows: int,
) -> None: ...
def thin(rows: Any, kept: Any) -> int: ...
