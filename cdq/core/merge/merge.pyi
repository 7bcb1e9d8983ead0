from collections.abc import Callable, Sequence
from typing import Any

from cdq.core.table.rows import Law, Rows

KERNELS: str
RULES: dict[str, int]

def slice_bounds(rows: Rows, rank: int, size: int) -> tuple[int, int]: ...
def most_merged_bytes(n_states: int, n_actions: int, real_size: int, size: int) -> int: ...
def merge_tables(
    tables: Sequence[Rows],
    rank: int,
    rule: str | Callable[..., None],
    law: Law,
    needs_mass: bool,
    out: bytearray | memoryview,
    laws: Sequence[Law | None] | None = None,
) -> int: ...
def most_packed_bytes(rows: Rows, of: int) -> tuple[int, int]: ...
def pack(
    rows: Rows, pairs: Any, first: int, last: int, before: bytes = ..., out: Any = None
) -> bytearray | memoryview: ...
def merge_slices(
    rows: Rows,
    parts: Sequence[Any],
    first: int,
    last: int,
    rule: str | Callable[..., None],
    law: Law,
    needs_mass: bool,
    out: bytearray | memoryview,
    laws: Sequence[Law | None] | None = None,
) -> int: ...
def commit(
    rows: Rows, merged: Sequence[Any], visits: Any, handed: Rows | None = None, law: Law | None = None
) -> tuple[int, int]: ...
def commit_alone(rows: Rows, visits: Any) -> None: ...
def commit_aside(rows: Rows, merged: int, visits: Any) -> None: ...
