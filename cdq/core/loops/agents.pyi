from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.core.envs.encode import Encoding
from cdq.core.lanes import Lanes
from cdq.core.loops.gym import Loop
from cdq.core.table.qfunction import QFunction

class AgentsLoop(Loop):
    n_agents: int
    def __init__(
        self,
        q: QFunction,
        lanes: Lanes,
        gamma: float,
        stop: npt.NDArray[np.int32],
        masks: str,
        failure: Callable[..., Exception],
        env: Any,
        seed: int | None,
        names: Sequence[str],
        encodings: Sequence[Encoding],
        first: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        widths: npt.NDArray[np.int64],
        first_actions: Sequence[int],
    ) -> None: ...
    def play(
        self, returns: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64], longest: int
    ) -> None: ...
