"""Types of the planning kernels; the meaning of the arguments is in plan.pyx."""

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float64]
_Offsets = NDArray[np.int64]
_Index = NDArray[np.int32]
_Flag = NDArray[np.uint8]

def fold(
    offsets: _Offsets, probability: _Float, outcome_reward: _Float, reward: _Float, noisy: _Flag
) -> bool: ...
def sizes(offsets: _Offsets, probability: _Float, outcome_reward: _Float, size: _Float) -> None: ...
def select(
    offsets: _Offsets,
    next_state: _Index,
    weight: _Float,
    reward: _Float,
    policy: _Index,
    chain_offsets: _Offsets,
    chain_next: _Index,
    chain_weight: _Float,
    chain_reward: _Float,
) -> None: ...
def improve(
    offsets: _Offsets,
    next_state: _Index,
    weight: _Float,
    reward: _Float,
    gamma: float,
    ahead: int,
    state_values: _Float,
    backed_up: _Float,
    policy: _Index,
    chain_offsets: _Offsets | None = None,
    chain_next: _Index | None = None,
    chain_weight: _Float | None = None,
    chain_reward: _Float | None = None,
) -> tuple[float, float, float]: ...
def evaluate(
    offsets: _Offsets,
    next_state: _Index,
    weight: _Float,
    reward: _Float,
    gamma: float,
    ahead: int,
    state_values: _Float,
    work: _Float,
    in_place: bool,
    sweeps: int,
    until: float,
) -> int: ...
def choose(
    values: _Float, below: _Float, above: _Float, tie: float, best: _Float, policy: _Offsets
) -> bool: ...
def onward(offsets: _Offsets, weight: _Float) -> tuple[float, float, int]: ...
def largest(values: _Float) -> float: ...
