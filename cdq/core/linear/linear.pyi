from typing import Any

from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Rows

MOST_INPUTS: int

class Features:
    width: int
    n_features: int
    tiles: bool
    n_active: int
    step_scale: float
    fingerprint: str
    def __init__(
        self,
        n_features: int,
        low: Any,
        high: Any,
        scale: Any,
        offset: Any = None,
        stride: Any = None,
        norm: Any = None,
        *,
        order: int = 0,
        hashed: bool = False,
        step_scale: float,
        fingerprint: str,
    ) -> None: ...
    def action_values(self, weights: Rows, observations: Any, values: Any) -> int: ...

class LinearQ(QFunction):
    features: Features
    def __init__(self, rows: Rows, n: int, features: Features) -> None: ...
