from typing import Any

OFFSETS: int
MISSING: int
MASKED: int
ELEMENT: int
SUM: int

def copied(data: Any) -> bytes: ...
def count(
    state: Any,
    action: Any,
    next_state: Any,
    probability: Any,
    reward: Any,
    n_states: int,
    n_actions: int,
    least: float,
) -> tuple[int, bool, bytes]: ...
def place(
    state: Any,
    action: Any,
    next_state: Any,
    probability: Any,
    reward: Any,
    terminated: Any,
    n_actions: int,
    offsets_memory: bytes,
) -> tuple[bytes, bytes, bytes, bytes]: ...
def tidy(
    offsets_memory: bytes,
    next_state: bytes,
    probability: bytes,
    reward: bytes | None = None,
    terminated: bytes | None = None,
) -> None: ...
def scale_rows(
    offsets_memory: bytes, probability: bytes, limit: float, of_entry: float
) -> tuple[int, float]: ...
def fault(
    offsets: Any,
    next_state: Any,
    probability: Any,
    reward: Any,
    n_states: int,
    actions: Any,
    tolerance: float,
) -> tuple[int, int]: ...
