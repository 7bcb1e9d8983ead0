"""Checks of what users give."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cdq.errors import ConfigError


def whole(what: str, value: Any, least: int, most: float = math.inf) -> int:
    """Return *value* as an int, if it is a whole number from *least* to *most*."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value != int(value) or not least <= value <= most:
        upper = f" and at most {most:,}" if most < math.inf else ""
        raise ConfigError(f"{what} is {value!r}; allowed: a whole number of at least {least}{upper}")
    return int(value)


def one_of(what: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise unless *value* is one of those *allowed*; 1 is not True."""
    if not any(value is one or (isinstance(one, str) and value == one) for one in allowed):
        raise ConfigError(f"{what} is {value!r}; allowed: {' or '.join(map(repr, allowed))}")
