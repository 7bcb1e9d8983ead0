from typing import Any

def row_size(n_actions: int, real_size: int) -> int: ...

class Rows:
    data: Any
    log: Any
    touched: int
    pair_size: int
    def __init__(self, data: Any, log: Any, base: Any, clock: Any, n_actions: int, alone: bool = False) -> None: ...
    @staticmethod
    def of_values(values: Any) -> Rows: ...
    def roll_back(self) -> None: ...

class Law:
    real_size: int
    def __init__(self, bits: int, step_size: Any, log_keep: Any, slope: Any, allowance: Any) -> None: ...
