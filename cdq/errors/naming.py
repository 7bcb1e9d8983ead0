"""Names of arguments: one that a call does not have, or lacks, is told with the name that was meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from cdq.errors import MissingArgument, UnknownArgument, unknown_name

P = ParamSpec("P")
R = TypeVar("R")

# Arguments that another call has, and how it is given them.
_OF_LEARN = "it belongs to learn, as in QLearner(...).learn({}=...)"
_OF_LEARNER = "it belongs to QLearner, as in QLearner(..., {}=...)"
_LOGGED = 'give learn a callback, as in learn(1e6, callbacks=[cdq.TensorBoardLogger("runs/one")])'
_ELSEWHERE = {
    "QLearner": {
        "tensorboard_log": _LOGGED,
        "seeds": 'a learner has one seed; several are run by cdq.compare({"a name": ...}, env, seeds=20)',
        **dict.fromkeys(("steps", "total_timesteps", "callbacks", "until", "verbose", "hosting"), _OF_LEARN),
        "episodes": "it belongs to evaluate, as in QLearner(...).evaluate(episodes=100)",
    },
    "report": dict.fromkeys(
        ("episodes", "seed", "env"),
        "it belongs to evaluate, whose figures report shows: call evaluate({}=...) first",
    ),
    "learn": {
        **dict.fromkeys(("tensorboard_log", "tb_log_name", "log_interval"), _LOGGED),
        **dict.fromkeys(("seed", "workers", "gamma", "step_size", "exploration", "sync_every"), _OF_LEARNER),
        "seeds": 'several seeds are run by cdq.compare({"a name": ...}, env, seeds=20)',
        "episodes": "learning is counted in steps, as in learn(steps=1e6)",
    },
}


def named(method: Callable[P, R]) -> Callable[P, R]:
    """Let a call refuse an argument that it does not have by saying which was meant, and name one that it lacks.

    Examples
    --------
    >>> class Walker:
    ...     @named
    ...     def walk(self, steps): ...
    >>> Walker().walk(total_timesteps=3)
    Traceback (most recent call last):
    cdq.errors.UnknownArgument: unknown argument of walk 'total_timesteps'; known: steps. Did you mean 'steps'?
    >>> Walker().walk()
    Traceback (most recent call last):
    cdq.errors.MissingArgument: walk needs the argument 'steps', as in walk(steps=...)
    """
    signature = inspect.signature(method)
    names = [name for name in signature.parameters if name not in {"self", "cls"}]
    open_ended = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())

    @functools.wraps(method)
    def strict(*args: P.args, **kwargs: P.kwargs) -> R:
        call = method.__name__ if method.__name__ != "__init__" else type(args[0]).__name__
        for name in kwargs:
            if name not in names and not open_ended:
                raise UnknownArgument(_unknown(call, name, names))
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            missing = str(error).rpartition("missing a required argument: ")[2].strip("'")
            if missing not in names:
                raise
            raise MissingArgument(
                f"{call} needs the argument {missing!r}, as in {call}({missing}=...)"
            ) from None
        return method(*args, **kwargs)

    return strict


def _unknown(call: str, name: str, names: list[str]) -> str:
    elsewhere = _ELSEWHERE.get(call, {}).get(name)
    told = unknown_name(f"argument of {call}", name, names)
    return told if elsewhere is None else f"{told.partition(' Did you mean')[0]} {_sentence(elsewhere, name)}"


def _sentence(text: str, name: str) -> str:
    return f"{text[0].upper()}{text[1:]}.".replace("{}", name)
