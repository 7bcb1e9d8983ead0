from collections.abc import Callable
from typing import Any

from cdq.core.table.qfunction import QFunction, TableQ

KINDS: dict[str, int]

class Tasks:
    kind: int
    n_actions: int
    n_tasks: int
    parts: int
    paid: int
    most: float
    columns: int
    weights: Any
    function: Callable[..., Any] | None
    def __init__(
        self,
        kind: str,
        n_actions: int,
        n_tasks: int,
        *,
        owner: Any = None,
        weights: Any = None,
        function: Callable[..., Any] | None = None,
        most: float = ...,
        paid: int = 1,
    ) -> None: ...

class WideQ(QFunction):
    tasks: Tasks
    error: Exception | None
    def __init__(self, inner: TableQ, tasks: Tasks, episodes: Any, first: int = 0) -> None: ...

def signals_of(
    function: Callable[..., Any],
    states: Any,
    actions: Any,
    rewards: Any,
    next_states: Any,
    width: int,
    most: float,
) -> Any: ...
