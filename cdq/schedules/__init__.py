"""Step sizes and exploration rates: functions of the environment steps taken, or of a pair's clock.

- `forms`: Forms of a schedule: what a user gives, its JSON object in files, and its text.
- `laws`: Laws of step sizes as the kernels read them: tables by count, with the logarithms of what visits leave.
- `rates`: Rates and step sizes: functions of the environment steps taken, or of a pair's clock.
"""

from cdq.schedules.forms import as_rate, as_step_size, from_config, parse, to_config
from cdq.schedules.laws import LAW_BITS, build_law, log_keep
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

__all__ = [
    "LAW_BITS",
    "ClockLaw",
    "Constant",
    "Decay",
    "ExponentialDecay",
    "LinearDecay",
    "Polynomial",
    "Rate",
    "RescaledLinear",
    "StepSize",
    "Tabulated",
    "as_rate",
    "as_step_size",
    "build_law",
    "from_config",
    "log_keep",
    "parse",
    "to_config",
]
