from typing import Any

from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Law

class Probe:
    q: QFunction
    room: int
    diverged: bool
    def __init__(self, q: QFunction) -> None: ...
    def locate(
        self, observations: Any, successor: bool = False, first: int = 0, count: int | None = None
    ) -> int: ...
    def choose(self, threshold: int, bits: Any, masks: Any, actions: Any) -> None: ...
    def greedy(self, masks: Any, actions: Any) -> None: ...
    def learn(
        self,
        law: Law,
        gamma: Any,
        actions: Any,
        rewards: Any,
        terminated: Any,
        masks: Any = None,
        active: Any = None,
    ) -> None: ...
    def begin(self, lane: int) -> None: ...
    def end(self, lane: int) -> None: ...
    def advance(self) -> None: ...
