"""Settings of networks: defaults that follow from the steps and the workers, and what networks exclude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cdq.errors import ConfigError
from cdq.errors.checks import shown
from cdq.merges import MEAN, NAMES, OF_NETWORKS, Personal
from cdq.rules import Q_LEARNING, UpdateRule
from cdq.schedules import LinearDecay
from cdq.schedules.forms import as_law
from cdq.schedules.rates import ClockLaw
from cdq.schedules.windows import LONGEST_WINDOW, AutoWindow, FixedWindow
from cdq.settings.settings import Settings

# The rule of a hub's workers, which exchange once in a window.
OF_HUBS = MEAN
# Steps for which the defaults are: those of known environments.
STEPS = 300_000
# Lanes of all workers together: more workers share them, so that the network learns the same with each number.
_LANES, _FEWEST = 64, 4
# Rollouts of a window whose parameters are averaged: fewer cost exchanges, more let the workers drift apart.
_MEAN_ROLLOUTS = 4


def step_size_of(steps: float) -> LinearDecay:
    """Return the step size of a network that learns for so many steps."""
    return LinearDecay(1e-3, 2e-5, steps)


def exploration_of(steps: float) -> LinearDecay:
    """Return the exploration rate of a network that learns for so many steps."""
    return LinearDecay(1.0, 0.05, steps / 4)


def lanes_of(workers: int) -> int:
    """Return the number of environments of each worker.

    Examples
    --------
    >>> lanes_of(1), lanes_of(4), lanes_of(100)
    (64, 16, 4)
    """
    return max(_FEWEST, _LANES // workers)


def averages(settings: Settings) -> bool:
    """Return whether workers average what a window has learnt, and not the gradients of every minibatch."""
    return settings.merge == MEAN


def minibatch_of(settings: Settings) -> int:
    """Return the samples of each worker in a minibatch.

    Raises
    ------
    ConfigError
        If there are fewer than workers.
    """
    assert settings.network is not None
    if settings.network.minibatch < settings.workers:
        raise ConfigError(
            f"a minibatch of {settings.network.minibatch} samples is shared by {settings.workers} workers; allowed: at "
            "least one for each"
        )
    return settings.network.minibatch // settings.workers


def with_window(settings: Settings) -> Settings:
    """Return settings whose windows are whole rollouts, once the number of environments is known.

    Raises
    ------
    ConfigError
        If windows of another length are asked for, or a rollout is longer than any window.
    """
    assert settings.network is not None
    steps = settings.network.rollout * settings.num_envs
    window = settings.sync_every
    if steps > LONGEST_WINDOW:
        raise ConfigError(
            f"a rollout of {settings.network.rollout:,} steps of {settings.num_envs:,} environments takes {steps:,} "
            f"steps; allowed: up to {LONGEST_WINDOW:,}, which a window has at most"
        )
    if isinstance(window, AutoWindow):
        rollouts = _MEAN_ROLLOUTS if averages(settings) and settings.workers > 1 else 1
        window = FixedWindow(steps * min(rollouts, LONGEST_WINDOW // steps))
    if window.steps % steps:
        raise ConfigError(
            f"sync_every is {window.steps:,}; allowed with this network: multiples of {steps:,}, a rollout of "
            f"{settings.network.rollout} steps of {settings.num_envs} environments"
        )
    return replace(settings, sync_every=window)


def require_merge_of_networks(merge: str) -> None:
    """Raise `ConfigError` if no rule of a network has this name, be it that of another rule or of none."""
    if merge not in OF_NETWORKS:
        raise ConfigError(f"merge is {shown(merge)}, and a network is learnt: {_merge(merge)}")


def require_of_networks(known: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if a hyper-parameter excludes a network; says why."""
    for name, fault in _FAULTS.items():
        reason = fault(known[name])
        if reason:
            raise ConfigError(f"{name} is {_told(known[name])}, and a network is learnt: {reason}")


def _told(value: Any) -> str:
    return shown(value.name if isinstance(value, UpdateRule) else value)


def _unless_none(reason: str) -> Any:
    return lambda value: "" if value is None else reason


def _merge(merge: Any) -> str:
    if isinstance(merge, str) and merge in OF_NETWORKS:
        return ""
    if isinstance(merge, str) and merge not in NAMES:
        fault = "there is no such rule"
    elif isinstance(merge, Personal):
        fault = "it has no table to keep apart"
    else:
        fault = "it has no visits of pairs that a rule could weigh"
    return f"{fault}; allowed: {' or '.join(map(repr, OF_NETWORKS))}"


def _window(window: Any) -> str:
    if window == AutoWindow() or isinstance(window, FixedWindow):
        return ""
    return "this one follows visits of pairs, which it has not; give a number of steps, or 'auto'"


def _step_size(step_size: Any) -> str:
    if step_size is None or not isinstance(as_law(step_size, "step_size"), ClockLaw):
        return ""
    return (
        "this one follows visits of pairs, which it has not; give a number, or linear:1e-3:2e-5:STEPS "
        "(cdq.LinearDecay)"
    )


# What is wrong with each value; empty where nothing is.
_FAULTS = {
    "merge": _merge,
    "dtype": lambda dtype: "" if dtype == "float32" else "its kernels compute in float32; leave dtype out",
    "rule": lambda rule: (
        "" if rule is Q_LEARNING else "it learns by Peng's Q(lambda), its own rule; leave rule out"
    ),
    "sync_every": _window,
    "step_size": _step_size,
    "features": _unless_none("both stand for the Q-function; choose one"),
    "bins": _unless_none("it reads the numbers themselves; leave bins out"),
    "table": lambda table: "" if table == "dense" else "it has no table; leave table out",
    "initial_value": lambda value: (
        "" if value == 0 else "its values begin with its weights, near 0; leave it out"
    ),
    "opponent": _unless_none("games are learnt in tables; leave one out"),
    "tasks": _unless_none("tasks are learnt in tables; leave one out"),
    "groups": lambda groups: (
        "" if groups == "own" else "several agents are learnt with tables; leave one out"
    ),
    "overlap": lambda overlap: "gradients are exchanged at once; leave it out" if overlap else "",
    "per_worker": _unless_none("all workers train one network, with the same schedules; leave it out"),
    "federation": _unless_none("every worker's gradient counts in every step; leave it out"),
}
