"""Vector environments: many environments behind one call of `step`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cdq.core.lanes import Lanes
from cdq.core.loops.gym_vector import VectorLoop
from cdq.envs.python import Episodes, fingerprint_of, masking_of, seeds_of
from cdq.envs.sending import kinds_of
from cdq.envs.spaces import Encoder, spaces_of
from cdq.envs.trial import Played, trial, trial_of
from cdq.errors import ConfigError, EnvironmentFailure, UnsupportedEnvironment

if TYPE_CHECKING:
    from cdq.contracts import Board
    from cdq.core.table.qfunction import QFunction

_logger = logging.getLogger("cdq")


class VectorEnvironment:
    """Transitions of a vector environment; each of its environments is a lane.

    Parameters
    ----------
    envs : gymnasium.vector.VectorEnv or callable
        The vector environment, or what makes one. One that is given is never changed, only stepped and reset.
    masks : {"auto", True, False}
        Use of masks, as in `PythonEnvironment`.

    Attributes
    ----------
    encoder : Encoder
        Observations and actions of one environment as numbers.
    lanes : int
        Number of environments.
    mode : str
        Mode in which new episodes begin: "NEXT_STEP", "SAME_STEP" or "DISABLED". A vector environment that does not
        say is taken for the first, with a warning in the log.

    Raises
    ------
    UnsupportedEnvironment
        If it is no vector environment, or its spaces cannot be learnt.

    Examples
    --------
    >>> import gymnasium
    >>> source = VectorEnvironment(lambda: gymnasium.make_vec("Blackjack-v1", 3, "sync"))
    >>> source.stepping, source.default_num_envs, source.mode
    ('vector environment', 3, 'NEXT_STEP')
    >>> source.close()
    """

    stepping = "vector environment"
    own_bytes = 0
    threads = False
    resumable = False

    def __init__(self, envs: Any, *, masks: bool | str = "auto") -> None:
        self._make: Any = None if _is_vector(envs) else envs
        self._envs: Any = _made(self._make) if self._make is not None else envs
        self._copy: Any = None
        self._loop: VectorLoop | None = None
        try:
            self.encoder = Encoder(*spaces_of(self._envs, "single_"))
            self._spec = _spec_of(self._envs)
            self._masks = masking_of(masks, self.encoder, advice=_has_advice(self._spec))
            self.mode = _mode_of(self._envs)
        except BaseException:
            self.close()
            raise
        self.default_num_envs: int = self._envs.num_envs
        self.n_actions = self.encoder.n_actions
        self.name = self._spec.id if self._spec is not None else type(self._envs.unwrapped).__name__
        self.time_limit = self._spec.max_episode_steps if self._spec is not None else None

    def loop(
        self, q: QFunction, lanes: Lanes, gamma: float, seeds: Sequence[int], stop: npt.NDArray[np.int32]
    ) -> VectorLoop:
        """Return the loop of a worker; *seeds* are those of the environments' first reset."""
        self._loop = self._loop_over(self._envs, q, lanes, gamma=gamma, seeds=seeds, stop=stop)
        return self._loop

    def episodes(
        self, q: QFunction, words: npt.NDArray[np.uint64], n: int, longest: int, stop: npt.NDArray[np.int32]
    ) -> Episodes:
        """Run *n* greedy episodes as `PythonEnvironment.episodes`, as many at a time as there are environments.

        A vector environment that was given runs them itself; training then goes on with new episodes.
        """
        if self._copy is None:
            self._copy = self._envs if self._make is None else _made(self._make)
        loop = self._loop_over(self._copy, q, Lanes(q.n), gamma=0.0, seeds=seeds_of(words, q.n), stop=stop)
        returns, lengths = np.zeros(n), np.zeros(n, np.int64)
        loop.follow(returns, lengths, longest)
        if self._loop is not None and self._copy is self._envs:
            self._loop.reset()
        return returns, lengths

    def mask_of(self, observation: Any) -> Any:
        """Return the allowed actions, where the observation itself holds a mask that is heeded; else None."""
        return self.encoder.mask_of(observation) if self._masks == "observation" else None

    def board(self) -> Board:
        """Refuse: a vector environment plays several games at once; raises `ConfigError`."""
        raise ConfigError(
            f"{self.name} is a vector environment, whose games are played together; give one of its environments "
            "to play against an opponent"
        )

    def trial(self) -> list[Played]:
        """Return how the first environment plays, as far as it plays alone; see `PythonEnvironment.trial`."""
        return trial_of(self._envs) if self._make is None else trial(self._make)

    def kinds(self) -> list[str]:
        """Return the names of the classes of the environments and their wrappers."""
        return kinds_of(self._envs)

    def fingerprint(self) -> str:
        """Return the SHA-256 of what a learnt table depends on, as hexadecimal digits."""
        return fingerprint_of(self._spec, type(self._envs.unwrapped), self.encoder, self._masks)

    def close(self) -> None:
        """Close the environments that were made here; those that were given stay open."""
        if self._make is not None:
            for envs in (self._envs, self._copy):
                if envs is not None:
                    envs.close()
            self._make = None

    def _loop_over(
        self, envs: Any, q: QFunction, lanes: Lanes, *, gamma: float, seeds: Sequence[int], stop: Any
    ) -> VectorLoop:
        if q.n != self.default_num_envs:
            raise ConfigError(
                f"the vector environment has {self.default_num_envs} lanes; got num_envs={q.n}: leave it out"
            )
        dtype = getattr(envs.action_space, "dtype", None)
        return VectorLoop(
            q,
            self.encoder.encoding(vectors=q.continuous),
            lanes,
            gamma,
            stop,
            self._masks,
            EnvironmentFailure,
            envs,
            seeds,
            self.mode,
            lambda seeds: _first_reset(envs, seeds),
            self.encoder.first_action,
            None if dtype == np.int64 else dtype,
        )


def _has_advice(spec: Any) -> bool:
    """Return whether the masks of the infos are Taxi's, which tell what actions change the state."""
    return spec is not None and spec.entry_point == "gymnasium.envs.toy_text.taxi:TaxiEnv"


def _is_vector(envs: object) -> bool:
    import gymnasium

    return isinstance(envs, gymnasium.vector.VectorEnv)


def _made(make: Any) -> Any:
    envs = make() if callable(make) else make
    if not _is_vector(envs):
        raise UnsupportedEnvironment(
            f"{make!r} gives {type(envs).__name__}; a gymnasium.vector.VectorEnv is needed, for example from "
            "gymnasium.make_vec"
        )
    return envs


def _mode_of(envs: Any) -> str:
    from gymnasium.vector import AutoresetMode

    mode = envs.metadata.get("autoreset_mode")
    if mode is None:
        _logger.warning(
            "%s does not say in metadata['autoreset_mode'] how its episodes begin; NEXT_STEP is assumed", envs
        )
        return "NEXT_STEP"
    try:
        return AutoresetMode(mode).name
    except ValueError:
        known = ", ".join(f"AutoresetMode.{known.name}" for known in AutoresetMode)
        raise UnsupportedEnvironment(
            f"metadata['autoreset_mode'] of {envs} is {mode!r}; known are {known}"
        ) from None


def _spec_of(envs: Any) -> Any:
    """Return the spec of the environments, as far as it can be had."""
    if envs.spec is not None:
        return envs.spec
    with contextlib.suppress(Exception):  # a vector environment need not have its environments at hand
        return envs.unwrapped.get_attr("spec")[0]
    return None


def _first_reset(envs: Any, seeds: Sequence[int]) -> tuple[Any, Any]:
    """Reset with a seed for each environment, or where only one number is taken, with the first.

    Gymnasium's own vector environments take a list; `VectorEnv.reset`, which others inherit, takes one number.
    """
    import gymnasium

    try:
        answer: tuple[Any, Any] = envs.reset(seed=[int(seed) for seed in seeds])
    except (TypeError, ValueError, gymnasium.error.Error):
        answer = envs.reset(seed=int(seeds[0]))
    return answer
