"""Exclusion of calls of a learner: during one call, any other is refused at once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from cdq.errors import LearnerBusy


class Turn:
    """The right to work with a learner, which one call at a time has.

    Examples
    --------
    >>> turn = Turn()
    >>> try:
    ...     with turn.taken("learn"), turn.taken("save"):
    ...         pass
    ... except LearnerBusy:
    ...     print("one thing at a time")
    one thing at a time
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder = ""

    @contextmanager
    def taken(self, call: str) -> Iterator[None]:
        """Have the right while the context lasts.

        Raises
        ------
        LearnerBusy
            If another call has it, in this thread or another one.
        """
        if not self._lock.acquire(blocking=False):
            raise LearnerBusy(
                f"{call} was called in the course of {self._holder}, of the same learner, which does one thing at a "
                "time. Call it once the other has returned (a signal handler: set a flag, and call it then; files in "
                "the course of learning: checkpoint=), or use a second learner, as copy.deepcopy makes one"
            )
        self._holder = call
        try:
            yield
        finally:
            self._lock.release()


_played: set[int] = set()  # ids of the environments that are stepped just now
_looking = threading.Lock()


@contextmanager
def playing(env: Any, call: str) -> Iterator[None]:
    """Have an environment that was given, and those within it, for one learner alone while the context lasts.

    Raises
    ------
    LearnerBusy
        If another learner steps one of them.
    """
    wanted = _within(env)
    with _looking:
        if wanted & _played:
            raise LearnerBusy(
                f"{call} was called while another learner steps the same environment, {env}. Call it once the other "
                "has returned, or give each learner an environment of its own, by its id or by what makes it"
            )
        _played.update(wanted)
    try:
        yield
    finally:
        with _looking:
            _played.difference_update(wanted)


def _within(env: Any) -> set[int]:
    """Return the ids of an environment without its wrappers, and of those that a vector environment has in it."""
    if isinstance(env, (list, tuple)):
        return set().union(*map(_within, env))
    if isinstance(env, type) or not hasattr(env, "unwrapped"):
        return set()
    base = env.unwrapped
    return {id(base)}.union(*map(_within, getattr(base, "envs", ())))


class HasTurn(Protocol):
    """An object whose calls exclude each other."""

    @property
    def _turn(self) -> Turn: ...


S = TypeVar("S", bound=HasTurn)
P = ParamSpec("P")
R = TypeVar("R")


def exclusive(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let calls of a method, and of all others of the object that are exclusive, exclude each other."""

    @functools.wraps(method)
    def alone(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._turn.taken(method.__name__):
            return method(self, *args, **kwargs)

    return alone
