"""Batches of observations, as vector environments give them, and as lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cdq.errors.checks import batch_of

if TYPE_CHECKING:
    import gymnasium


def split(space: gymnasium.Space[Any], given: Any) -> list[Any] | None:
    """Return the single observations of a batch of a space; None if it is none."""
    from gymnasium import spaces

    if isinstance(space, spaces.Tuple):
        if isinstance(given, list) and given and isinstance(given[0], (tuple, list)):
            return given
        parts = tuple(given) if isinstance(given, (tuple, list)) and len(given) == len(space.spaces) else ()
        columns = [split(part, one) for part, one in zip(space.spaces, parts, strict=False)]
        return list(zip(*_columns(columns), strict=True)) if _columns(columns) else None
    if isinstance(space, spaces.Dict):
        if isinstance(given, list):
            return given
        if not isinstance(given, Mapping) or not set(space.spaces) <= set(given):
            return None
        columns = [split(part, given[name]) for name, part in space.spaces.items()]
        rows = zip(*_columns(columns), strict=True) if _columns(columns) else None
        return None if rows is None else [dict(zip(space.spaces, row, strict=True)) for row in rows]
    return batch_of(given, len(space.shape or ()) + 1)


def _columns(columns: list[list[Any] | None]) -> list[list[Any]]:
    """Return the columns of a batch, of one length; none if it is no batch."""
    found = [column for column in columns if column is not None]
    return found if len(found) == len(columns) and len(set(map(len, found))) == 1 else []
