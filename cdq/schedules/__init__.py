"""Step sizes, exploration rates and lengths of windows: functions of the steps taken, of clocks, of what was merged.

- `federation`: Differences between workers: schedules of their own, and rounds of which some of them are no part.
- `forms`: Forms of a schedule: what a user gives, its JSON object in files, and its text.
- `laws`: Laws of step sizes as the kernels read them: tables by count, with the logarithms of what visits leave.
- `rates`: Rates and step sizes: functions of the environment steps taken, or of a pair's clock.
- `windows`: Lengths of windows: fixed, or chosen after each round from merged data.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cdq.schedules.federation import (
    POLICY,
    Federation,
    Part,
    as_per_worker,
    per_worker_from_config,
    per_worker_to_config,
)
from cdq.schedules.forms import as_rate, as_step_size, from_config, parse, to_config
from cdq.schedules.rates import (
    ClockLaw,
    Constant,
    Decay,
    ExponentialDecay,
    LinearDecay,
    Polynomial,
    Rate,
    RescaledLinear,
    StepSize,
    Tabulated,
)

if TYPE_CHECKING:
    from cdq.schedules.laws import LAW_BITS, build_law, log_keep

_OF_LAWS = ("LAW_BITS", "build_law", "log_keep")  # on first use: they take NumPy with them

__all__ = [
    "LAW_BITS",
    "POLICY",
    "ClockLaw",
    "Constant",
    "Decay",
    "ExponentialDecay",
    "Federation",
    "LinearDecay",
    "Part",
    "Polynomial",
    "Rate",
    "RescaledLinear",
    "StepSize",
    "Tabulated",
    "as_per_worker",
    "as_rate",
    "as_step_size",
    "build_law",
    "from_config",
    "log_keep",
    "parse",
    "per_worker_from_config",
    "per_worker_to_config",
    "to_config",
]


def __getattr__(name: str) -> Any:
    if name in _OF_LAWS:
        return getattr(importlib.import_module("cdq.schedules.laws"), name)
    raise AttributeError(f"module 'cdq.schedules' has no attribute {name!r}")
