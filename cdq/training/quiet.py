"""Schedules of rounds that are played without Python in between, as compiled code has them."""

from __future__ import annotations

from typing import Any

from cdq.core.rounds import Pace
from cdq.schedules import Constant, Decay, ExponentialDecay, LinearDecay, Rate, StepSize
from cdq.schedules.windows import LONGEST_AUTOMATIC, AutoWindow, Window

# Numbers of rounds.pyx.
_KINDS: dict[type, int] = {Constant: 0, LinearDecay: 1, ExponentialDecay: 2}


def has_pace(exploration: Rate, step_size: StepSize) -> bool:
    """Return whether compiled code has these exploration rates, and a law of step sizes that stays the same."""
    return type(exploration) in _KINDS and not isinstance(step_size, Decay)


def pace_of(window: Window, exploration: Rate) -> Pace:
    """Return lengths of windows and exploration rates as compiled code has them."""
    return Pace(**pace_figures(window, exploration))


def pace_figures(window: Window, exploration: Rate) -> dict[str, Any]:
    """Return lengths of windows and exploration rates as the arguments of `Pace`."""
    is_auto = isinstance(window, AutoWindow)
    if isinstance(exploration, (LinearDecay, ExponentialDecay)):
        rates = {"first": exploration.first, "last": exploration.last, "decay": exploration.steps}
    else:
        rates = {"first": exploration.at(0), "last": 0.0, "decay": 1.0}
    return {
        "mass": window.mass if is_auto else 0.0,
        "floor": float(window.floor),
        "longest": float(max(window.floor, LONGEST_AUTOMATIC)),
        "kind": _KINDS[type(exploration)],
        **rates,
    }
