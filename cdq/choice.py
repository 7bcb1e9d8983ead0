"""Which way an environment is learnt: the fastest one that there is for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from cdq.approach import Approach
from cdq.errors import ConfigError
from cdq.mdp import MDP
from cdq.representation import Linear, Representation, Table
from cdq.settings import Settings
from cdq.source import Source
from cdq.subject import ModelSubject, SteppedSubject, Subject

if TYPE_CHECKING:
    from cdq.envs.spaces import Encoder

# Rows are numbered with 32 bits, a pair too.
_MOST_PAIRS = 2**32 - 1


def make_subject(env: Any, settings: Settings) -> Subject:
    """Return what a learner with these settings learns.

    Raises
    ------
    UnsupportedEnvironment, ConfigError
        If there is no way; says which there would be.
    """
    approach = settings.approach
    if isinstance(env, MDP):
        if approach != Approach():
            raise ConfigError(
                "an MDP is learnt as it is: leave out features, bins, table, masks and stepping"
            )
        return ModelSubject(env, settings.dtype)
    from cdq.envs.opening import open_environment, recipe_of
    from cdq.envs.toy_text import TransitionTable

    opened = open_environment(
        env,
        settings.num_envs or 1,
        stepping=approach.stepping,
        masks=approach.masks,
        bins=approach.bins,
        plain=_is_plain(approach),
    )
    if isinstance(opened, TransitionTable):
        return ModelSubject(MDP.from_outcomes(**opened._asdict()), settings.dtype)
    source, encoder = opened
    return SteppedSubject(source, _representation(approach, source, encoder), partial(recipe_of, env))


def _is_plain(approach: Approach) -> bool:
    """Return whether a table of the states of a model is what is asked for."""
    return approach.features is None and approach.bins is None and approach.table == "dense"


def _representation(approach: Approach, source: Source, encoder: Encoder) -> Representation:
    if approach.features is not None:
        return Linear(encoder, approach.features.bind(encoder.low, encoder.high), str(approach.features))
    if encoder.n_states is None or encoder.n_states * encoder.n_actions > _MOST_PAIRS:
        raise ConfigError(
            f"{source.name} has too many states for a table with a row for each; use table='hash', or features"
        )
    return Table(encoder)
