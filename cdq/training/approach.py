"""Way in which an environment is to be learnt, where its user says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cdq import features
from cdq.errors import ConfigError
from cdq.errors.checks import one_of, whole

_MOST_BINS = 1 << 20
_ALLOWED: Mapping[str, tuple[object, ...]] = {
    "stepping": ("auto", "python", "model"),
    "table": ("dense", "hash"),
    "masks": ("auto", True, False),
}


@dataclass(frozen=True)
class Approach:
    """Way in which an environment is to be learnt; see `cdq.QLearner`.

    Parameters
    ----------
    stepping : {"auto", "model", "python"}
        "model": learn from the transition table, whatever `step` does; "python": step the environment
        by its own `step`, even where there is a faster way.
    table : {"dense", "hash"}
        A row per state, or a row per state that was met.
    features : TileCoding, PolynomialBasis, FourierBasis or None
        Features of a linear Q-function.
    bins : int, sequence of int, or None
        Number of parts into which each number of an observation is cut; with table "hash", a row for
        each cell that was met.
    masks : {"auto", True, False}
        True: consider only the actions that an environment's mask allows.

    Raises
    ------
    ConfigError
        If one is not allowed.
    """

    stepping: str = "auto"
    table: str = "dense"
    features: Any = None
    bins: int | tuple[int, ...] | None = None
    masks: bool | str = "auto"

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            one_of(name, getattr(self, name), allowed)
        if isinstance(self.bins, (Sequence, np.ndarray)) and not isinstance(self.bins, str):
            object.__setattr__(self, "bins", tuple(whole("bins", n, 1, _MOST_BINS) for n in self.bins))
        elif self.bins is not None:
            object.__setattr__(self, "bins", whole("bins", self.bins, 1, _MOST_BINS))
        if self.features is not None and not isinstance(self.features, features.FeatureMap):
            raise ConfigError(
                f"features is {self.features!r}; allowed: cdq.TileCoding, cdq.PolynomialBasis or cdq.FourierBasis"
            )
        if self.features is not None and (self.bins is not None or self.table == "hash"):
            other = "bins" if self.bins is not None else "a hashed table"
            raise ConfigError(f"features and {other} exclude each other; choose one")

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that make it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to_config(self) -> dict[str, Any]:
        """Return what differs from the usual, as a JSON object."""
        told = {name: value for name, value in self.arguments().items() if value != _USUAL[name]}
        if self.features is not None:
            told["features"] = features.to_config(self.features)
        return told

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Approach:
        """Return the approach that `to_config` described; other entries of *config* are not its own."""
        told = {name: config[name] for name in _USUAL if name in config}
        if "features" in told:
            told["features"] = features.from_config(told["features"])
        return cls(**told)


_USUAL = Approach().arguments()
