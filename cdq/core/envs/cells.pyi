from typing import Any

from cdq.core.linear.linear import Features
from cdq.core.table.hash import HashedRows, HashIndex, HashQ, KnownQ
from cdq.core.table.rows import Rows

class Cells:
    def __init__(self, features: Features, n: int, hashed: bool) -> None: ...
    def key_of(self, observation: Any) -> int | None: ...

class CellHashQ(HashQ):
    def __init__(self, rows: HashedRows, n: int, features: Features, hashed: bool) -> None: ...

class CellKnownQ(KnownQ):
    def __init__(self, rows: Rows, n: int, index: HashIndex, features: Features, hashed: bool) -> None: ...
