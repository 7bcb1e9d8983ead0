"""Messages of a worker and the hub when they meet: versions and arithmetic, then the job and its present state."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq import schedules
from cdq._version import __version__
from cdq.comm.contribution import Received
from cdq.errors import CdqError, ConfigError
from cdq.errors.checks import whole
from cdq.job.messages import OpenWindow, Shape, check_lanes, open_result, pack_contribution
from cdq.mdp import MDP, PackedModel, pack_model
from cdq.qfunctions import MergedTable
from cdq.rules import Q_LEARNING, as_rule
from cdq.schedules import Polynomial, RescaledLinear, StepSize, build_law
from cdq.settings import Settings
from cdq.storage import Tensors, pack_tensors
from cdq.workers import Summary, Worker, WorkerContribution

# Changes whenever messages, or what a worker does on them, change.
PROTOCOL = 2
_MODEL = ("offsets", "next_state", "probability", "reward", "terminated", "start")
# A greeting is a few hundred bytes; one that is longer is none.
_LONGEST_HELLO = 4096
_LONGEST_HOST = 64  # characters of the name of a worker's machine


def hello() -> bytes:
    """Return the first message of a worker."""
    said = {
        "protocol": PROTOCOL,
        "cdq": __version__,
        "byteorder": sys.byteorder,
        "probe": probe(),
        "host": socket.gethostname()[:_LONGEST_HOST],
    }
    return json.dumps(said).encode()


def check_hello(data: bytes) -> str:
    """Raise `ConfigError` if the worker of this message cannot take part; tells its user why, and the remedy.

    Returns the name of its machine, which is whatever the worker says.
    """
    try:
        said = json.loads(data) if len(data) <= _LONGEST_HELLO else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ConfigError("the greeting is not that of a cdq worker; start workers with cdq join")
    if (said.get("protocol"), said.get("cdq")) != (PROTOCOL, __version__):
        raise ConfigError(
            f"the worker has cdq {_short(said.get('cdq'))}, the hub has {__version__}; install the same on both"
        )
    if (said.get("byteorder"), said.get("probe")) != (sys.byteorder, probe()):
        raise ConfigError(
            "the worker's floating-point arithmetic differs from the hub's in the last bits, so that no run could be "
            "repeated; use machines of one kind, and the same build of cdq"
        )
    host = said.get("host")
    return host[:_LONGEST_HOST] if isinstance(host, str) and host.isprintable() else ""


def _short(said: object) -> str:
    return repr(said)[:40]


@lru_cache(maxsize=1)
def probe() -> str:
    """Return a digest of how this machine computes: the same, or learning differs in the last bits.

    Some updates are learnt in both precisions, under laws that take powers and logarithms, with rewards whose products
    round differently when a multiplication and an addition are fused, and denormal ones, which some programs flush.
    """
    digest = hashlib.sha256()
    for dtype, tiny in (("float64", 3e-310), ("float32", 2e-40)):
        model = _small_model(tiny)
        for step_size in (Polynomial(0.77), RescaledLinear(0.99)):
            merged = MergedTable(model.n_states, model.n_actions, dtype, tiny)
            worker = make_worker(pack_model(model, dtype), merged, 0.99, 2, None)
            worker.run(build_law(step_size, 0, 0.3, dtype), 20, 1.0, 0.5)
            worker.commit_alone()
            digest.update(merged.digest())
    return digest.hexdigest()


def _small_model(tiny: float) -> MDP:
    forward, stay = np.roll(np.eye(4), 1, axis=1), np.eye(4)
    rewards = np.array([[0.1, tiny], [-1 / 3, tiny / 3], [2 / 7, tiny], [1e-3 / 7, tiny]])
    return MDP.from_arrays([forward, (forward + stay) / 2], rewards)


def make_worker(sampler: PackedModel, merged: MergedTable, gamma: float, num_envs: int, lanes: Any) -> Worker:
    """Return a worker that goes on from *lanes*; the first of a run of seed 0 without them."""
    return Worker(
        sampler,
        merged,
        is_keeper=True,
        gamma=gamma,
        seed=0,
        rank=0,
        session=0,
        num_envs=num_envs,
        stop=np.zeros(1, np.int32),
        lanes=lanes,
    )


@dataclass(frozen=True)
class Job:
    """Model and settings of a job, the same for all workers from the first round to the last."""

    model: MDP
    settings: Settings

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the model."""
        return self.model.fingerprint()

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.model.name

    @property
    def shape(self) -> Shape:
        """Sizes from which those of messages follow."""
        real = np.dtype(self.settings.dtype)
        columns = self.model.n_actions * self.settings.rule.tables
        return Shape(self.model.n_states, columns, real, self.settings.num_envs)


@dataclass(frozen=True)
class Welcome:
    """Start of a worker, as the hub sends it.

    Attributes
    ----------
    sampler : PackedModel
        The model, packed.
    gamma, mass : float
        Discount; the pooled mass that a round may add to a clock.
    step_size : StepSize
        Law of the step sizes.
    shape : Shape
        Sizes from which those of messages follow.
    merged : MergedTable
        The table; visits are the hub's business.
    lanes : array
        State of the worker's environments, as bytes.
    window : OpenWindow
        The window to learn first.
    asynchronous : bool
        True if there are no rounds.
    name : str
        Name of the environment.
    target : int
        Steps of all workers at which the job ends; 0: a hub of an older cdq does not say.
    """

    sampler: PackedModel
    gamma: float
    mass: float
    step_size: StepSize
    shape: Shape
    merged: MergedTable
    lanes: npt.NDArray[np.uint8]
    window: OpenWindow
    asynchronous: bool
    name: str
    target: int

    @property
    def dtype(self) -> str:
        """Type of the table."""
        return str(self.shape.real)

    def worker(self) -> Worker:
        """Return the worker, which goes on from the lanes."""
        return make_worker(self.sampler, self.merged, self.gamma, self.shape.num_envs, self.lanes)

    def contribution(self, worker: Worker, summary: Summary, checksum: int) -> Received:
        """Return what the worker brings."""
        own = WorkerContribution(worker, needs_mass=False)
        own.summary = summary
        return pack_contribution(own.cut(1)[0], checksum, worker.lane_state)

    def take(self, worker: Worker, payload: Any) -> OpenWindow:
        """Let the worker take over what a round has come to; return the next window. `ValueError` if it is none."""
        window, merged = open_result(payload)
        worker.commit([np.frombuffer(merged, np.uint8)])
        return window


def pack_welcome(
    job: Job, merged: MergedTable, lanes: Any, window: OpenWindow, *, target: int, asynchronous: bool = False
) -> bytes:
    """Return all that a worker needs, as the hub sends it: no environment is made anywhere but at the hub."""
    settings = job.settings
    about = {
        "kind": "welcome",
        "model": job.fingerprint,
        "sizes": [job.model.n_states, job.model.n_actions],
        "time_limit": job.model.time_limit,
        "name": job.model.name,
        "gamma": settings.gamma,
        "mass": settings.sync_every.mass,
        "step_size": schedules.to_config(settings.step_size),
        "num_envs": settings.num_envs,
        "task": list(window),
        "target": target,
        "asynchronous": asynchronous,
    }
    if settings.rule != Q_LEARNING:
        about["rule"] = settings.rule.name
    if job.model.opponent is not None:
        about["opponent"] = job.model.opponent
    tensors = {"values": merged.values, "clock": merged.clock, "lanes": np.frombuffer(lanes, np.uint8)}
    return pack_tensors({**tensors, **model_tensors(job.model)}, about)


def open_welcome(
    tensors: Tensors, about: Mapping[str, Any], samplers: dict[tuple[str, str], PackedModel]
) -> Welcome:
    """Return the hub's message, opened; *samplers* are the models that the worker has, by fingerprint and dtype.

    Raises
    ------
    ConfigError
        If a worker cannot begin with it.
    """
    try:
        values = tensors["values"]
        n_states, columns = values.shape
        shape = Shape(n_states, columns, values.dtype, int(about["num_envs"]))
        rule = as_rule(about.get("rule", Q_LEARNING.name))
        merged = MergedTable(n_states, columns // rule.tables, shape.real, 0.0, rule)
        merged.values[:], merged.clock[:] = values, tensors["clock"]
        check_lanes(tensors["lanes"], shape)
        return Welcome(
            _sampler(about, tensors, shape, rule.tables, samplers),
            float(about["gamma"]),
            float(about["mass"]),
            schedules.from_config(about["step_size"]),
            shape,
            merged,
            tensors["lanes"],
            OpenWindow(*about["task"]),
            bool(about["asynchronous"]),
            str(about["name"]),
            whole("the target", about.get("target", 0), 0),
        )
    except (CdqError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"a worker cannot begin with what the hub sent: {error!r}; use the same cdq"
        ) from None


def _sampler(
    about: Mapping[str, Any],
    tensors: Tensors,
    shape: Shape,
    tables: int,
    samplers: dict[tuple[str, str], PackedModel],
) -> PackedModel:
    key = str(about["model"]), str(shape.real)
    if key not in samplers:
        model = model_of(about, tensors)
        if model.fingerprint() != key[0] or (model.n_states, model.n_actions * tables) != shape[:2]:
            raise ConfigError("its model is another one than it says")
        samplers[key] = pack_model(model, shape.real)
    return samplers[key]


def model_tensors(model: MDP) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that a model is made of."""
    tensors = {f"model.{name}": getattr(model, name) for name in _MODEL}
    return tensors if model.actions is None else {**tensors, "model.actions": model.actions}


def model_of(about: Mapping[str, Any], tensors: Tensors) -> MDP:
    """Return the model of *about* ("sizes", "time_limit", "name") and what `model_tensors` returned; it is checked."""
    arrays: dict[str, Any] = {name: tensors[f"model.{name}"] for name in _MODEL}
    n_states, n_actions = about["sizes"]
    grid = about.get("grid")  # for drawings: no worker needs it
    return MDP(
        n_states,
        n_actions,
        **arrays,
        time_limit=about["time_limit"],
        name=str(about["name"]),
        actions=tensors.get("model.actions"),
        grid=None if grid is None else tuple(grid),
        opponent=about.get("opponent"),
    )
