from collections.abc import Callable
from typing import Any

from cdq.core.envs.encode import Encoding
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Law

MASKING: dict[str, int]

class Loop:
    n: int
    def __init__(
        self,
        q: QFunction,
        encoding: Encoding,
        lanes: Any,
        gamma: float,
        stop: Any,
        masks: str,
        failure: Callable[..., Exception],
    ) -> None: ...
    def reset(self) -> None: ...
    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Any = None
    ) -> tuple[bool, int, int, float]: ...
    def follow(self, returns: Any, lengths: Any, longest: int) -> int: ...
