from typing import Any

from cdq.core.rows import Law, Rows

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
