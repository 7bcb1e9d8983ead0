"""Types of the graph kernels; the meaning of the arguments is in graph.pyx."""

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float64]
_Offsets = NDArray[np.int64]
_Index = NDArray[np.int32]
_Flag = NDArray[np.uint8]

def visit(
    offsets: _Offsets, next_state: _Index, goes_on: _Flag, n_actions: int, seen: _Flag, queue: _Index
) -> None: ...
def spread(
    offsets: _Offsets,
    next_state: _Index,
    weight: _Float,
    n_actions: int,
    marked: _Flag,
    first: _Offsets,
    sources: _Index,
    queue: _Index,
) -> None: ...
def rest(
    offsets: _Offsets, next_state: _Index, weight: _Float, quiet: _Flag, resting: _Flag, policy: _Index
) -> None: ...
def ending(
    offsets: _Offsets,
    next_state: _Index,
    weight: _Float,
    ends: _Flag,
    resting: _Flag,
    within: _Flag,
    reached: _Flag,
    policy: _Index,
) -> None: ...
def components(
    first: _Offsets, next_state: _Index, counts: _Flag, component: _Index, scratch: _Offsets
) -> int: ...
