from typing import Any

from cdq.core.table.qfunction import QFunction

MOST_HIDDEN: int
LARGEST_HIDDEN: int
KERNELS: str

class Shape:
    inputs: int
    hidden: tuple[int, ...]
    actions: int
    size: int
    tensors: tuple[tuple[str, int, tuple[int, ...]], ...]
    def __init__(self, inputs: int, hidden: tuple[int, ...], actions: int) -> None: ...

class NetworkQ(QFunction):
    shape: Shape
    recorded: int
    def __init__(
        self,
        shape: Shape,
        parameters: Any,
        first: Any,
        second: Any,
        updates: Any,
        n: int,
        *,
        low: Any,
        scale: Any,
        rollout: int,
        minibatch: int,
        trace: float,
        reward_scale: float,
    ) -> None: ...
    def targets(self) -> int: ...
    def forget(self) -> None: ...
    def shuffle(self) -> None: ...
    def minibatches(self) -> int: ...
    def gradient(self, i: int, into: Any) -> None: ...
    def apply(self, gradients: list[Any], step_size: float) -> None: ...
    def action_values(self, observations: Any, values: Any) -> int: ...
