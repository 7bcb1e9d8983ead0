"""The hubs of tests/benchmarks/zmq.py, each served in a process of its own, and workers that do next to nothing."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import zmq

from cdq import QLearner
from cdq.cli.benchmarks import random_jumps
from cdq.comm.zmq.hub import Hub
from cdq.comm.zmq.keys import Keys
from cdq.comm.zmq.ranks.relay import RelayMachine
from cdq.job.handshake import hello
from cdq.job.job import Job, Known
from cdq.job.member import Member
from cdq.job.membership.connection import Connection
from cdq.job.membership.events import Deliver, HubSettings, Joined
from cdq.job.membership.hub_machine import HubMachine
from cdq.job.opening import make_service, plan_of
from cdq.job.service import NO_RECORD, LearningService, Record
from cdq.training.course import watch_nothing
from cdq.training.goals import Goal

_LAKE = "FrozenLake8x8-v1"
_DEADLINE = 120.0


def make_hub(
    env: Any, workers: int, rounds: int, record: Record = NO_RECORD, **settings: Any
) -> tuple[LearningService, HubMachine]:
    """Return what a hub is that ends after so many rounds."""
    made = QLearner(env, comm="zmq", workers=workers, merge="mean", dtype="float32", seed=0, **settings)
    state, window = made._state, made.settings.sync_every.floor
    state.goal = Goal(rounds * workers * int(window))
    job = Job(made._task, made.settings, made._call().about)
    service = make_service(
        job,
        plan=plan_of(job, made._rule),
        state=state,
        lanes=made._team.lane_states,
        watch=watch_nothing,
        finish=made._requests.finish,
        rounds=0,
        record=record,
    )
    fixed = HubSettings(min_members=workers, max_members=workers)
    return service, HubMachine(service, fixed, secrets.randbits(63) + 1, now=time.monotonic())


def serve_merges(told: Any, url: str, keys: str | None, rounds: int, size: tuple[int, int, int]) -> None:
    """Be a hub that merges tables of *size* (states, actions, lanes) for two workers; tell where it is."""
    states, actions, lanes = size
    model = random_jumps(states, actions, seed=0)
    service, machine = make_hub(model, 2, rounds, sync_every=states * actions, num_envs=lanes)
    with Hub(url, machine, keys=Keys(keys) if keys else None, limit=service.limit(0)) as hub:
        told.put(hub.url)
        hub.run()


def serve_relay(told: Any, url: str) -> None:
    """Be a hub that carries the collectives of two ranks."""
    with Hub(url, RelayMachine(2, secrets.randbits(63) | 1)) as hub:
        told.put(hub.url)
        hub.run()


def serve_echo(told: Any, url: str, copy: bool) -> None:
    """Send back what comes, with nothing of cdq."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.bind(url.removeprefix("zmq+"))
        told.put(url)
        while True:
            socket.send_multipart(socket.recv_multipart(copy=copy), copy=copy)


def serve_many(told: Any, url: str, workers: int, rounds: int) -> None:
    """Be a hub for light workers; tell where it is, then how many came to each round, when, and its peak memory."""
    lines: list[tuple[int, float]] = []
    record = Record(lambda line: lines.append((len(line["members"]), line["time"])))
    service, machine = make_hub("Taxi-v4", workers, rounds, record, sync_every=30, num_envs=1)
    with Hub(url, machine, limit=service.limit(0)) as hub:
        told.put(hub.url)
        hub.run()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    told.put((lines, int(status.partition("VmHWM:")[2].split()[0]) / 1024))


def take_part(url: str, n: int) -> None:
    """Be *n* workers of a hub, one after the other, until their job is done."""
    known = Known()
    taking_part = [(Connection(url, hello(), timeout=_DEADLINE), Member(known)) for _ in range(n)]
    while taking_part:
        taking_part = [pair for pair in taking_part if learn_one(*pair)]


def learn_one(connection: Connection, member: Member) -> bool:
    """Take over what came and bring a window; return whether there is more to do."""
    happened = connection.wait()
    if isinstance(happened, Joined):
        member.join(happened.payload)
    elif isinstance(happened, Deliver):
        member.settle(happened.payload)
    if not isinstance(happened, (Joined, Deliver)) or not member.window.sweeps:
        connection.close()
        return False
    connection.submit(member.learn(), happened.version)
    return True


def light(told: Any, url: str, n: int) -> None:
    """Be *n* light workers."""
    take_part(url, n)
