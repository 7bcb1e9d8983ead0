"""Settings of a learner: checked arguments, and their JSON form."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq import schedules
from cdq.errors import ConfigError, FileError
from cdq.errors.checks import one_of, real, shown, whole
from cdq.merges import MergeRule
from cdq.rules import Q_LEARNING, UpdateRule, as_rule
from cdq.schedules import Rate, StepSize
from cdq.training.approach import Approach
from cdq.workers import AutoWindow, FixedWindow, Window, as_window

# More threads or lanes than any machine of today has use for; each takes memory and time to set up.
MOST_WORKERS, MOST_LANES = 4096, 65_536
# A digest of 256 bits may be a seed; numbers without end are a mistake.
MOST_SEED = 2**256 - 1

# Communicators that a file may name.
_NAMED = ("auto", "inprocess", "zmq", "mpi")
_PLAIN = ("gamma", "workers", "num_envs", "comm", "dtype", "seed", "initial_value", "overlap")


@dataclass(frozen=True)
class Settings:
    """Settings of a learner: its arguments, checked; see `QLearner`."""

    gamma: float
    step_size: StepSize
    exploration: Rate
    merge: str | MergeRule
    window: Window
    workers: int
    num_envs: int
    comm: str
    dtype: str
    seed: int
    initial_value: float
    overlap: bool
    approach: Approach
    rule: UpdateRule = Q_LEARNING

    def to_config(self) -> dict[str, Any]:
        """Return the settings as a JSON object."""
        window = {"kind": type(self.window).__name__, **asdict(self.window)}
        merge = self.merge if isinstance(self.merge, str) else type(self.merge).__name__
        named = {
            "step_size": schedules.to_config(self.step_size),
            "exploration": schedules.to_config(self.exploration),
            "window": window,
            "merge": merge,
        }
        plain = {name: getattr(self, name) for name in _PLAIN}
        if self.rule != Q_LEARNING:  # as files did before there were others
            named["rule"] = self.rule.name
        return {**named, **plain, **self.approach.to_config()}


def make_settings(
    *,
    gamma: float,
    step_size: float | StepSize | None,
    exploration: float | Rate,
    merge: str | MergeRule,
    sync_every: str | int | Window,
    workers: int | None,
    num_envs: int | None,
    comm: str,
    dtype: npt.DTypeLike,
    seed: int | None,
    initial_value: float,
    overlap: bool,
    rule: str = Q_LEARNING.name,
    **approach: Any,
) -> Settings:
    """Return the arguments of `QLearner`, checked.

    `num_envs` is 0 where it follows from the environment, `workers` where it follows from the communicator.

    Raises
    ------
    ConfigError
        If one is not allowed; the message says what is.
    """
    gamma = real("gamma", gamma, "a number from 0 to 1", 0.0, 1.0)
    kind = type_of(dtype)
    largest = float(np.finfo(kind).max)
    initial_value = real(
        "initial_value", initial_value, f"finite numbers that {kind} holds", -largest, largest
    )
    one_of("overlap", overlap, (True, False))
    if overlap and approach.get("table") == "hash":
        raise ConfigError(
            "overlap and a hashed table exclude each other: its rows are agreed on before a merge"
        )
    return Settings(
        gamma=gamma,
        step_size=schedules.as_step_size(step_size, gamma),
        exploration=schedules.as_rate(exploration, "exploration"),
        merge=merge,
        window=as_window(sync_every),
        workers=0 if workers is None else whole("workers", workers, 1, MOST_WORKERS),
        num_envs=0 if num_envs is None else whole("num_envs", num_envs, 1, MOST_LANES),
        comm=comm,
        dtype=kind,
        seed=secrets.randbits(63) if seed is None else whole("seed", seed, 0, MOST_SEED),
        initial_value=initial_value,
        overlap=overlap,
        approach=Approach(**approach),
        rule=as_rule(rule),
    )


def type_of(dtype: npt.DTypeLike) -> str:
    """Return the name of a table's type: "float64" or "float32", however it was given."""
    try:
        name = np.dtype(dtype).name if dtype is not None else None
    except TypeError:
        name = None
    if name not in {"float64", "float32"}:
        raise ConfigError(
            f"dtype is {shown(dtype)}; allowed: 'float64' or 'float32', or NumPy's types of these names"
        )
    return name


def arguments_of(path: object, header: Mapping[str, Any], merge: MergeRule | None) -> dict[str, Any]:
    """Return the arguments of `QLearner` that a file, which *path* names, says in its header.

    Raises
    ------
    FileError
        If it does not.
    """
    try:
        arguments = as_arguments(header["settings"], merge)
        texts = [header["environment"], *(header["settings"][name] for name in ("merge", "comm", "dtype"))]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{texts} should be text")
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} lacks what a learner is made with: {error!r}; use another") from None
    return arguments


def as_arguments(config: Mapping[str, Any], merge: MergeRule | None) -> dict[str, Any]:
    """Return the arguments of `QLearner` that `Settings.to_config` described."""
    window = dict(config["window"])
    kind = {"AutoWindow": AutoWindow, "FixedWindow": FixedWindow}[window.pop("kind")]
    known = {"overlap": False, **config}  # files of 0.1 know none
    if (
        known["comm"] not in _NAMED
    ):  # a URL, or another package's: no file says where to connect, or what to import
        known["comm"] = "auto"
    return {
        **{name: known[name] for name in _PLAIN},
        **Approach.from_config(config).arguments(),
        "step_size": schedules.from_config(config["step_size"]),
        "exploration": schedules.from_config(config["exploration"]),
        "rule": config.get("rule", Q_LEARNING.name),
        "merge": merge if merge is not None else config["merge"],
        "sync_every": kind(**window),
    }
