"""A call of `learn` whose workers are a hub's: local processes that it starts, or whoever joins."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cdq.comm.zmq.events import Settings as HubSettings
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.keys import Keys
from cdq.comm.zmq.rounds import HubMachine
from cdq.errors import ConfigError
from cdq.interrupts import Requests, signals_deferred
from cdq.job.asynchronous import AsynchronousService
from cdq.job.contributions import Contributions
from cdq.job.description import Job
from cdq.job.faults import point
from cdq.job.increments import largest
from cdq.job.journal import Journal, hub_state
from cdq.job.replay import repeat, take_again
from cdq.job.service import LearningService, make_service, plan_of
from cdq.job.store import write_beginning
from cdq.keeping import Checkpoints
from cdq.mdp import MDP
from cdq.monitor import Watch
from cdq.rounds import Rule
from cdq.settings import Settings
from cdq.state import State, lanes_of
from cdq.team import Team

_log = logging.getLogger("cdq.hub")
_PATIENCE = 2.0  # seconds that a hub which is to end waits for the round in hand


@dataclass(frozen=True)
class Hosting:
    """How a hub is open to workers that come and go.

    Parameters
    ----------
    url : str
        Where it is: ``zmq+ipc://PATH``, ``zmq+curve://HOST:PORT`` or ``zmq+tcp://127.0.0.1:PORT``.
    max_members : int
        No more take part at once. A round needs as many as the learner has `workers`.
    round_timeout : float, optional
        Seconds after which a round closes without those who have not delivered; None: never.
    grace : float
        Seconds that a worker may be unreachable before the round closes without it.
    durable : bool
        Whether each round is on the disk before it is acknowledged; otherwise checkpoints are.
    insecure : bool
        Let ``zmq+tcp`` be on addresses that other machines reach.
    keys : Keys, optional
        For ``zmq+curve``.
    asynchronous : bool
        Apply each contribution when it comes, in place of rounds.
    staleness : int
        Where asynchronous: how many contributions of others may come between what a worker learnt from and its own.
    """

    url: str
    max_members: int = 1 << 16
    round_timeout: float | None = None
    grace: float = 5.0
    durable: bool = True
    insecure: bool = False
    keys: Keys | None = None
    asynchronous: bool = False
    staleness: int = 64


class Call(Protocol):
    """A call of `learn`; see `cdq.run.Run`."""

    settings: Settings
    rule: Rule
    state: State
    team: Team
    checkpoints: Checkpoints
    requests: Requests

    @property
    def model(self) -> MDP:
        """What is learnt."""

    @property
    def about(self) -> dict[str, Any]:
        """What was made, as a JSON object."""

    @property
    def watch(self) -> Watch:
        """Who looks at every round."""


def service_of(call: Call, kind: type[LearningService] = LearningService) -> LearningService:
    """Return what merges for a call, where it stands; *kind* says how."""
    history = call.state.history
    return make_service(
        call.model,
        call.settings,
        plan=plan_of(call.settings, call.rule, call.state.goal.keep_every),
        state=call.state,
        lanes=call.team.lanes,
        watch=call.watch,
        finish=call.requests.finish,
        rounds=history[-1].rounds if len(history) else 0,
        kind=kind,
    )


def keeper(call: Call, service: LearningService, journal: Journal | None = None) -> Callable[[], None]:
    """Return what writes a checkpoint of a call, when all of the journal is on the disk."""

    def keep() -> None:
        if journal is not None:
            journal.sync()
        known = max(call.team.lanes, default=-1) + 1
        lanes = [service.lanes(uid) for uid in range(max(known, call.settings.workers))]
        tensors, counters = call.state.everything()
        header = {"kind": "checkpoint", **call.about, **counters}
        point("hub:before_checkpoint")
        call.checkpoints.write(call.state.progress.steps, {**tensors, "lanes": lanes_of(lanes)}, header)
        point("hub:after_checkpoint")

    return keep


def host(call: Call, hosting: Hosting, show: Callable[[], None]) -> None:
    """Hold a job for whoever joins, until the goal of the call is reached; its checkpoint directory must be held.

    Raises
    ------
    ConfigError
        If the address is taken, or not safe.
    FileError
        If nothing can be written; nothing that could not be was acknowledged.
    DivergenceError
        If rounds since the last checkpoint come out otherwise than the journal says.
    """
    directory = call.checkpoints.path
    if directory is None:
        raise ConfigError("a hub for workers that come and go needs a checkpoint directory; name one")
    shape = Job(call.model, call.settings).shape
    limit = largest(shape) if hosting.asynchronous else shape.largest
    with (
        # First, as it may be refused; nothing is written before.
        Hub(hosting.url, keys=hosting.keys, limit=limit, insecure=hosting.insecure) as hub,
        Journal(directory, durable=hosting.durable) as journal,
        Contributions(directory, durable=hosting.durable) as contributions,
    ):
        service = service_of(call, AsynchronousService if hosting.asynchronous else LearningService)
        go_on(call, service, journal, contributions)
        machine = hub.machine = _machine(call, hosting, service, hub_state(journal.entries))
        start = {"goal": call.state.goal.to_config(), "asynchronous": hosting.asynchronous}
        journal.write({"start": machine.generation, "hub": machine.state(), **start})
        journal.sync()  # no two starts may have one number
        service.write = journal.write
        if isinstance(service, AsynchronousService):
            service.offset, service.staleness = machine.version - service.rounds, hosting.staleness
            contributions.begin(service.rounds)
            service.store = contributions.write
        _log.info("hub at %s: %s, %d steps so far", hub.url, call.model.name, call.state.progress.steps)
        run(hub, call, show)


def _machine(
    call: Call, hosting: Hosting, service: LearningService, restored: dict[str, Any] | None
) -> HubMachine:
    workers = call.settings.workers
    settings = HubSettings(
        min_members=workers,
        max_members=max(hosting.max_members, workers),
        round_timeout=hosting.round_timeout,
        grace=hosting.grace,
        asynchronous=hosting.asynchronous,
    )
    return HubMachine(service, settings, secrets.randbits(63) + 1, restored, time.monotonic())


def go_on(call: Call, service: LearningService, journal: Journal, contributions: Contributions) -> None:
    """Learn again what the journal has and the checkpoint has not, so that the service stands where the hub ended."""
    keep = keeper(call, service, journal)
    rounds = [entry for entry in journal.entries if "round" in entry]
    if not rounds and not service.rounds:
        write_beginning(journal.directory, call.model, call.about, call.state, service)
        keep()
    since = [entry for entry in rounds if entry["round"] > service.rounds]
    if isinstance(service, AsynchronousService):
        came = contributions.read()
        for entry in since:
            take_again(service, entry, came.get(entry["round"], b""))
    else:
        repeat(service, since)

    def keep_and_begin() -> None:
        keep()
        contributions.begin(service.rounds)

    service.keep = keep_and_begin if service.asynchronous else keep
    service.open(rounds[-1]["next"] if rounds else call.settings.workers)


def run(hub: Hub, call: Call, show: Callable[[], None], look: Callable[[], None] = lambda: None) -> None:
    """Let the hub work until it is done, or the call is asked to stop; *look* raises where something is wrong."""
    asked: float | None = None  # since when the run is to finish

    def stop() -> bool:
        nonlocal asked
        look()
        show()
        now = time.monotonic()
        asked = None if not call.requests.finish[0] else now if asked is None else asked
        # A round that waits for workers may never close. What counts is in the journal.
        return bool(call.requests.stop[0]) or (asked is not None and now - asked > _PATIENCE)

    with signals_deferred(call.requests, graceful=call.state.goal.keep_every > 0):
        hub.run(stop)
