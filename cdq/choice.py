"""Which way an environment is learnt: the fastest one that there is for it."""

from __future__ import annotations

from typing import Any

from cdq.mdp import MDP
from cdq.settings import Settings
from cdq.subject import ModelSubject, Subject


def make_subject(env: Any, settings: Settings) -> Subject:
    """Return what a learner with these settings learns.

    Raises
    ------
    UnsupportedEnvironment, ConfigError
        If there is no way; says which there would be.
    """
    model = env if isinstance(env, MDP) else MDP.from_gymnasium(env)
    return ModelSubject(model, settings.dtype)
