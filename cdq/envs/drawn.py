"""Environments whose step is known to draw from their transition table, without playing them."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv
from gymnasium.spaces import Discrete, MultiDiscrete

from cdq.envs.compiled import CompiledEnv
from cdq.envs.compiled_agents import CompiledAgents
from cdq.envs.pristine import is_pristine
from cdq.envs.wrappers import is_patched


class _Options(NamedTuple):
    """The arguments of a class that its table holds, and those that change what `step` does beside it."""

    held: frozenset[str]
    beside: frozenset[str] = frozenset()


# Gymnasium's classes whose step draws from P and pays what it says. One with other arguments than these is of a
# version that is not known.
_DRAWN: dict[type, _Options] = {
    FrozenLakeEnv: _Options(
        frozenset({"desc", "map_name", "is_slippery", "success_rate", "reward_schedule"})
    ),
    CliffWalkingEnv: _Options(frozenset({"is_slippery"})),
    TaxiEnv: _Options(
        frozenset({"is_rainy", "rainy_probability", "fickle_probability"}), frozenset({"fickle_passenger"})
    ),
}
_READ = ("P", "initial_state_distrib")


def known_of(base: Any) -> tuple[bool | None, str]:
    """Return whether `step` of an environment without wrappers does what its table says, and why.

    None, where only playing it can tell.
    """
    if isinstance(base, CompiledEnv):
        shipped = (
            type(base).__module__.startswith("cdq.envs.") and is_compiled(base) and base.time_limit is None
        )
        return (True, "P lists what its compiled step does") if shipped else (None, "")
    owner = next((kind for kind in _DRAWN if isinstance(base, kind)), None)
    if owner is None:
        return None, ""
    options = _DRAWN[owner]
    for name in sorted(options.beside):
        if getattr(base, name, False):
            return False, f"{name} changes what step does, and P does not hold it"
    arguments = set(inspect.signature(owner).parameters) - {"render_mode"}
    if arguments <= options.held | options.beside and _draws(base, owner):
        return True, f"P is what step of Gymnasium's {owner.__name__} draws from"
    return None, ""


def _draws(base: Any, owner: Any) -> bool:
    """Return whether `step` and `reset` are those of Gymnasium's class, and read plain attributes."""
    kind = type(base)
    same = counts_from_zero(base) and all(
        getattr(kind, name) is getattr(owner, name) for name in ("step", "reset", "np_random")
    )
    plain = all(name in vars(base) for name in _READ) and not any(
        hasattr(kind, name) for name in (*_READ, "s")
    )
    return same and plain and not is_patched(base) and is_pristine(owner.__module__)


def counts_from_zero(base: Any) -> bool:
    """Return whether states and actions are called 0, 1, 2, ..., as `step` takes and gives them."""
    return all(
        type(space) is Discrete and space.start == 0 for space in (base.observation_space, base.action_space)
    )


def has_advice(env: Any) -> bool:
    """Return whether the masks of an environment's infos are Taxi's, which tell what actions change the state."""
    return isinstance(env.unwrapped, TaxiEnv)


def is_compiled(base: Any) -> bool:
    """Return whether `step` and `reset` call the compiled functions and do nothing else, of actions from 0 on."""
    kind, owner = type(base), CompiledAgents if isinstance(base, CompiledAgents) else CompiledEnv
    numbered = _counts(base.action_space, base.n_actions, owner)
    numbered &= base.n_states is None or _counts(base.observation_space, base.n_states, owner)
    methods = ("step", "reset", "_call", "_observation", "np_random")
    same = all(getattr(kind, name) is getattr(owner, name) for name in methods)
    return numbered and same and not is_patched(base)


def _counts(space: Any, n: int, owner: type) -> bool:
    """Return whether a space is that of n numbers from 0 on, or of as many for each agent."""
    if owner is CompiledAgents:
        return type(space) is MultiDiscrete and bool((space.nvec == n).all()) and not space.start.any()
    return type(space) is Discrete and (space.start, space.n) == (0, n)
