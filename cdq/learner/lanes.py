"""Lanes of a learner: how many environments each worker steps, and of a network the windows that follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cdq.contracts import Environment
from cdq.settings import Settings
from cdq.settings.of_networks import lanes_of, with_window


def lanes_to_open(env: Any, settings: Settings) -> int:
    """Return how many environments to make where each is stepped by itself; one that was given is one."""
    from cdq.envs.numbered import is_made  # here: it takes Gymnasium with it

    alone = settings.network is None or is_made(env)
    return settings.num_envs or (1 if alone else lanes_of(settings.workers))


def with_lanes(settings: Settings, environment: Environment) -> Settings:
    """Return settings with the number of environments of each worker, and of a network with its windows."""
    usual = environment.default_num_envs
    if settings.network is None:
        return replace(settings, num_envs=settings.num_envs or usual)
    lanes = lanes_of(settings.workers) if environment.threads else usual
    return with_window(replace(settings, num_envs=settings.num_envs or lanes))
