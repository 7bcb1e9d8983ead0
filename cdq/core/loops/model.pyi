from typing import Any

class Sampler:
    n_states: int
    n_actions: int
    real_size: int
    def __init__(
        self,
        n_states: int,
        n_actions: int,
        real_size: int,
        offsets: Any,
        next_state: Any,
        probability: Any,
        reward: Any,
        terminated: Any,
        start_state: Any,
        start_probability: Any,
        time_limit: int,
        actions: Any = None,
    ) -> None: ...
