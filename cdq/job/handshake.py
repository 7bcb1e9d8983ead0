"""Messages of a worker and the hub when they meet: versions and arithmetic, then the job and its present state."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq import schedules
from cdq._version import __version__
from cdq.contracts import WorkerTask
from cdq.errors import ConfigError
from cdq.errors.checks import described, whole
from cdq.job.job import Job, Known, make_worker, problem_of, updates_of
from cdq.job.messages import OpenWindow, Shape, as_window, check_lanes
from cdq.job.tasks import describe, member_of
from cdq.mdp import MDP, pack_model
from cdq.merges import Personal
from cdq.qfunctions import MergedTable
from cdq.rules import Q_LEARNING, as_rule
from cdq.schedules import Polynomial, RescaledLinear, StepSize, build_law
from cdq.settings import arguments_of, make_settings, named_model
from cdq.settings.settings import type_of
from cdq.storage import Tensors, pack_tensors, parse_tensors

# Changes whenever messages, or what a worker does on them, change.
PROTOCOL = 4
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
    if said.get("cdq") != __version__:
        raise ConfigError(
            f"the worker has cdq {_short(said.get('cdq'))}, the hub has {__version__}; install the same on both"
        )
    if said.get("protocol") != PROTOCOL:
        raise ConfigError(
            f"the worker has protocol {_short(said.get('protocol'))}, the hub has {PROTOCOL}; "
            "install the same cdq on both"
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


@dataclass(frozen=True)
class Welcome:
    """Start of a worker, as the hub sends it.

    Attributes
    ----------
    problem : WorkerTask
        The task of the worker.
    gamma, mass, scale : float
        Discount; the pooled mass that a round may add to a clock; the factor of all step sizes.
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
    rank : int
        Number of the worker.
    """

    problem: WorkerTask
    gamma: float
    mass: float
    scale: float
    step_size: StepSize
    shape: Any
    merged: MergedTable
    lanes: npt.NDArray[np.uint8]
    window: OpenWindow
    asynchronous: bool
    name: str
    target: int
    rank: int


def pack_welcome(
    job: Job,
    uid: int,
    merged: MergedTable,
    lanes: Any,
    window: OpenWindow,
    *,
    target: int,
    asynchronous: bool = False,
) -> bytes:
    """Return all that a worker needs, as the hub sends it; an environment that is no model it makes itself."""
    settings, (task, told) = job.settings, member_of(job.task, job.about, uid)
    made_of, arrays = describe(task, told)
    about = {
        "kind": "welcome",
        **made_of,
        "gamma": settings.gamma,
        "mass": settings.sync_every.mass,
        "step_size": schedules.to_config(settings.step_size),
        "num_envs": job.shape.num_envs,
        "own_bytes": job.shape.own_bytes,
        "task": list(window),
        "target": target,
        "asynchronous": asynchronous,
        "rank": uid,
    }
    if settings.network is not None:
        about["network"] = True
    if settings.rule != Q_LEARNING:
        about["rule"] = settings.rule.name
    if job.task.step_scale != 1.0:
        about["scale"] = job.task.step_scale
    if job.personal is not None:
        about["personal"] = job.personal.to_config()
    own = {**job.table_of(merged, uid), "lanes": np.frombuffer(lanes, np.uint8)}
    return pack_tensors({**own, **arrays}, about)


def open_welcome(data: Any, known: Known) -> Welcome:
    """Return the hub's message, opened; *known* are the tasks that the worker has made.

    Raises
    ------
    ConfigError
        If a worker cannot begin with it.
    """
    try:
        tensors, about = parse_tensors(bytes(data), "the hub's welcome")
        if "network" in about:
            return _welcome_to_network(tensors, about, known)
        return _welcome(tensors, about, known)
    except Exception as error:  # whatever a hub sends, it is the hub's fault
        raise ConfigError(
            f"a worker cannot begin with what the hub sent: {described(error)}; use the same cdq"
        ) from None


def _lanes(tensors: Tensors) -> npt.NDArray[np.uint8]:
    """Return the state of a worker's lanes, if it is bytes; raise `ConfigError` if not."""
    lanes = tensors["lanes"]
    if lanes.dtype != np.uint8 or lanes.ndim != 1:
        raise ConfigError(f"its lanes are {lanes.dtype} of shape {lanes.shape}, not bytes")
    return lanes


def _welcome_to_network(tensors: Tensors, about: Mapping[str, Any], known: Known) -> Welcome:
    task = known.open(about, tensors, "float32")
    arguments = arguments_of("the hub's job", about, None, network=named_model(about))
    settings = make_settings(**{**arguments, "comm": "inprocess"})
    job = Job(task, settings, about)
    rank = whole("the worker's number", about["rank"], 0)
    problem, merged = job.problem_of(rank)
    merged.fill(tensors)
    check_lanes(_lanes(tensors), job.shape)
    return Welcome(
        problem,
        settings.gamma,
        settings.sync_every.mass,
        1.0,
        settings.step_size,
        job.shape,
        merged,
        tensors["lanes"],
        as_window(about["task"]),
        False,
        str(about["name"]),
        whole("the target", about["target"], 0),
        rank,
    )


def _welcome(tensors: Tensors, about: Mapping[str, Any], known: Known) -> Welcome:
    values, rule = tensors["values"], about.get("rule", Q_LEARNING.name)
    personal = Personal.from_config(about["personal"]) if "personal" in about else None
    task = known.open(about, tensors, type_of(values.dtype))
    rank = whole("the worker's number", about.get("rank", 0), 0)
    lanes = whole("the number of lanes", about["num_envs"], 1)
    own_bytes = whole("the bytes of a lane", about.get("own_bytes", 0), task.own_bytes)
    sizes = task.n_rows, task.columns * as_rule(rule).tables
    if (len(values), values.shape[1]) != (sizes[0] * (2 if personal else 1), sizes[1]):
        raise ConfigError("its table is none of what it says is learnt")
    shape = Shape(*sizes, values.dtype, lanes, own_bytes, personal is not None, updates_of(task))
    problem, merged = problem_of(task, shape, rule, rank, personal)
    merged.values[:], merged.clock[:] = values, tensors["clock"]
    check_lanes(_lanes(tensors), shape)
    return Welcome(
        problem,
        float(about["gamma"]),
        float(about["mass"]),
        float(about.get("scale", 1.0)),
        schedules.from_config(about["step_size"]),
        shape,
        merged,
        tensors["lanes"],
        as_window(about["task"]),
        bool(about["asynchronous"]),
        str(about["name"]),
        whole("the target", about.get("target", 0), 0),
        rank,
    )
