from typing import Any

from typing_extensions import Self

def row_size(n_actions: int, real_size: int) -> int: ...

class Rows:
    data: Any
    log: Any
    touched: int
    rule: int
    tables: int
    beta: float
    pair_size: int
    def __init__(self, data: Any, log: Any, base: Any, clock: Any, n_actions: int) -> None: ...
    @staticmethod
    def alone(data: Any, n_actions: int, real_size: int) -> Rows: ...
    @staticmethod
    def of_values(values: Any) -> Rows: ...
    def learn_by(self, rule: int, tables: int, beta: float = 0.0) -> None: ...
    def roll_back(self) -> None: ...
    def close_window(self, beyond: Any) -> None: ...

class RuleLanes:
    def __init__(self, rows: Rows, n: int) -> None: ...

class Law:
    real_size: int
    arrays: tuple[Any, Any, Any, Any]
    def __new__(cls, bits: int, step_size: Any, log_keep: Any, slope: Any, allowance: Any) -> Self: ...
