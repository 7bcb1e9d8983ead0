"""Types of the certifying kernels; the meaning of the arguments is in certify.pyx."""

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float64]
_Offsets = NDArray[np.int64]
_Index = NDArray[np.int32]

def certify(
    offsets: _Offsets,
    next_state: _Index,
    weight: _Float,
    reward: _Float,
    size: _Float,
    gamma: float,
    ahead: int,
    state_values: _Float,
    low: _Float,
    high: _Float,
) -> tuple[float, float]: ...
def action_values(
    offsets: _Offsets,
    next_state: _Index,
    weight: _Float,
    reward: _Float,
    size: _Float,
    gamma: float,
    ahead: int,
    state_values: _Float,
    values: _Float,
    error: _Float | None,
) -> float: ...
def climb(
    offsets: _Offsets,
    next_state: _Index,
    weight: _Float,
    reward: _Float,
    gamma: float,
    leader: _Index,
    values: _Float,
    backwards: bool,
) -> float: ...
