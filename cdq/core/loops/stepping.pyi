from collections.abc import Callable
from typing import Any

from cdq.core.loops.windows import Windows
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Law

LANE_BYTES: int
MOST_UNIFORMS: int
MOST_MASKED: int

class Stepper(Windows):
    def __init__(
        self,
        q: QFunction,
        *,
        step: int,
        reset: int,
        encode: int,
        context: int,
        uniforms: int,
        time_limit: int,
        words: Any,
        elapsed: Any,
        returns: Any,
        own: Any,
        gamma: float,
        stop: Any,
        failure: Callable[[str, int, int], Exception],
        masked: bool = False,
        agents: int = 1,
        first: Any = None,
        n_own: int = 0,
        allowed_of: Any = None,
    ) -> None: ...
    def reset(self) -> None: ...
    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Any = None
    ) -> tuple[bool, int, int, float]: ...
    def check(self) -> None: ...
    def follow(self, returns: Any, lengths: Any) -> int: ...
