"""Environments that are stepped by calling their own `step`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cdq.core.lanes import Lanes
from cdq.core.loops.gym_scalar import EnvLoop
from cdq.envs.bins import discretized
from cdq.envs.boards import EnvBoard, Positions, all_positions
from cdq.envs.copying import copy_of, true_copy_of
from cdq.envs.drawn import has_advice
from cdq.envs.sending import kinds_of
from cdq.envs.spaces import Encoder, spaces_of
from cdq.envs.toy_text import EnvLike, game_of, make_env, name_of
from cdq.envs.trial import Played, trial, trial_of
from cdq.envs.wrappers import time_limit_of
from cdq.errors import ConfigError, EnvironmentFailure, UnsupportedEnvironment

if TYPE_CHECKING:
    import gymnasium

    from cdq.contracts import Board
    from cdq.core.table.qfunction import QFunction

Episodes = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


class PythonEnvironment:
    """Transitions of environments that are stepped one after another, one call of `step` each.

    Parameters
    ----------
    env : str, EnvSpec, callable or Env
        Recipe of an environment, or one that exists, for a single lane. An environment is never changed, only
        stepped and reset.
    num_envs : int
        Number of environments to make: the lanes.
    masks : {"auto", True, False}
        True: consider only the actions that a mask allows: an observation's entry "action_mask", or else the
        infos'. "auto": where there is a mask, but for Taxi, whose mask is advice.
    bins : int or tuple of int, optional
        Number of parts into which each number of a Box is cut.
    **kwargs
        Arguments that are passed to ``gymnasium.make`` or to the callable.

    Attributes
    ----------
    encoder : Encoder
        Observations and actions as numbers.
    name : str
        Name of the environment.
    time_limit : int or None
        Steps after which the first of the environment's time limits truncates an episode.

    Raises
    ------
    UnsupportedEnvironment
        If it cannot be made, or its spaces cannot be learnt.
    ConfigError
        If one environment is given for several lanes.

    Examples
    --------
    >>> source = PythonEnvironment("Blackjack-v1", num_envs=2)
    >>> source.stepping, source.encoder.n_states, source.n_actions
    ('Python environment', 704, 2)
    >>> source.close()
    """

    stepping = "Python environment"
    own_bytes = 0
    threads = False  # they would take turns at the interpreter
    resumable = False  # Gymnasium cannot save an environment: lanes begin an episode

    def __init__(
        self,
        env: EnvLike,
        num_envs: int = 1,
        *,
        masks: bool | str = "auto",
        bins: int | tuple[int, ...] | None = None,
        **kwargs: object,
    ) -> None:
        import gymnasium

        self._like, self._bins, self._kwargs = env, bins, kwargs
        self._given = isinstance(env, gymnasium.Env)
        if self._given:
            _check_given(num_envs, kwargs)
        self._made: list[gymnasium.Env[Any, Any]] = []  # to be closed
        self._copies: list[gymnasium.Env[Any, Any]] = []  # for evaluation
        self._copied: bool | None = None  # that is, not known yet
        self._loop: EnvLoop | None = None
        try:
            self._envs = [self._make() for _ in range(num_envs)]
            _check_alike(self._envs)
            first = self._envs[0]
            self.encoder = Encoder(*spaces_of(first))
            self._masks = masking_of(masks, self.encoder, advice=has_advice(first))
        except BaseException:
            self.close()
            raise
        self.n_actions = self.encoder.n_actions
        self.name = name_of(first)
        self.time_limit = time_limit_of(first)

    @property
    def default_num_envs(self) -> int:
        """Number of environments."""
        return len(self._envs)

    @property
    def reward_space(self) -> Any:
        """Space of rewards that are arrays, as MO-Gymnasium's environments have one; None where there is none."""
        return getattr(self._envs[0].unwrapped, "reward_space", None)

    def loop(
        self, q: QFunction, lanes: Lanes, gamma: float, seeds: Sequence[int], stop: npt.NDArray[np.int32]
    ) -> EnvLoop:
        """Return the loop of a worker; *seeds* are those of the environments' first reset."""
        self._see_copy()
        self._loop = self._loop_over(self._envs, q, lanes, gamma=gamma, seeds=seeds, stop=stop)
        return self._loop

    def episodes(
        self, q: QFunction, words: npt.NDArray[np.uint64], n: int, longest: int, stop: npt.NDArray[np.int32]
    ) -> Episodes:
        """Run *n* greedy episodes, the lowest action among equals, of *longest* steps at most, without learning.

        They run in environments of their own, seeded from *words*, (4, streams): made as those of the lanes were, or,
        where one was given, in a copy of it as it is now. One of which there is no copy that plays as it does
        (`cdq.envs.copying`) runs them itself, and is reset; training then goes on with a new episode.

        Returns
        -------
        returns : (n,) array of float64
            Undiscounted returns of the episodes.
        lengths : (n,) array of int64
            Lengths of the episodes, in steps.
        """
        envs = self._copies_of(q.n)
        loop = self._loop_over(envs, q, Lanes(q.n), gamma=0.0, seeds=seeds_of(words, q.n), stop=stop)
        returns, lengths = np.zeros(n), np.zeros(n, np.int64)
        loop.follow(returns, lengths, longest)
        if envs[0] is self._envs[0]:
            self._begin_anew()
        return returns, lengths

    def trial(self) -> list[Played]:
        """Return how the environment plays, of which other processes are to make the same (`cdq.envs.trial`).

        One that was given is played itself, between two calls of `learn`: each begins with new episodes.
        """
        return trial_of(self._like) if self._given else trial(self._like)

    def _see_copy(self) -> None:
        """See once whether a copy plays as what was given: before training has an episode in hand."""
        if self._given and self._copied is None:
            self._copied = true_copy_of(self._like) is not None

    def _begin_anew(self) -> None:
        if self._loop is not None:
            self._loop.reset()
        else:
            for env in self._envs:
                env.reset()

    def mask_of(self, observation: Any) -> Any:
        """Return the allowed actions, where the observation itself holds a mask that is heeded; else None."""
        return self.encoder.mask_of(observation) if self._masks == "observation" else None

    def board(self) -> Board:
        """Return a board for an environment of evaluation."""
        return EnvBoard(self._copies_of(1)[0], self.encoder.first_action)

    def positions(self) -> Positions:
        """Return the model of a small game, and an observation of each of its positions (`all_positions`)."""
        return all_positions(
            self._copies_of(1)[0], self.encoder.state_of, self.n_actions, self.encoder.first_action
        )

    def kinds(self) -> list[str]:
        """Return the names of the classes of an environment and its wrappers."""
        return kinds_of(self._envs[0])

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a learnt table depends on, as hexadecimal digits."""
        base: Any = self._envs[0].unwrapped
        named = " ".join([self._masks, *filter(None, [game_of(base)])])
        return fingerprint_of(self._envs[0].spec, type(base), self.encoder, named)

    def close(self) -> None:
        """Close the environments that were made here; one that was given stays open."""
        while self._made:
            self._made.pop().close()

    def _loop_over(
        self, envs: list[Any], q: QFunction, lanes: Lanes, *, gamma: float, seeds: Sequence[int], stop: Any
    ) -> EnvLoop:
        encoding = self.encoder.encoding(vectors=q.continuous)
        return EnvLoop(
            q,
            encoding,
            lanes,
            gamma,
            stop,
            self._masks,
            EnvironmentFailure,
            envs,
            seeds,
            self.encoder.first_action,
        )

    def _make(self) -> gymnasium.Env[Any, Any]:
        if self._given:
            return discretized(self._like, self._bins)
        env = make_env(self._like, **self._kwargs)
        if any(env is other for other in self._made):
            raise ConfigError(
                f"{self._like!r} returned the same environment twice; it must make a new one at each call"
            )
        self._made.append(env)
        return discretized(env, self._bins)

    def _copies_of(self, n: int) -> list[gymnasium.Env[Any, Any]]:
        """Return *n* environments to evaluate in."""
        if self._given:
            self._see_copy()
            copy = copy_of(self._like) if self._copied else None
            return self._envs[:n] if copy is None else [discretized(copy, self._bins)]
        while len(self._copies) < n:
            self._copies.append(self._make())
        return self._copies[:n]


def _check_given(num_envs: int, kwargs: dict[str, object]) -> None:
    if kwargs:
        raise ConfigError(f"an environment that exists takes no arguments; got {', '.join(kwargs)}")
    if num_envs != 1:
        raise ConfigError(
            f"one environment cannot be stepped in {num_envs} lanes; give its id or a callable that makes one, "
            "or num_envs=1"
        )


def _check_alike(envs: list[gymnasium.Env[Any, Any]]) -> None:
    first = spaces_of(envs[0])
    for lane, env in enumerate(envs):
        if spaces_of(env) != first:
            raise UnsupportedEnvironment(f"the environments of lanes 0 and {lane} have different spaces")


def masking_of(masks: bool | str, encoder: Encoder, *, advice: bool) -> str:
    """Return the place in which the loops look for masks; *advice*: masks in the infos are no rules."""
    if masks not in {"auto", True, False}:
        raise ConfigError(f"masks must be 'auto', True or False; got {masks!r}")
    if masks is False:
        return "nowhere"
    if encoder.masked:
        return "observation"
    if masks is True:
        return "info"
    return "nowhere" if advice else "auto"


def seeds_of(words: npt.NDArray[np.uint64], n: int) -> list[int]:
    """Return *n* seeds of 31 bits from streams, (4, streams), as they are."""
    return [int(words[0, lane % words.shape[1]] >> np.uint64(33)) for lane in range(n)]


def fingerprint_of(spec: Any, kind: type, encoder: Encoder, masks: str) -> str:
    """Return the SHA-256 of an environment's recipe where it has one, else of its class, and of its spaces."""
    recipe = {"class": f"{kind.__module__}.{kind.__qualname__}"}
    try:
        known = json.loads(spec.to_json()) if spec is not None else {}
    except (TypeError, ValueError):  # arguments that JSON has no words for
        known = {"id": spec.id}
    for unimportant in ("disable_env_checker", "order_enforce", "vector_entry_point"):
        known.pop(unimportant, None)
    known.get("kwargs", {}).pop("render_mode", None)
    space = " ".join(str(encoder.space).split())
    text = json.dumps([recipe, known, space, encoder.n_actions, encoder.first_action, masks], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
