from collections.abc import Callable, Sequence
from typing import Any

from cdq.core.envs.encode import Encoding
from cdq.core.loops.gym import Loop
from cdq.core.table.qfunction import QFunction

MODES: dict[str, int]

class VectorLoop(Loop):
    def __init__(
        self,
        q: QFunction,
        encoding: Encoding,
        lanes: Any,
        gamma: float,
        stop: Any,
        masks: str,
        failure: Callable[..., Exception],
        envs: Any,
        seeds: Sequence[int],
        mode: str,
        first_reset: Callable[[Sequence[int]], tuple[Any, Any]],
        first_action: int,
        dtype: Any,
    ) -> None: ...
