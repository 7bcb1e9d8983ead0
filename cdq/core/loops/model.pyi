from typing import Any

from typing_extensions import Self

class Sampler:
    n_states: int
    n_actions: int
    n_outcomes: int
    real_size: int
    def __new__(
        cls,
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
    ) -> Self: ...
