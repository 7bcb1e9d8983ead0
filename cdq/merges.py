"""Merge rules, by which the workers' contributions and the base become the next table."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeAlias

from cdq.core.merge import merge as _core
from cdq.errors import ConfigError, TableError, unknown_name
from cdq.errors.checks import shown

if TYPE_CHECKING:  # help of a command lists the rules, without NumPy
    import numpy as np
    import numpy.typing as npt

    Values: TypeAlias = npt.NDArray[np.floating[Any]]
    Counts: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

NAMES: tuple[str, ...] = tuple(sorted(_core.RULES))
# Rules by which networks become one: the mean of the gradients of every minibatch, or of what a window has learnt.
GRADIENT, MEAN = "gradient", "mean"
OF_NETWORKS = (GRADIENT, MEAN)
# Rules that read the step sizes that visits spent, off the clocks.
READ_STEP_SIZES = frozenset({"pooled", "importance", "affine"})


class MergeRule(ABC):
    """A merge rule of your own: one vectorised function.

    Pairs that nobody visited keep the base whatever the function returns.

    Examples
    --------
    >>> class Smallest(MergeRule):
    ...     def combine(self, base, values, visits, clock, log_keep):
    ...         return values.min(axis=0)
    """

    @abstractmethod
    def combine(
        self, base: Values, values: Values, visits: Counts, clock: Counts, log_keep: Values
    ) -> npt.ArrayLike:
        """Return the merged values of *n* pairs.

        Parameters
        ----------
        base : (n,) array
            The values of the last merge, of the table's dtype.
        values : (workers, n) array
            Values of each worker, in rank order; the base where a worker did not visit the pair.
        visits : (workers, n) array of uint32
            Visits in this window.
        clock : (n,) array of uint32
            The counts that the step-size law read when the window started.
        log_keep : (workers, n) array
            Sum over a worker's visits of ln(1 - step size): exp of it is the weight it left on the base.

        Returns
        -------
        array-like, (n,)
            MergedTable values: finite, and the same on every worker, so no randomness.
        """


@dataclass(frozen=True)
class Personal:
    """Merging in which every worker keeps a table of its own beside the common one.

    A worker acts by ``lambda Q + (1 - lambda) own`` with ``lambda = prior / (prior + N)``, where Q is the common table,
    merged by "pooled", and N counts the worker's own visits of the pair: by what all have learnt where it has been
    little, and by its own experience where it has been often. A transition teaches both tables.

    Parameters
    ----------
    prior : float
        Visits that the common table counts for, at least 0. 0: each worker learns by itself. Infinite: all act by the
        common table. The best is the variance of an estimate of a value by one visit over that of the value among the
        workers' environments.
    memory : float
        Visits that count at most, above 0: where environments change, finite, so that what the others learn arrives.

    Raises
    ------
    ConfigError
        If an argument is not allowed.

    Notes
    -----
    The weight is that of James and Stein (1961) for an estimate between a mean of many and one's own.

    Examples
    --------
    >>> from cdq import MDP, Personal, QLearner
    >>> robots = [MDP.garnet(10, 3, branching=2, seed=seed) for seed in range(3)]
    >>> agent = QLearner(robots, merge=Personal(prior=100), seed=0).learn(30_000)
    >>> sorted(agent.tables, key=str)
    [0, 1, 2, 'fleet']
    """

    prior: float = 100.0
    memory: float = math.inf

    def __post_init__(self) -> None:
        for name, least in (("prior", "at least 0"), ("memory", "above 0")):
            value = getattr(self, name)
            number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
            if not (number > 0 or (number == 0 and name == "prior")):
                raise ConfigError(f"{name} is {shown(value)}; allowed: a number of {least}, or infinity")
            object.__setattr__(self, name, number)

    def to_config(self) -> dict[str, Any]:
        """Return the rule as a JSON object; infinity is None there."""
        told = {name: None if math.isinf(value) else value for name, value in asdict(self).items()}
        return {"kind": "Personal", **told}

    @classmethod
    def from_config(cls, config: Any) -> Personal:
        """Return the rule that `to_config` described."""
        told = {name: math.inf if value is None else value for name, value in dict(config).items()}
        if told.pop("kind") != "Personal":
            raise ValueError(f"{config!r} is no merge rule")
        return cls(**told)


def resolve(merge: str | MergeRule | Personal) -> str | Callable[..., None]:
    """Return what the merge kernels take for *merge*: a known name, or a function on raw blocks.

    Raises
    ------
    ConfigError
        If it is neither the name of a rule nor a `MergeRule`.
    """
    if isinstance(merge, MergeRule):
        _check_signature(merge)
        return _on_blocks(merge)
    if isinstance(merge, Personal):
        return "pooled"
    if isinstance(merge, str) and (merge in _core.RULES or merge in OF_NETWORKS):
        return merge
    if isinstance(merge, type) and issubclass(merge, MergeRule):
        raise ConfigError(f"merge is the class {merge.__name__}; give an instance: merge={merge.__name__}()")
    if callable(merge) or hasattr(merge, "combine"):
        name = getattr(merge, "__name__", type(merge).__name__)
        raise ConfigError(
            f"merge is {name}, which is no merge rule; allowed: {', '.join(NAMES)}, or an instance of a class of "
            f"yours that is derived from cdq.MergeRule and has a method combine{_signature()}"
        )
    raise ConfigError(unknown_name("merge", merge, (*NAMES, GRADIENT)))


def _signature() -> str:
    return f"({', '.join(inspect.signature(MergeRule.combine).parameters)})"


def _check_signature(rule: MergeRule) -> None:
    """Raise unless a rule can be called as the kernels call it."""
    try:
        inspect.signature(rule.combine).bind(*[None] * 5)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"combine of merge rule {type(rule).__name__} does not take what it is given ({error}); it must be "
            f"combine{_signature()}"
        ) from None
    if inspect.iscoroutinefunction(rule.combine) or inspect.isgeneratorfunction(rule.combine):
        raise ConfigError(
            f"combine of merge rule {type(rule).__name__} is a generator or coroutine; let it return"
        )


def _on_blocks(rule: MergeRule) -> Callable[..., None]:
    import numpy as np

    def combine(workers: int, n: int, *raw: memoryview) -> None:
        base, values, visits, clock, log_keep, merged = raw
        real = np.dtype("f4" if len(base) == 4 * n else "f8")
        result = rule.combine(
            np.frombuffer(base, real),
            np.frombuffer(values, real).reshape(workers, -1)[:, :n],
            np.frombuffer(visits, np.uint32).reshape(workers, -1)[:, :n],
            np.frombuffer(clock, np.uint32),
            np.frombuffer(log_keep, real).reshape(workers, -1)[:, :n],
        )
        try:
            result = np.asarray(result, real)
        except (TypeError, ValueError) as error:
            raise TableError(
                f"merge rule {type(rule).__name__} returned no array of numbers: {error}"
            ) from None
        if result.shape != (n,) or not np.isfinite(result).all():
            raise TableError(
                f"merge rule {type(rule).__name__} returned shape {result.shape} "
                f"with {int((~np.isfinite(result)).sum())} values not finite; it must return {n} finite values"
            )
        np.frombuffer(merged, real)[:] = result

    return combine
