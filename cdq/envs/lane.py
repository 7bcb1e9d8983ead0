"""The struct of a compiled environment, for NumPy and Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from cdq.core.loops.stepping import LANE_BYTES


def lane_dtype() -> np.dtype[Any]:
    """Return the struct that a compiled environment steps, as a structured dtype; core/lane.h describes the fields.

    Examples
    --------
    >>> lane_dtype()["uniform"].shape, lane_dtype().itemsize
    ((4,), 232)
    """
    fields = {
        "state": ("f8", (8,), 0),
        "integer": ("i8", (8,), 0),
        "uniform": ("f8", (4,), 64),
        "context": ("u8", (), 96),
        "action": ("i8", (), 104),
        "reward": ("f8", (), 112),
        "index": ("i8", (), 120),
        "observation": ("f8", (8,), 128),
        "terminated": ("u1", (), 192),
        "truncated": ("u1", (), 193),
        "seat": ("u1", (), 194),
        "discount": ("f8", (), 200),
        "successor": ("i8", (), 208),
        "allowed": ("u8", (), 216),
        "memory": ("u8", (), 224),
    }
    return np.dtype(
        {
            "names": list(fields),
            "formats": [(kind, shape) if shape else kind for kind, shape, _ in fields.values()],
            "offsets": [offset for *_, offset in fields.values()],
            "itemsize": LANE_BYTES,
        },
        align=True,
    )
