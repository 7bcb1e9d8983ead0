"""Names of arguments: one that a call does not have is refused with the name that was meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from cdq.errors import UnknownArgument, unknown_name

P = ParamSpec("P")
R = TypeVar("R")


def named(method: Callable[P, R]) -> Callable[P, R]:
    """Let a method refuse an argument that it does not have by saying which was meant, as `UnknownArgument`.

    Examples
    --------
    >>> class Walker:
    ...     @named
    ...     def walk(self, steps): ...
    >>> Walker().walk(total_timesteps=3)
    Traceback (most recent call last):
    cdq.errors.UnknownArgument: unknown argument of walk 'total_timesteps'; known: steps. Did you mean 'steps'?
    """
    names = list(inspect.signature(method).parameters)[1:]
    call = method.__name__ if method.__name__ != "__init__" else method.__qualname__.split(".")[-2]

    @functools.wraps(method)
    def strict(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in names:
                raise UnknownArgument(unknown_name(f"argument of {call}", name, names))
        return method(*args, **kwargs)

    return strict
