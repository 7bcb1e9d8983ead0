"""Gymnasium's spaces as numbers: observations as state indices, keys or vectors, actions as 0, 1, 2, ..."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.core.envs import encode
from cdq.envs.batches import split
from cdq.errors import ConfigError, UnsupportedEnvironment

if TYPE_CHECKING:
    import gymnasium

MASK, OBSERVATION = "action_mask", "observation"
DISCOUNT = "discount"  # entry of an info, by which gamma is multiplied
SHIMMY = (
    "wrap the environment by the package shimmy: gymnasium.make('GymV26Environment-v0', env=env), or "
    "'GymV21Environment-v0' where its step returns four values"
)
_MOST_ACTIONS = 2**16  # that are worth a number each
_MOST_STATES = 2**63  # what an index may have; beyond, keys are hashes


class _Numbers(NamedTuple):
    """The numbers of a space: how they are read, and between what they lie."""

    part: encode.Part
    low: list[Any]
    high: list[Any]
    whole: bool


class Encoder:
    """The observations and actions of an environment as numbers.

    Discrete, MultiDiscrete, MultiBinary, Box of integers, and Tuple and Dict of those have an index by mixed radix,
    the first component the most significant (a Dict's in the order of its keys). Where there are more than 2**63
    states, the key of an observation is a hash of its components, of 63 bits, that cannot be reversed. Any
    mixture of these and of Box of floats has a vector of float64: all the numbers, flattened, in order. A Dict with
    an entry "action_mask" holds a mask beside the observation, which is its entry "observation" or all the others.

    Parameters
    ----------
    observation_space, action_space : gymnasium.Space
        Spaces of one environment.

    Attributes
    ----------
    n_actions : int
        Number of actions.
    first_action : int
        The number that the environment has for action 0.
    n_states : int or None
        Number of indices; None if observations have a hash or nothing but a vector.
    countable : bool
        True if observations have an index or a key.
    width : int
        The length of an observation's vector.
    low, high : (width,) array of float64
        Bounds of a vector, infinite where the space has none.
    masked : bool
        True if observations hold a mask.

    Raises
    ------
    UnsupportedEnvironment
        If a space has no numbers, or actions are not a Discrete space.

    Examples
    --------
    >>> import gymnasium
    >>> blackjack = gymnasium.make("Blackjack-v1")
    >>> encoder = Encoder(blackjack.observation_space, blackjack.action_space)
    >>> encoder.n_states, encoder.state_of((13, 10, 1))
    (704, 307)
    >>> encoder.observation_of(307)
    (13, 10, 1)
    """

    def __init__(self, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> None:
        self.n_actions, self.first_action = actions_of(action_space)
        self._whole, self._actions = observation_space, action_space
        self.space, self.observation_key = _without_mask(observation_space)
        self.masked = self.space is not observation_space
        if self.masked:
            _check_mask(observation_space, self.n_actions)
        self._numbers = _numbers_of(self.space)
        if not self._numbers.low:
            raise UnsupportedEnvironment(
                f"observations in {_brief(self.space)} hold no number; where there is one state, give "
                "gymnasium.spaces.Discrete(1), and 0 as its observation"
            )
        self.countable = self._numbers.whole
        size = math.prod(self._sizes()) if self.countable else None
        self.n_states = size if size is not None and size <= _MOST_STATES else None
        self.width = len(self._numbers.low)
        self.low = np.array(self._numbers.low, np.float64)
        self.high = np.array(self._numbers.high, np.float64)
        self._encoding = self.encoding(vectors=not self.countable)

    def encoding(self, *, vectors: bool) -> encode.Encoding:
        """Return what the loops read observations with: as *vectors*, or as indices or keys.

        Raises
        ------
        UnsupportedEnvironment
            If indices or keys are asked for where there are none.
        """
        if not vectors and not self.countable:
            raise UnsupportedEnvironment(
                f"observations in {_brief(self.space)} have no number each: give features=cdq.TileCoding(...) "
                "(--features tiles) for a linear Q-function, or bins=... (--bins N, or wrap the environment in "
                "gymnasium.wrappers.DiscretizeObservation) for a table"
            )
        numbers = self._numbers
        return encode.Encoding(
            numbers.part,
            None if vectors else numbers.low,
            None if vectors else numbers.high,
            hashed=not vectors and self.n_states is None,
            name=_brief(self.space),
            observation_key=self.observation_key,
            mask_key=MASK if self.masked else None,
            n_actions=self.n_actions if self.masked else 0,
        )

    def state_of(self, observation: object) -> int:
        """Return the index or key of an observation, as the environment gives it.

        Raises
        ------
        ConfigError
            If it is not in the space.
        UnsupportedEnvironment
            If observations have neither index nor key.
        """
        if not self.countable:
            self.encoding(vectors=False)
        return int(_asked(self._encoding.of, observation))

    def vector_of(self, observation: object) -> npt.NDArray[np.float64]:
        """Return an observation's numbers as a vector, (width,).

        Raises
        ------
        ConfigError
            If it does not have as many.
        """
        vector: npt.NDArray[np.float64] = _asked(self.encoding(vectors=True).of, observation)
        return vector

    def mask_of(self, observation: object) -> npt.NDArray[np.bool_]:
        """Return which actions are allowed, (n_actions,), by the mask that an observation holds.

        Raises
        ------
        ConfigError
            If it holds none.
        """
        if not self.masked:
            raise ConfigError(f"observations in {_brief(self.space)} hold no mask")
        return np.array(_asked(self._encoding.mask_of, observation), np.bool_)

    def split(self, observations: Any) -> list[Any] | None:
        """Return the single observations of a batch, as vector environments give them, or a list; None if it is none.

        Examples
        --------
        >>> import gymnasium
        >>> blackjack = gymnasium.make("Blackjack-v1")
        >>> encoder = Encoder(blackjack.observation_space, blackjack.action_space)
        >>> encoder.split((13, 10, 1)), encoder.split(([13, 20], [10, 9], [1, 0]))
        (None, [(13, 10, 1), (20, 9, 0)])
        """
        return split(self._whole, observations)

    def same_as(self, other: Encoder) -> bool:
        """Return whether another one is of equal spaces."""
        return bool(self._whole == other._whole) and self._actions == other._actions

    def in_words(self) -> str:
        """Return both spaces in words."""
        return f"observations in {_brief(self._whole)}, actions in {_brief(self._actions)}"

    def observation_of(self, state: int) -> Any:
        """Return the observation with an index, without a mask.

        Raises
        ------
        ConfigError
            If there is no such index, or keys are hashes.
        """
        if self.n_states is None:
            raise ConfigError(
                f"observations in {_brief(self.space)} have no index, so none can be told from it"
            )
        if not 0 <= state < self.n_states:
            raise ConfigError(f"state {state} is not one of 0 to {self.n_states - 1}")
        digits = []
        for low, size in zip(reversed(self._numbers.low), reversed(self._sizes()), strict=True):
            state, digit = divmod(state, size)
            digits.append(low + digit)
        return _observation_of(self.space, digits)

    def _sizes(self) -> list[int]:
        pairs = zip(self._numbers.low, self._numbers.high, strict=True)
        return [int(high) - int(low) + 1 for low, high in pairs]


def _asked(read: Callable[[object], Any], observation: object) -> Any:
    """Return the number or vector that is read from an observation that a user gives."""
    try:
        return read(observation)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def spaces_of(env: Any, prefix: str = "") -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """Return the observation space and the action space of an environment.

    Parameters
    ----------
    env : gymnasium.Env or VectorEnv
        The environment.
    prefix : str
        "single_" for those of one environment of a vector environment.

    Raises
    ------
    UnsupportedEnvironment
        If one is missing, or is no space of Gymnasium; says which space to write.
    """
    from gymnasium import spaces

    found: list[gymnasium.Space[Any]] = []
    for name in (f"{prefix}observation_space", f"{prefix}action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, spaces.Space):
            kind = type(getattr(env, "unwrapped", env)).__name__
            raise UnsupportedEnvironment(f"{kind}.{name} is {_no_space(space)}")
        found.append(space)
    return found[0], found[1]


def _no_space(given: Any) -> str:
    """Return in words the fault of something that is given as a space, and the space to write in its place."""
    if given is None:
        return "missing; set it to a space, such as gymnasium.spaces.Discrete(16)"
    if type(given).__module__.partition(".")[0] == "gym":
        return f"{given}, a space of the former gym; {SHIMMY}"
    shown = _brief(given)
    if isinstance(given, (int, np.integer)) and given > 0:
        return f"{shown}, no space; write gymnasium.spaces.Discrete({given})"
    values = np.asarray(given).ravel() if isinstance(given, (list, tuple, range, np.ndarray)) else np.zeros(0)
    if values.size and values.dtype.kind in "iub" and np.unique(values).size == values.size:
        start = "" if values.min() == 0 else f", start={values.min()}"
        return f"{shown}, no space; write gymnasium.spaces.Discrete({np.ptp(values) + 1}{start})"
    return (
        f"{shown}, {type(given).__name__}, no space of Gymnasium; write gymnasium.spaces.Discrete(n) for n whole "
        "numbers, or gymnasium.spaces.Box(low, high, shape) for an array"
    )


def actions_of(space: gymnasium.Space[Any]) -> tuple[int, int]:
    """Return the number of actions, and the number that the environment has for the first.

    Raises
    ------
    UnsupportedEnvironment
        If the space is not Discrete; says which wrapper makes one of it.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return int(space.n), int(space.start)
    continuous = isinstance(space, spaces.Box) and space.dtype.kind == "f"
    raise UnsupportedEnvironment(
        f"{'continuous ' if continuous else ''}actions in {_brief(space)} cannot be learnt; wrap the environment in "
        f"{_wrapper_of(space)}, so that its action space is Discrete"
    )


def _wrapper_of(space: gymnasium.Space[Any]) -> str:
    """Return the wrapper that numbers the actions of a space, as it is written."""
    from gymnasium import spaces

    if isinstance(space, spaces.Box) and space.dtype.kind == "f" and space.is_bounded():
        return "gymnasium.wrappers.DiscretizeAction(env, bins=5)"
    if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
        numbers = _numbers_of(space)
        sizes = [high - low + 1 for low, high in zip(numbers.low, numbers.high, strict=True)]
        if numbers.whole and math.prod(sizes) <= _MOST_ACTIONS:
            first = f" + {numbers.low}" if any(numbers.low) else ""
            shape = f".reshape({space.shape})" if len(space.shape or ()) != 1 else ""
            whole = f"np.array(np.unravel_index(action, {tuple(sizes)})){first}"
            function = (
                f"lambda action: ({whole}){shape}" if first and shape else f"lambda action: {whole}{shape}"
            )
            n_actions = math.prod(sizes)
            return (
                f"gymnasium.wrappers.TransformAction(env, {function}, gymnasium.spaces.Discrete({n_actions}))"
            )
    return "a gymnasium.ActionWrapper that numbers some of its actions"


def _numbers_of(space: gymnasium.Space[Any]) -> _Numbers:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        first = int(space.start)
        return _Numbers(encode.Scalar(), [first], [first + int(space.n) - 1], True)
    if isinstance(space, spaces.MultiDiscrete):
        low = space.start.ravel().tolist()
        high = [first + int(n) - 1 for first, n in zip(low, space.nvec.ravel(), strict=True)]
        return _Numbers(encode.Array(len(low)), low, high, True)
    if isinstance(space, spaces.MultiBinary):
        n = math.prod(space.shape)
        return _Numbers(encode.Array(n), [0] * n, [1] * n, True)
    if isinstance(space, spaces.Box):
        return _of_box(space)
    if isinstance(space, spaces.Tuple):
        inner = [_numbers_of(part) for part in space.spaces]
        return _joined(encode.Sequence(tuple(numbers.part for numbers in inner)), inner)
    if isinstance(space, spaces.Dict):
        inner = [_numbers_of(part) for part in space.spaces.values()]
        return _joined(encode.Mapping(tuple(space.spaces), tuple(numbers.part for numbers in inner)), inner)
    raise UnsupportedEnvironment(
        f"observations in {_brief(space)} cannot be learnt: they are no fixed number of numbers. Allowed are "
        "Discrete, MultiDiscrete, MultiBinary, Box, and Tuple and Dict of those; a "
        "gymnasium.wrappers.TransformObservation can make one of them"
    )


def _of_box(space: gymnasium.spaces.Box) -> _Numbers:
    whole = space.dtype.kind in "biu"
    low, high = space.low.ravel().tolist(), space.high.ravel().tolist()
    if whole:
        high = [min(value, _MOST_STATES - 1) for value in high]
    return _Numbers(encode.Array(len(low)), low, high, whole)


def _joined(part: encode.Part, inner: list[_Numbers]) -> _Numbers:
    low = [value for numbers in inner for value in numbers.low]
    high = [value for numbers in inner for value in numbers.high]
    return _Numbers(part, low, high, all(numbers.whole for numbers in inner))


def _without_mask(space: gymnasium.Space[Any]) -> tuple[gymnasium.Space[Any], str | None]:
    """Return the space of the observation alone, and its key where it is an entry beside the mask."""
    from gymnasium import spaces

    if not isinstance(space, spaces.Dict) or MASK not in space.spaces:
        return space, None
    others = {key: part for key, part in space.spaces.items() if key != MASK}
    if set(others) == {OBSERVATION}:
        return others[OBSERVATION], OBSERVATION
    return spaces.Dict(others), None


def _check_mask(space: Any, n_actions: int) -> None:
    shape = space.spaces[MASK].shape
    if shape is None or math.prod(shape) != n_actions:
        raise UnsupportedEnvironment(
            f"the mask in the observation is in {_brief(space.spaces[MASK])}; there are {n_actions} actions"
        )


def _observation_of(space: gymnasium.Space[Any], digits: list[Any]) -> Any:
    """Take an observation's numbers off the end of *digits*, the first number last, and return it."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return digits.pop()
    if isinstance(space, spaces.Tuple):
        return tuple(_observation_of(part, digits) for part in space.spaces)
    if isinstance(space, spaces.Dict):
        return {key: _observation_of(part, digits) for key, part in space.spaces.items()}
    shape: tuple[int, ...] = space.shape or ()
    return np.array([digits.pop() for _ in range(math.prod(shape))], space.dtype).reshape(shape)


def _brief(space: gymnasium.Space[Any]) -> str:
    """Return a space's name in messages: the text of some spaces holds every bound."""
    text = " ".join(str(space).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
