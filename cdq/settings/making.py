"""Settings made of arguments: checks of what excludes each other, and values that follow from others.

The help of a command imports it: NumPy and OpenSSL, for which help has no use, are imported where they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdq import schedules
from cdq.errors import ConfigError
from cdq.merges import GRADIENT, Personal
from cdq.rules import Q_LEARNING
from cdq.schedules import Rate
from cdq.settings.hyperparameters import number
from cdq.settings.of_networks import STEPS, exploration_of, require_merge_of_networks, require_of_networks
from cdq.settings.settings import DEFAULTS, HYPERPARAMETERS, Settings


def make_settings(**arguments: Any) -> Settings:
    """Return arguments of `QLearner` by name, checked.

    `num_envs` is 0 where it follows from the environment, `workers` where it follows from the communicator.

    Raises
    ------
    ConfigError
        If one is not allowed; the message says what is.
    """
    given = {**DEFAULTS, **arguments}
    if given["network"] is not None and isinstance(given["merge"], str):
        require_merge_of_networks(given["merge"])
    known = {name: one.check(name, given.pop(name)) for name, one in HYPERPARAMETERS.items()}
    if given:
        raise TypeError(f"no hyper-parameter: {', '.join(given)}")
    known.update(_by_kind(known))
    _require_compatible(known)
    return Settings(**{**known, **_completed(known)})


def require_workers(settings: Settings) -> None:
    """Raise `ConfigError` unless what is said of single workers is of all of them, once their number is known."""
    for name, values in (settings.per_worker or {}).items():
        if len(values) != settings.workers:
            raise ConfigError(
                f"per_worker has {len(values)} entries of {name}, and there are {settings.workers} workers; give one "
                "for each"
            )
    ranks = [] if settings.federation is None else settings.federation.corrupted
    beyond = [rank for rank in ranks if rank >= settings.workers]
    if beyond:
        raise ConfigError(
            f"corrupted names rank {beyond[0]}; there are {settings.workers} workers, numbered from 0"
        )
    if settings.federation is not None and settings.workers == 1:
        raise ConfigError("federation is of several workers, and there is one; give workers=")


def _by_kind(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults that differ between tables and networks, where nothing was given."""
    usual = ("pooled", "float64") if known["network"] is None else (GRADIENT, "float32")
    pairs = zip(("merge", "dtype"), usual, strict=True)
    return {name: default for name, default in pairs if known[name] is None}


def _require_compatible(known: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if two hyper-parameters exclude each other."""
    if known["network"] is not None:
        require_of_networks(known)
    elif known["merge"] == GRADIENT:
        raise ConfigError(
            "merge='gradient' averages the gradients of a network; give network=, or another rule"
        )
    if known["overlap"] and known["table"] == "hash":
        raise ConfigError(
            "overlap and a hashed table exclude each other: its rows are agreed on before a merge"
        )
    if known["tasks"] is not None:
        _require_of_tables(known)
    if known["overlap"] and (known["federation"] is not None or known["per_worker"] is not None):
        raise ConfigError("overlap, and workers that differ (per_worker, federation), exclude each other")
    if isinstance(known["merge"], Personal) and (known["rule"].number or known["table"] == "hash"):
        raise ConfigError(
            "merge=cdq.Personal(...) learns by rule 'q-learning', and with a dense table or features"
        )
    if known["features"] is not None and (known["bins"] is not None or known["table"] == "hash"):
        other = "bins" if known["bins"] is not None else "a hashed table"
        raise ConfigError(f"features and {other} exclude each other; choose one")
    if known["features"] is not None and not known["rule"].spends_by_clock:
        raise ConfigError(
            f"rule={known['rule'].name!r} is for tables; leave features out, or take another rule"
        )


def _require_of_tables(known: Mapping[str, Any]) -> None:
    if known["opponent"] is not None:
        raise ConfigError("tasks and opponent exclude each other: a game is one task; leave tasks out")
    if known["features"] is not None:
        raise ConfigError(
            "tasks and features exclude each other: tasks are learnt in tables; give bins, or leave one out"
        )
    if known["rule"] is not Q_LEARNING:
        raise ConfigError(
            f"several tasks are learnt by rule={Q_LEARNING.name!r}, and rule is {known['rule'].name!r}; leave one out"
        )


def _completed(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that follow from others, or are drawn."""
    import secrets

    import numpy as np

    dtype, seed, explore = known["dtype"], known["seed"], known["exploration"]
    largest = float(np.finfo(dtype).max)
    finite = number(f"finite numbers that {dtype} holds", -largest, largest)
    return {
        "step_size": schedules.as_step_size(known["step_size"], known["gamma"]),
        "initial_value": finite("initial_value", known["initial_value"]),
        "seed": secrets.randbits(63) if seed is None else seed,
        "exploration": _usual_exploration(known) if explore is None else explore,
    }


def _usual_exploration(known: Mapping[str, Any]) -> Rate:
    """Return the exploration rate of a learner whose user gives none; greedy self-play never sees what refutes it."""
    if known["network"] is not None:
        return exploration_of(STEPS)
    return schedules.as_rate(0.1 if known["opponent"] is None else 0.3, "exploration")
