"""The merge rules twice: as their formulas in decimal arithmetic, and in the kernel's order of operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np

from tests.reference.schedules import LIMIT, Law

RULES = ("pooled", "mean", "visits", "importance", "affine", "sum", "max")
SOLE_VISITOR_COUNTS = ("pooled", "visits", "affine", "sum")  # the others weigh workers that did not come, too


def formula(rule: str, base: float, values: Sequence[float], visits: Sequence[int], log_keep: Any) -> float:
    """Return the merged value of one pair as the formula says, to 50 digits; *log_keep* holds ln a_k."""
    if sum(visits) == 0:
        return base
    with localcontext() as context:
        context.prec = 50
        context.Emin, context.Emax = -(10**12), 10**12
        numbers = [Decimal(float(value)) for value in values]
        logs = [Decimal(float(value)) for value in log_keep]
        return float(_FORMULAS[rule](Decimal(float(base)), numbers, [Decimal(n) for n in visits], logs))


def _pooled(base: Decimal, values: Any, visits: Any, logs: Any) -> Decimal:
    came = [k for k, n in enumerate(visits) if n]
    keep = sum(logs).exp()
    merged = keep * base
    for k in came:
        own = logs[k].exp()
        target = (values[k] - own * base) / (1 - own)
        merged += (1 - keep) * logs[k] / sum(logs) * target
    return merged


def _importance(base: Decimal, values: Any, visits: Any, logs: Any) -> Decimal:
    weights = [(-log).exp() for log in logs]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def _affine(base: Decimal, values: Any, visits: Any, logs: Any) -> Decimal:
    merged = base
    for value, log in zip(values, logs, strict=True):
        merged = log.exp() * merged + (value - log.exp() * base)
    return merged


_FORMULAS: dict[str, Any] = {
    "pooled": _pooled,
    "mean": lambda base, values, visits, logs: sum(values) / len(values),
    "visits": lambda base, values, visits, logs: (
        sum(n * v for n, v in zip(visits, values, strict=True)) / sum(visits)
    ),
    "importance": _importance,
    "affine": _affine,
    "sum": lambda base, values, visits, logs: base + sum(v - base for v in values),
    "max": lambda base, values, visits, logs: max(values),
}


# ---- in the kernel's order


def phi(x: Any) -> Any:
    """Return (1 - e^x) / -x of an array: Taylor at x / 64, then six doublings; -1 / x below -45."""
    real, degree = x.dtype.type, 8 if x.dtype == np.float32 else 14
    y = np.maximum(x, real(-45)) * real(1 / 64)
    series = np.full_like(y, real(1 / math.factorial(degree + 1)))
    for n in range(degree, 0, -1):
        series = series * y + real(1 / math.factorial(n))
    keep = real(1) + y * series
    for _ in range(6):
        series = series * ((real(1) + keep) * real(0.5))
        keep = keep * keep
    with np.errstate(all="ignore"):
        return np.where(x < -45, real(-1) / x, series)


class MergedTable(NamedTuple):
    values: Any
    total: Any
    gain: Any
    mass: int  # in units of 2^-20


def merge(
    rule: str, base: Any, values: Any, visits: Any, clock: Any, law: Law, laws: Sequence[Law] = ()
) -> MergedTable:
    """Merge flat tables: base and clock (n,), values and visits (workers, n); *laws* are the workers' own."""
    log_keep = log_keeps(visits, clock, laws or [law] * len(visits))
    total, largest = visits.sum(axis=0, dtype=np.uint32), visits.max(axis=0)
    with np.errstate(all="ignore"):
        merged = _RULES[rule](base, values, visits, log_keep.astype(base.dtype))
    if rule in SOLE_VISITOR_COUNTS:
        for k in range(len(values)):
            merged = np.where(visits[k] == total, values[k], merged)
    allowed = np.array([law.allowance(int(count)) for count in clock], np.int64)
    gain = np.maximum(largest, np.minimum(total, allowed))
    mass = np.zeros(len(base))
    for own in log_keep:
        mass = mass - own
    units = sum(int(n) * int(min(m, 45.0) * 2**20) for n, m in zip(total, mass, strict=True))
    return MergedTable(np.where(total > 0, merged, base), total, gain, units)


def log_keeps(visits: Any, clock: Any, laws: Sequence[Law]) -> Any:
    """Return ln a_k per worker and pair, in float64."""
    before = [[law.log_keep(int(c)) for c in clock] for law in laws]
    after = [
        [law.log_keep(int(c) + int(n)) for c, n in zip(clock, own, strict=True)]
        for law, own in zip(laws, visits, strict=True)
    ]
    return np.array(after).reshape(visits.shape) - np.array(before).reshape(visits.shape)


def clock_after(clock: Any, gain: Any) -> Any:
    return np.minimum(clock.astype(np.int64) + gain, LIMIT).astype(np.uint32)


def _k_pooled(base: Any, values: Any, visits: Any, logs: Any) -> Any:
    mass, merged = np.zeros_like(base), np.zeros_like(base)
    for value, log in zip(values, logs, strict=True):
        mass = mass + log
        merged = merged + (value - base) / phi(log)
    return base + phi(mass) * merged


def _k_mean(base: Any, values: Any, visits: Any, logs: Any) -> Any:
    merged = np.zeros_like(base)
    for value in values:
        merged = merged + value
    return merged / base.dtype.type(len(values))


def _k_visits(base: Any, values: Any, visits: Any, logs: Any) -> Any:
    merged = np.zeros_like(base)
    for value, n in zip(values, visits, strict=True):
        merged = merged + n.astype(base.dtype) * value
    return merged / visits.sum(axis=0).astype(base.dtype)


def _k_importance(base: Any, values: Any, visits: Any, logs: Any) -> Any:
    merged, weights = np.zeros_like(base), np.zeros_like(base)
    least = np.minimum(logs.min(axis=0), 0)
    for value, log in zip(values, logs, strict=True):
        weight = base.dtype.type(1) + (least - log) * phi(least - log)
        weights = weights + weight
        merged = merged + weight * value
    return merged / weights


def _k_affine(base: Any, values: Any, visits: Any, logs: Any) -> Any:
    merged = base
    for value, log in zip(values, logs, strict=True):
        keep = base.dtype.type(1) + log * phi(log)
        merged = keep * merged + (value - keep * base)
    return merged


def _k_sum(base: Any, values: Any, visits: Any, logs: Any) -> Any:
    merged = np.zeros_like(base)
    for value in values:
        merged = merged + (value - base)
    return base + merged


_RULES: dict[str, Any] = {
    "pooled": _k_pooled,
    "mean": _k_mean,
    "visits": _k_visits,
    "importance": _k_importance,
    "affine": _k_affine,
    "sum": _k_sum,
    "max": lambda base, values, visits, logs: values.max(axis=0),
}


def phi_error(x: float, value: float) -> float:
    """Return the relative error of *value* as phi(x)."""
    exact = 1.0 if x == 0 else -math.expm1(x) / -x
    return abs(value / exact - 1)
