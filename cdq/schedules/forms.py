"""Forms of a schedule: what a user gives, its JSON object in files, and its text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from cdq.errors import ConfigError, unknown_name
from cdq.errors.checks import real, shown
from cdq.schedules.rates import (
    RATE,
    ClockLaw,
    Constant,
    ExponentialDecay,
    LinearDecay,
    Polynomial,
    Rate,
    RescaledLinear,
    StepSize,
    Tabulated,
    tabulated,
)

_KINDS: dict[str, type[Any]] = {
    "constant": Constant,
    "linear": LinearDecay,
    "exponential": ExponentialDecay,
    "rescaled-linear": RescaledLinear,
    "polynomial": Polynomial,
    "tabulated": Tabulated,
}
# Kinds that a text may name.
_WRITTEN = _KINDS.keys() - {"tabulated"}


def as_rate(value: float | str | Callable[[int], float] | Rate, what: str) -> Rate:
    """Return *value* as a rate: a number is a constant one, text is read (`parse`), a function is tabulated.

    Raises
    ------
    ConfigError
        If it is none of these; *what* names the argument.
    """
    known = _read(value, what) if isinstance(value, str) else value
    if isinstance(known, Real) and not isinstance(known, bool):
        return Constant(real(what, known, *RATE))
    if isinstance(known, Rate):
        return known
    if callable(known) and not isinstance(known, type):
        return tabulated(known, what)
    raise ConfigError(
        f"{what} is {shown(value)}; allowed: a number from 0 to 1, Constant, LinearDecay, ExponentialDecay, text such "
        "as 'linear(1.0, 0.05, 1e5)', or a function of the number of steps"
    )


def as_step_size(value: float | str | Callable[[int], float] | StepSize | None, gamma: float) -> StepSize:
    """Return *value* as a step size: as `as_law` does; None is the default for *gamma*."""
    if value is None:
        return RescaledLinear(gamma) if gamma < 1 else Polynomial(0.77)
    return as_law(value, "step_size")


def as_law(value: float | str | Callable[[int], float] | StepSize, what: str) -> StepSize:
    """Return *value* as a step size: as `as_rate` does, or a law by clock; *what* names the argument."""
    known = _read(value, what) if isinstance(value, str) else value
    if isinstance(known, ClockLaw):
        return known
    rate = as_rate(known, what)
    if not any(_ends(rate)):
        raise ConfigError(f"{what} is 0, with which nothing is learnt; allowed: above 0 and up to 1")
    return rate


def _read(text: str, what: str) -> Any:
    """Return the schedule that a text says; *what* names the argument where it says none."""
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{what} is {shown(text)}: {error}") from None


def _ends(rate: Rate) -> tuple[float, ...]:
    """Return rates between which all others are."""
    if isinstance(rate, Tabulated):
        return rate.rates
    return (rate.value,) if isinstance(rate, Constant) else (rate.first, rate.last)


def to_config(schedule: StepSize) -> dict[str, Any]:
    """Return *schedule* as a JSON object; `from_config` reads it back."""
    kind = next(name for name, cls in _KINDS.items() if type(schedule) is cls)
    return {"kind": kind, **dataclasses.asdict(schedule)}


def from_config(config: Mapping[str, Any]) -> Any:
    """Return the schedule that `to_config` described."""
    fields = dict(config)
    kind = fields.pop("kind", None)
    if kind not in _KINDS:
        raise ConfigError(unknown_name("schedule", kind, _KINDS))
    try:
        return _KINDS[kind](**fields)
    except TypeError as error:
        raise ConfigError(f"schedule {kind!r}: {error}") from None


def parse(text: str) -> Any:
    """Return the schedule that a text says: a number, or a kind and its numbers.

    Raises
    ------
    ConfigError
        If it says none.

    Examples
    --------
    >>> parse("0.1")
    Constant(value=0.1)
    >>> parse("linear(1.0, 0.05, 1e6)") == parse("linear:1:0.05:1e6")
    True
    """
    kind, *numbers = _parts(text)
    try:
        values = [float(number) for number in numbers or [kind]]
    except ValueError:
        values = []
    if values and not numbers:
        return Constant(*values)
    if kind not in _WRITTEN:
        raise ConfigError(unknown_name("schedule", kind, _WRITTEN))
    names = [field.name for field in dataclasses.fields(_KINDS[kind])]
    if len(values) != len(names):
        raise ConfigError(f"schedule {text!r}: write it as {':'.join([kind, *names])}")
    return _KINDS[kind](*values)


def _parts(text: str) -> list[str]:
    """Return a kind and its numbers, of the forms kind:number:number and kind(number, number)."""
    kind, bracket, inside = text.strip().partition("(")
    if not bracket:
        return text.strip().split(":")
    if ")" not in inside:
        raise ConfigError(
            f"a bracket is open in {shown(text)}; write it as {kind.rstrip()}(NUMBER, ...), in quotes"
        )
    return [kind.rstrip(), *inside.removesuffix(")").split(",")] if inside.endswith(")") else [text]
