from typing import Any

from typing_extensions import Self

from cdq.core.loops.model import Sampler
from cdq.core.loops.windows import Windows
from cdq.core.table.rows import Law, Rows

class Rollout(Windows):
    def __new__(
        cls,
        rows: Rows,
        sampler: Sampler,
        gamma: float,
        words: Any,
        state: Any,
        elapsed: Any,
        returns: Any,
        scratch: Any,
        stop: Any,
    ) -> Self: ...
    def reset(self) -> None: ...
    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Any = None
    ) -> tuple[bool, int, int, float]: ...

def follow(
    sampler: Sampler, policy: Any, words: Any, longest: int, returns: Any, lengths: Any, stop: Any
) -> int: ...
