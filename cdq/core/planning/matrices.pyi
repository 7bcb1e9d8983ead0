from typing import Any

def no_counts(n_pairs: int) -> bytes: ...
def count_rows(
    starts: Any,
    columns: Any,
    data: Any,
    first: int,
    step: int,
    n_columns: int,
    least: float,
    offsets_memory: bytes,
) -> int: ...
def begin_rows(offsets_memory: bytes) -> tuple[bytes, bytes]: ...
def place_rows(
    starts: Any,
    columns: Any,
    data: Any,
    first: int,
    step: int,
    offsets_memory: bytes,
    next_state: bytes,
    probability: bytes,
) -> None: ...
def look_up_rows(
    starts: Any,
    columns: Any,
    data: Any,
    first: int,
    step: int,
    offsets: Any,
    next_state: Any,
    found: bytes,
) -> None: ...
def look_up_entries(
    matrix: Any, first: int, step: int, offsets: Any, next_state: Any, found: bytes
) -> None: ...
def spread(per_pair: Any, offsets: Any) -> bytes: ...
