"""Types of the arrays of models and solutions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
StateArray = NDArray[np.int32]  # states, which are counted in 32 bits
BoolArray = NDArray[np.bool_]
