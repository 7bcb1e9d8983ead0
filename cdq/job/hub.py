"""A call of `learn` whose workers are a hub's: local processes that it starts, or processes that join."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cdq.comm.base import LONGEST_TIMEOUT
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.keys import Keys
from cdq.errors import ConfigError, FileError
from cdq.errors.checks import one_of, real, whole
from cdq.job.asynchronous import AsynchronousService
from cdq.job.contributions import Contributions
from cdq.job.faults import point
from cdq.job.increments import largest
from cdq.job.job import Job
from cdq.job.journal import NAME as JOURNAL
from cdq.job.journal import Entry, Journal, lines
from cdq.job.membership.events import HubSettings
from cdq.job.membership.hub_machine import HubMachine
from cdq.job.metrics import Endpoint, parse_address
from cdq.job.opening import make_service, plan_of
from cdq.job.recovery import is_changed, recover, seconds_of
from cdq.job.replay import goal_of
from cdq.job.service import NO_RECORD, LearningService, Record
from cdq.job.store import NAME as BEGINNING
from cdq.job.store import model_in_file, read_beginning, write_beginning
from cdq.job.stretches.ending import most_of
from cdq.settings import differing
from cdq.training import Ended, LearnCall, signals_deferred

_log = logging.getLogger("cdq.hub")
# Bytes of contributions that are stored before a checkpoint is written to replace them, besides twice the table's.
_ROOM = 1 << 26
_TIME_TO_PLAY = 0.5  # seconds of a round in which workers have time to play many together
_SHORTEST = 0.001  # seconds of a round: in less nobody but one worker ever delivers
_PATIENCE = 2.0  # seconds that a hub which is to end waits for the round in hand


@dataclass(frozen=True)
class Hosting:
    """Address and rules of a hub that workers may join and leave.

    Parameters
    ----------
    url : str
        Address of the hub: ``zmq+ipc:///PATH``, ``zmq+curve://HOST:PORT`` or ``zmq+tcp://127.0.0.1:PORT``.
    max_members : int
        Most workers that may take part at once.
    round_timeout : float, optional
        Seconds after which a round closes without the workers that have not delivered; None: never.
    grace : float
        Seconds that a worker may be unreachable before the round closes without it.
    durable : bool
        True: each round is on the disk before it is acknowledged. False: only checkpoints are.
    insecure : bool
        Let ``zmq+tcp`` be on addresses that other machines reach.
    keys : Keys, optional
        Keys for ``zmq+curve``.
    asynchronous : bool
        Apply each contribution when it comes, in place of rounds.
    staleness : int
        Most contributions of others that may come between the table that a worker learnt from and its own
        contribution; asynchronous only.
    metrics : str, optional
        Address at which metrics are served in the text form of Prometheus: a port of this machine, or HOST:PORT, which
        other machines reach only where *insecure* is True.
    least : int, optional
        Number of workers that a round needs; by default as many as the learner has `workers`.

    Raises
    ------
    ConfigError
        If a number is none that a hub can keep to.

    Examples
    --------
    >>> Hosting("tcp://127.0.0.1:5555", staleness=8).grace
    5.0
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
    metrics: str | None = None
    least: int | None = None

    def __post_init__(self) -> None:
        """Raise `ConfigError` for what no hub could keep to."""
        whole("max_members", self.max_members, 1, 1 << 16)
        if self.least is not None:
            whole("least", self.least, 1, self.max_members)
        whole("staleness", self.staleness, 0)
        real("grace", self.grace, f"seconds from 0 to {LONGEST_TIMEOUT:g}", 0.0, LONGEST_TIMEOUT)
        if self.round_timeout is not None:
            allowed = f"seconds from {_SHORTEST:g} to {LONGEST_TIMEOUT:g}, or None"
            real("round_timeout", self.round_timeout, allowed, _SHORTEST, LONGEST_TIMEOUT)
        for name in ("durable", "insecure", "asynchronous"):
            one_of(name, getattr(self, name), (True, False))
        if self.metrics is not None:
            parse_address(self.metrics, self.insecure)


def service_of(
    call: LearnCall,
    make: Callable[..., LearningService] = LearningService,
    record: Record = NO_RECORD,
    least: int | None = None,
) -> LearningService:
    """Return the service that merges for a call, from the state as it is; see `make_service`."""
    if call.monitor is not None:
        call.monitor.go_on()  # a service counts bytes from 0
    job = job_of(call)
    return make_service(
        job,
        plan=plan_of(job, call.rule, call.state.goal.keep_every),
        state=call.state,
        lanes=call.team.lane_states,
        watch=call.watch,
        finish=call.requests.finish,
        rounds=rounds_of(call),
        onlooker=call.onlooker,
        make=make,
        record=record,
        least=least,
    )


def job_of(call: LearnCall) -> Job:
    """Return the job that a call is."""
    return Job(call.task, call.settings, call.about)


def limits(call: LearnCall, *, asynchronous: bool = False) -> tuple[int, int]:
    """Return the bytes of the largest contribution, and of that of one mode or the other."""
    shape = job_of(call).shape
    if call.settings.network is None:
        limit = largest(shape) if asynchronous else max(shape.largest, most_of(shape))
        return limit, max(shape.largest, largest(shape), most_of(shape))
    if asynchronous:
        raise ConfigError(
            "the parameters of a network are averaged in rounds; leave the asynchronous mode out"
        )
    return shape.largest, shape.largest


def rounds_of(call: LearnCall) -> int:
    """Return how many rounds a call has behind it."""
    history = call.state.history
    return history[-1].rounds if len(history) else 0


def write_checkpoint(call: LearnCall, service: LearningService) -> None:
    """Write a checkpoint of a call whose workers are those of a service."""
    known = max(call.team.lane_states, default=-1) + 1
    lanes = [service.lanes(uid) for uid in range(max(known, call.settings.workers))]
    point("hub:before_checkpoint")
    call.write_checkpoint(lanes)
    point("hub:after_checkpoint")


def host(call: LearnCall, hosting: Hosting, show: Callable[[], None]) -> Ended:
    """Hold a job for all that join, until the goal of the call is reached; its checkpoint directory must be held.

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
    limit, most = limits(call, asynchronous=hosting.asynchronous)
    with (
        # First, as it may be refused; nothing is written before.
        Hub(hosting.url, keys=hosting.keys, limit=limit, insecure=hosting.insecure) as hub,
        Journal(directory, durable=hosting.durable, after=rounds_of(call)) as journal,
        Contributions(directory, durable=hosting.durable, largest=most) as contributions,
    ):
        service = go_on(call, hosting, journal, contributions)
        call.callbacks.begin()
        machine = hub.machine = _machine(call, hosting, service, journal, hub.name_of)
        how = {"asynchronous": hosting.asynchronous, "durable": hosting.durable, "least": service.least}
        start = {"goal": call.state.goal.to_config(), "time": time.time(), **how}
        journal.write({"start": machine.generation, "hub": machine.state(), **start})
        journal.sync()  # no two starts may have one number
        _log.info("hub at %s: %s, %d steps so far", hub.url, call.task.name, call.state.progress.steps)
        with _endpoint(hosting) as look, ending(service):
            run(hub, machine, call, show, lambda: look(machine.status))
        # A start without rounds: who left in order is not waited for when the hub goes on.
        journal.write({**start, "start": machine.generation, "hub": machine.state(), "time": time.time()})
        return service.ended


@contextmanager
def _endpoint(hosting: Hosting) -> Iterator[Callable[[Callable[[], dict[str, Any]]], None]]:
    """Serve metrics while the context lasts, where that is wanted; yield what is called with the status, ever again."""
    if hosting.metrics is None:
        yield lambda status: None
        return
    with Endpoint(parse_address(hosting.metrics, hosting.insecure)) as endpoint:
        yield endpoint.look


def _machine(
    call: LearnCall,
    hosting: Hosting,
    service: LearningService,
    journal: Journal,
    name_of: Callable[[str], str],
) -> HubMachine:
    workers, places = service.least, service.job.places
    settings = HubSettings(
        min_members=workers,
        max_members=max(hosting.max_members, workers) if places is None else places,
        numbers=places,
        round_timeout=hosting.round_timeout,
        grace=hosting.grace,
        asynchronous=hosting.asynchronous,
        name_of=name_of,
    )
    with _whole(journal):
        return HubMachine(service, settings, secrets.randbits(63) + 1, journal.hub, time.monotonic())


@contextmanager
def ending(service: LearningService) -> Iterator[None]:
    """Give back, at the end, the memory in which workers play."""
    try:
        yield
    finally:
        service.end()


@contextmanager
def _whole(journal: Journal) -> Iterator[None]:
    """Raise `FileError` where the journal lacks what is read of it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FileError(
            f"the journal in {journal.directory} lacks where the hub was: {error!r}; use another copy"
        ) from None


def go_on(
    call: LearnCall, hosting: Hosting, journal: Journal, contributions: Contributions
) -> LearningService:
    """Return a service that stands where the hub ended, and stores and keeps what comes from now on."""
    _require_same_job(call, journal)
    goal = call.state.goal
    last = recover(
        journal,
        goal,
        lambda kind, then: service_of((call if then is goal else call.aimed_at(then)).unseen(), kind),
        contributions,
    )
    call.state.history.add_seconds(seconds_of(journal.entries, journal.begun))
    entries, journal.entries = journal.entries, []  # not in memory for as long as the hub lives
    rounds = [entry for entry in entries if "round" in entry]
    kind = AsynchronousService if hosting.asynchronous else LearningService
    changed = is_changed(last, call.state.goal, kind)
    if changed and journal.hub is not None:  # windows that workers have in hand are void: theirs was another
        with _whole(journal):
            journal.hub["version"] += 1
    service = _recorded(call, hosting, journal, contributions)
    if last is not None:
        target = call.state.goal.target
        _log.info(
            "the journal goes on to round %d, %d steps of %d",
            service.rounds,
            call.state.progress.steps,
            target,
        )
    begun = last is None or not (journal.directory / BEGINNING).exists()
    if begun:  # perhaps again, after a hub that did not get as far as its first line
        write_beginning(journal.directory, call.state, service)
    # All rounds after a checkpoint are of one start, and have the checkpoint's goal.
    if begun or changed or rounds:
        journal.sync()
        write_checkpoint(call, service)
    contributions.begin(service.rounds)
    size = rounds[-1].get("next") if rounds else None
    service.open(size if isinstance(size, int) else service.least)
    return service


def _recorded(
    call: LearnCall, hosting: Hosting, journal: Journal, contributions: Contributions
) -> LearningService:
    """Return a service that stores contributions, and writes a checkpoint before they take too much room."""
    merged = call.state.merged
    room = _ROOM + 2 * sum(tensor.nbytes for tensor in merged.tensors().values())

    def keep_and_begin(service: LearningService) -> None:
        journal.sync()  # a checkpoint has all of it
        write_checkpoint(call, service)
        contributions.begin(service.rounds)

    record = Record(journal.write, contributions.write, keep_and_begin, lambda: contributions.size > room)
    if not hosting.asynchronous:
        service = service_of(call, record=record, least=hosting.least)
        service.shares = hosting.round_timeout is None or hosting.round_timeout >= _TIME_TO_PLAY
        return service
    with _whole(journal):
        offset = (0 if journal.hub is None else journal.hub["version"]) - rounds_of(call)
    make = partial(AsynchronousService, staleness=hosting.staleness, offset=offset)
    return service_of(call, make, record, hosting.least)


def _require_same_job(call: LearnCall, journal: Journal) -> None:
    """Raise `FileError` if the directory's rounds are of another job: its checkpoints were deleted or replaced."""
    path = journal.directory / BEGINNING
    if not journal.entries or not path.exists():
        return
    has, wanted = read_beginning(journal.directory)[1], call.about
    if has["model"] != wanted["model"] or differing(has["settings"], wanted["settings"]):
        raise FileError(
            f"{journal.directory} holds the rounds of another job, on {has['environment']}; name another directory"
        )


def last_start(directory: Path) -> Entry | None:
    """Return the line of the hub's last start, checked; None if the directory has no journal, or that has no start."""
    last: Entry | None = None
    if (directory / JOURNAL).exists():
        for entry in lines(directory):
            last = entry if "start" in entry else last
    if last is not None:
        goal_of(last)  # raises if it is none
    return last


def env_in(directory: Path) -> Any:
    """Return the model of the job in a directory, or the models of its fleet, so that no environment need be made.

    None if there is no job, or one of an environment without a model.
    """
    return model_in_file(*read_beginning(directory)) if (directory / BEGINNING).exists() else None


def holds_fleet(directory: Path) -> bool:
    """Return whether a directory has a job whose workers have an environment each."""
    return (directory / BEGINNING).exists() and "members" in read_beginning(directory)[1]


def run(
    hub: Hub, machine: HubMachine, call: LearnCall, show: Callable[[], None], look: Callable[[], None]
) -> None:
    """Let the hub work until it is done, or the call is asked to stop; *look* raises where something is wrong."""
    asked: float | None = None  # since when the run is to finish
    begun = machine.epoch, machine.version

    def stop() -> bool:
        nonlocal asked
        if call.monitor is not None and (machine.epoch, machine.version) == begun:
            call.monitor.go_on()  # the hub waits for workers: that is no time of learning
        look()
        show()
        now = time.monotonic()
        asked = None if not call.requests.finish[0] else now if asked is None else asked
        # A round that waits for workers may never close. What counts is in the journal.
        return bool(call.requests.stop[0]) or (asked is not None and now - asked > _PATIENCE)

    with signals_deferred(call.requests, graceful=call.state.goal.keep_every > 0):
        hub.run(stop)
