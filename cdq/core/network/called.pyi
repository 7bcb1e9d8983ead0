from typing import Any

from cdq.core.network.network import NetworkQ, Shape

class FlatShape(Shape):
    def __init__(
        self, inputs: int, tensors: tuple[tuple[str, int, tuple[int, ...]], ...], actions: int
    ) -> None: ...

class CalledQ(NetworkQ):
    def __init__(
        self,
        shape: FlatShape,
        model: Any,
        parameters: Any,
        first: Any,
        second: Any,
        updates: Any,
        n: int,
        *,
        rollout: int,
        minibatch: int,
        trace: float,
        reward_scale: float,
    ) -> None: ...
