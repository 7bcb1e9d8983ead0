from collections.abc import Callable, Sequence
from typing import Any

from cdq.core.envs.encode import Encoding
from cdq.core.loops.gym import Loop
from cdq.core.table.qfunction import QFunction

class EnvLoop(Loop):
    def __init__(
        self,
        q: QFunction,
        encoding: Encoding,
        lanes: Any,
        gamma: float,
        stop: Any,
        masks: str,
        failure: Callable[..., Exception],
        envs: Sequence[Any],
        seeds: Sequence[int],
        first_action: int,
    ) -> None: ...
