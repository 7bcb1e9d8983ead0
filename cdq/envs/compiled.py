"""Environments written in C, Cython or Numba, which the compiled loop steps by itself."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from cdq.contracts import Board
from cdq.contracts.blocks import Blocks
from cdq.core.envs.envs import call
from cdq.core.lanes import Lanes
from cdq.core.loops.stepping import LANE_BYTES, MOST_MASKED, MOST_UNIFORMS, Stepper
from cdq.core.table.qfunction import QFunction
from cdq.envs.boards import EnvBoard, Positions, all_positions
from cdq.envs.given import context_of, space_of, whole_of
from cdq.envs.lane import lane_dtype
from cdq.envs.pointers import address_of, from_names, to_names
from cdq.envs.toy_text import read_table
from cdq.envs.wrappers import time_limit_of
from cdq.errors import ConfigError, EnvironmentFailure, UnsupportedEnvironment

MOST_MEMORY = 1 << 30  # bytes of a state
_EVERY = np.uint64(2**64 - 1)
_WITH_ADDRESSES = {"grid", "garnet"}  # functions whose context holds some: `_link` writes them


class CompiledEnv(gymnasium.Env[Any, Any]):
    """An environment whose step and reset are compiled functions of one argument, a pointer to `cdq_lane`.

    `QLearner` steps it in compiled code, at tens of millions of steps a second, in threads. It is a Gymnasium
    environment too, for everything else: stepped from Python, its randomness is `np_random`'s.

    Parameters
    ----------
    step, reset : function
        Functions as core/lane.h describes them: each a `numba.cfunc`, a PyCapsule (Cython has one for each function
        of a module's ``__pyx_capi__``), a `scipy.LowLevelCallable`, a ctypes function, or an address.
    encode : function, optional
        Called after either, to write `index` or `observation` from the state.
    n_actions : int
        Actions are 0 to n_actions - 1.
    n_states : int, optional
        Number of states: the observation is `index`, 0 to n_states - 1. Above the largest size of a table, `index`
        is a key of a hashed one.
    observation_space : gymnasium.spaces.Box, optional
        Space of observations: the observation is `observation`, a vector of at most 8 numbers. Either this or
        *n_states* is needed.
    context : array or bytes, optional
        The environment's parameters, to which `context` points; kept alive.
    uniforms : int
        Number of random numbers that a step uses, 0 to 4; those beyond are not drawn. A reset always has 4.
    time_limit : int, optional
        Steps after which an episode is truncated.
    masked : bool
        True where the functions write `allowed`: states do not have every action, of up to 64.
    memory : int
        Bytes of state that an environment needs beyond the 64 of a lane, to which `memory` points.
    name : str
        Name for reports. A table is loaded for an environment of the same name, sizes and context.

    Raises
    ------
    ConfigError
        If a function is none, or has another signature where it tells, or a size is not allowed.

    Notes
    -----
    `copy.copy` and `copy.deepcopy` give an environment with a state and random numbers of its own, which goes on from
    the same step. An environment of functions that the package ships can be pickled too; one of other functions cannot:
    their addresses mean nothing in another process.

    Examples
    --------
    A chain of 4 states, of functions that the package ships:

    >>> from cdq.core.envs.envs import FUNCTIONS
    >>> step, reset = FUNCTIONS["river"]
    >>> env = CompiledEnv(step, reset, n_actions=2, n_states=4, context=np.array([4]), uniforms=1)
    >>> int(env.reset(seed=0)[0]), env.step(1)[1]
    (0, 0.0)
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's
    # The allowed actions of each state as bits, and the blocks of its table, where a class has such.
    allowed_of: npt.NDArray[np.uint64] | None = None
    blocks: Blocks | None = None

    def __init__(
        self,
        step: Any,
        reset: Any,
        *,
        encode: Any = None,
        n_actions: int,
        n_states: int | None = None,
        observation_space: gymnasium.spaces.Box | None = None,
        context: npt.NDArray[Any] | bytes | None = None,
        uniforms: int = MOST_UNIFORMS,
        time_limit: int | None = None,
        masked: bool = False,
        memory: int = 0,
        name: str = "CompiledEnv",
    ) -> None:
        self._functions = (step, reset, encode)  # kept alive
        self._step, self._reset = address_of(step, "step"), address_of(reset, "reset")
        self._encode = 0 if encode is None else address_of(encode, "encode")
        self.n_actions = whole_of("n_actions", n_actions, 1, MOST_MASKED if masked else 2**31 - 1)
        self.masked = bool(masked)
        self.uniforms = whole_of("uniforms", uniforms, 0, MOST_UNIFORMS)
        self.time_limit = None if time_limit is None else whole_of("time_limit", time_limit, 1, 2**62)
        self.name = name
        self.observation_space = space_of(n_states, observation_space)
        self.n_states = n_states
        self.action_space = gymnasium.spaces.Discrete(self.n_actions)
        self._context = context_of(context)
        self._more = np.zeros(-(-whole_of("memory", memory, 0, MOST_MEMORY) // 8), np.int64)
        self._memory = np.zeros(LANE_BYTES, np.uint8)
        self._lane = self._memory.view(lane_dtype())[0]
        self._elapsed: int | None = None

    def __repr__(self) -> str:
        return f"<{self.name}: {self.observation_space}, {self.n_actions} actions>"

    @property
    def functions(self) -> tuple[int, int, int]:
        """The addresses of step, reset and encode; 0 without one."""
        return self._step, self._reset, self._encode

    @property
    def context(self) -> int:
        """The address of the parameters; 0 without any."""
        return int(self._context.ctypes.data) if self._context.size else 0

    @property
    def memory(self) -> int:
        """Bytes of its state beyond those of a lane."""
        return self._more.nbytes

    def parameters(self) -> bytes:
        """Return the bytes by which this environment differs from others of its name and sizes."""
        return self._context.tobytes()

    # ---- copies

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        other = memo[id(self)] = object.__new__(type(self))
        memo[id(self._functions)] = self._functions  # of this process, as the copy is
        other._restore({name: copy.deepcopy(value, memo) for name, value in self._own().items()})
        return other

    def __getstate__(self) -> dict[str, Any]:
        names = to_names(self.functions)
        linked = type(self)._link is not CompiledEnv._link
        if names is None or (not linked and any(name and name[0] in _WITH_ADDRESSES for name in names)):
            raise ConfigError(
                f"{self.name} cannot be pickled: its functions or parameters are addresses, which mean nothing in "
                "another process. Give a function that makes the environment in place of the environment; a class of "
                "your own may derive from gymnasium.utils.EzPickle first, which pickles its arguments"
            )
        return {**self._own(), "_functions": names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        step, reset, encode = functions = from_names(state["_functions"])
        self._restore({**state, "_functions": functions, "_step": step, "_reset": reset, "_encode": encode})

    def _own(self) -> dict[str, Any]:
        """Return all attributes but the view of the lane, which `_restore` makes again."""
        return {name: value for name, value in self.__dict__.items() if name != "_lane"}

    def _restore(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lane = self._memory.view(lane_dtype())[0]
        self._link()

    def _link(self) -> None:
        """Write to the context the addresses that it holds, where an environment's context holds some."""

    # ---- Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self._lane["uniform"] = self.np_random.random(4)
        self._call(self._reset)
        self._elapsed = 0
        return self._observation(), self._mask()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step."""
        if self._elapsed is None:
            raise gymnasium.error.ResetNeeded(f"{self.name} is stepped before it was reset")
        if not (self.action_space.contains(action) and 0 <= action < self.n_actions):
            raise gymnasium.error.InvalidAction(f"action {action!r}; allowed: 0 to {self.n_actions - 1}")
        self._lane["action"] = action
        self._lane["uniform"][: self.uniforms] = self.np_random.random(self.uniforms)
        self._call(self._step)
        self._elapsed += 1
        truncated = bool(self._lane["truncated"]) or self._elapsed == self.time_limit
        discount, info = float(self._lane["discount"]), self._mask()
        if discount != 1:
            info["discount"] = discount
        return (
            self._observation(),
            float(self._lane["reward"]),
            bool(self._lane["terminated"]),
            truncated,
            info,
        )

    def render(self) -> Any:
        """Refuse: a compiled environment draws a picture only where its class says how.

        Raises
        ------
        UnsupportedEnvironment
            Always; says which of the shipped environments draw.
        """
        raise UnsupportedEnvironment(
            f"{self.name} draws no picture; cdq/GridWorld-v0, cdq/DeepSea-v0 and Gymnasium's own environments do"
        )

    def _shown(self) -> int:
        """Return the state that is observed."""
        if self._elapsed is None:
            raise gymnasium.error.ResetNeeded(f"{self.name} is drawn before it was reset")
        return int(self._lane["index"])

    def _call(self, function: int) -> None:
        self._lane["terminated"] = self._lane["truncated"] = 0
        self._lane["discount"], self._lane["successor"], self._lane["allowed"] = 1.0, -1, _EVERY
        more = int(self._more.ctypes.data) if self._more.size else 0
        call(function, self._memory, self.context, more)
        if self._encode:
            call(self._encode, self._memory, self.context, more)

    def _mask(self) -> dict[str, Any]:
        """Return an info with the actions that are allowed, where states do not have every action."""
        if not self.masked:
            return {}
        allowed = int(
            self._lane["allowed"] if self.allowed_of is None else self.allowed_of[self._lane["index"]]
        )
        return {"action_mask": np.array([allowed >> a & 1 for a in range(self.n_actions)], np.int8)}

    def mask_of(self, observation: Any) -> Any:
        """Return the actions that an observation allows, where it tells; None where every one is taken for allowed."""
        return None

    def _observation(self) -> Any:
        space = self.observation_space
        if isinstance(space, gymnasium.spaces.Box):
            return self._lane["observation"][: space.shape[0]].astype(space.dtype)
        return np.int64(self._lane["index"])


class CompiledEnvironment:
    """The transitions of a compiled environment, for the loop that steps it.

    Parameters
    ----------
    env : gymnasium.Env
        A `CompiledEnv`, or one in Gymnasium's wrappers for order, time limit and checks.
    masks : bool
        False: take no notice of the actions that states do not have.

    Raises
    ------
    UnsupportedEnvironment
        If it is another one.
    """

    stepping = "compiled environment"
    resumable = True
    threads = True
    default_num_envs = 16
    encoder: Any = None

    def __init__(self, env: gymnasium.Env[Any, Any], *, masks: bool = True) -> None:
        base = env.unwrapped
        if not isinstance(base, CompiledEnv):
            raise UnsupportedEnvironment(f"{env} is not compiled; give a CompiledEnv")
        self.env, self._base, self._masked = env, base, base.masked and masks
        self.name = env.spec.id if env.spec is not None else base.name
        self.n_actions, self.n_states = base.n_actions, base.n_states
        self.own_bytes, self.blocks = LANE_BYTES + base.memory, base.blocks
        limits = (base.time_limit, time_limit_of(env))
        self.time_limit = min((limit for limit in limits if limit is not None), default=None)

    def loop(
        self, q: QFunction, lanes: Lanes, gamma: float, seeds: Sequence[int], stop: npt.NDArray[np.int32]
    ) -> Stepper:
        """Return the loop of a worker; all randomness is that of the lanes' streams."""
        return self._stepper(q, lanes, gamma, self.time_limit or 0, stop)

    def episodes(
        self, q: QFunction, words: npt.NDArray[np.uint64], n: int, longest: int, stop: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Play *n* greedy episodes of at most *longest* steps; return their returns and lengths.

        Episode i has the stream i % words.shape[1]. Where the flag *stop* ends it early, the rest are zero.
        """
        lanes = Lanes(q.n, self.own_bytes)
        lanes.words[:] = words
        limit = min(longest, self.time_limit or longest)
        returns, lengths = np.zeros(n), np.zeros(n, np.int64)
        self._stepper(q, lanes, 1.0, limit, stop).follow(returns, lengths)
        return returns, lengths

    def _stepper(
        self, q: QFunction, lanes: Lanes, gamma: float, time_limit: int, stop: npt.NDArray[np.int32]
    ) -> Stepper:
        step, reset, encode = self._base.functions
        return Stepper(
            q,
            step=step,
            reset=reset,
            encode=encode,
            context=self._base.context,
            uniforms=self._base.uniforms,
            time_limit=time_limit,
            words=lanes.words,
            elapsed=lanes.elapsed,
            returns=lanes.returns,
            own=lanes.own,
            gamma=gamma,
            stop=stop,
            failure=self._failure,
            masked=self._masked,
            allowed_of=self._base.allowed_of if self._masked else None,
            **self._of_agents(q.n),
        )

    def _of_agents(self, n: int) -> dict[str, Any]:
        """Return what the loop of so many lanes knows of their agents; here each lane is one."""
        return {}

    def _failure(self, what: str, lane: int, step: int) -> EnvironmentFailure:
        return EnvironmentFailure(f"{self.name} cannot be learnt on: {what}", lane=lane, step=step)

    def mask_of(self, observation: Any) -> Any:
        """Return the actions that an observation allows, where it tells and that is heeded; else None."""
        return self._base.mask_of(observation) if self._masked else None

    def board(self) -> Board:
        """Return a board for a copy of the environment."""
        return EnvBoard(copy.deepcopy(self.env))

    def positions(self) -> Positions:
        """Return the model of a small game, and an observation of each of its positions (`all_positions`)."""
        if hasattr(self._base, "P"):
            table = read_table(self.env)
            return table, list(range(table.n_states))
        return all_positions(copy.deepcopy(self.env), int, self.n_actions)

    def fingerprint(self) -> str:
        """Return the SHA-256 of name, sizes, limit and parameters, on which a learnt table depends."""
        base = self._base
        about = f"{base.name} {base.observation_space} {base.n_actions} {self.time_limit}"
        about += " masked" if self._masked else ""
        return hashlib.sha256(about.encode() + base.parameters()).hexdigest()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()
