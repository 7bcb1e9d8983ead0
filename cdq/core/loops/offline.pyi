from typing import Any

from cdq.core.envs.encode import Encoding
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Law, Rows

def learn_log(
    rows: Rows,
    law: Law,
    gamma: float,
    states: Any,
    actions: Any,
    rewards: Any,
    next_states: Any,
    terminated: Any,
    first: int,
    last: int,
    stop: Any,
) -> int: ...

class Replay:
    def __init__(
        self,
        q: QFunction,
        states: Any,
        actions: Any,
        rewards: Any,
        next_states: Any,
        terminated: Any,
        masks: Any = None,
    ) -> None: ...
    def learn(
        self, law: Law, gamma: float, explored: float, turn_number: int, first: int, last: int, stop: Any
    ) -> int: ...

def encode_batch(encoding: Encoding, observations: Any, skipped: Any, out: Any, masks: Any) -> int: ...
