from typing import Any

from cdq.core.loops.model import Sampler
from cdq.core.loops.windows import Windows
from cdq.core.table.rows import Law
from cdq.core.table.wide import WideQ

class WideRollout(Windows):
    def __init__(
        self, q: WideQ, sampler: Sampler, signals: Any, lanes: Any, gamma: float, stop: Any
    ) -> None: ...
    def reset(self) -> None: ...
    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Any = None
    ) -> tuple[bool, int, int, float]: ...
