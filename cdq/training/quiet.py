"""Schedules of rounds that are played without Python in between, as compiled code has them."""

from __future__ import annotations

import numpy as np

from cdq.core.rounds import Pace, Rates
from cdq.schedules import ClockLaw, Decay, ExponentialDecay, Rate, StepSize, Tabulated
from cdq.schedules.windows import LONGEST_AUTOMATIC, AutoWindow, Window

# Numbers of steps up to which those of compiled code are whole.
_MOST_STEPS = 2**53


def has_pace(exploration: Rate, step_size: StepSize) -> bool:
    """Return whether compiled code has these rates."""
    tables = [rate for rate in (exploration, step_size) if isinstance(rate, Tabulated)]
    return all(rate.steps[-1] <= _MOST_STEPS for rate in tables)


def pace_of(window: Window, exploration: Rate, step_size: StepSize, scale: float) -> Pace:
    """Return lengths of windows and rates as compiled code has them; every step size is multiplied by *scale*."""
    return pace_with(lengths_of(window), exploration, step_size, window.mass, scale)


def lengths_of(window: Window) -> tuple[float, float, float]:
    """Return the pooled mass that windows keep, 0 where they stay as they are, and their least and greatest lengths."""
    mass = window.mass if isinstance(window, AutoWindow) else 0.0
    return mass, float(window.floor), float(max(window.floor, LONGEST_AUTOMATIC))


def pace_with(
    lengths: tuple[float, float, float],
    exploration: Rate,
    step_size: StepSize,
    clock_mass: float,
    scale: float,
) -> Pace:
    """Return what `pace_of` does for a window of these `lengths_of`, of which a round may add so much to a clock."""
    own = None if isinstance(step_size, ClockLaw) else rates_of(step_size)
    return Pace(
        *lengths, exploration=rates_of(exploration), step_size=own, clock_mass=clock_mass, scale=scale
    )


def rates_of(rate: Rate) -> Rates:
    """Return a rate as compiled code has it."""
    if isinstance(rate, Tabulated):
        return Rates(np.array(rate.rates), np.array(rate.steps, np.int64))
    if isinstance(rate, Decay):
        bends = isinstance(rate, ExponentialDecay)
        return Rates(np.array([rate.first, rate.last]), decay=rate.steps, bends=bends)
    return Rates(np.array([rate.value]))
