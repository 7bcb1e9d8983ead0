"""The table of a job is that of threads, to the bit, while the same workers come to every round."""

from __future__ import annotations

import json
from typing import Any

import pytest

import cdq
from cdq import merges
from cdq.comm.zmq.events import Received, Send
from cdq.comm.zmq.wire import Frame, Kind, decode, encode
from cdq.job.membership.events import PICTURE, HubSettings
from cdq.job.membership.hub_machine import HubMachine
from tests.job.jobs import MODEL, STEPS, Hub

WAYS: dict[str, dict[str, Any]] = {
    "automatic windows": {"sync_every": cdq.AutoWindow(floor=20)},
    "fixed windows": {"sync_every": 70},
    "decays": {
        "sync_every": cdq.AutoWindow(floor=30),
        "step_size": cdq.LinearDecay(0.5, 0.01, STEPS),
        "exploration": cdq.ExponentialDecay(1.0, 0.01, STEPS),
    },
}


def threads(workers: int, **arguments: Any) -> cdq.QLearner:
    learner = cdq.QLearner(
        MODEL, workers=workers, **{"num_envs": 3, "seed": 5, "gamma": 0.9, "comm": "inprocess", **arguments}
    )
    return learner.learn(STEPS)


def assert_same(hub: Hub, learner: cdq.QLearner) -> None:
    assert hub.learner.steps == learner.steps
    assert hub.digest == learner.table.digest()
    assert hub.clock() == learner._state.merged.clock.tobytes()
    assert hub.learner._state.progress.window == learner._state.progress.window


@pytest.mark.parametrize("workers", [1, 3, 4])
@pytest.mark.parametrize("way", WAYS)
def test_g1_workers_of_a_job_learn_the_table_of_threads(workers: int, way: str) -> None:
    hub = Hub(workers=workers, **WAYS[way])
    hub.play(range(workers))
    assert_same(hub, threads(workers, **WAYS[way]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("merge", merges.NAMES)
def test_g1_every_rule_merges_as_threads_do(merge: str, dtype: str) -> None:
    hub = Hub(workers=3, merge=merge, dtype=dtype, sync_every=50)
    hub.play(range(3))
    assert_same(hub, threads(3, merge=merge, dtype=dtype, sync_every=50))


def asked(machine: HubMachine, payload: bytes) -> Frame:
    """Return the answer to somebody who is no worker and asks for the status."""
    (send,) = (
        action
        for action in machine.step(Received(b"new", encode(Frame(Kind.STATUS, payload=payload)), None, 1.0))
        if isinstance(action, Send)
    )
    return decode(send.message)


def test_curves_and_table_come_with_the_status_where_they_are_asked_for() -> None:
    hub = Hub(workers=2, sync_every=70)
    hub.play(range(2))
    machine = HubMachine(hub.service, HubSettings(), 7)
    plain = json.loads(bytes(asked(machine, b"").payload))
    assert "picture" not in plain
    told = json.loads(bytes(asked(machine, PICTURE).payload))
    picture = told.pop("picture")
    assert told["service"].keys() == plain["service"].keys()
    assert picture["table"]["states"] == MODEL.n_states
    assert picture["table"]["rows"][0] == [float(f"{value:.4g}") for value in hub.learner.table.values[0]]
    assert picture["curves"] == {}  # this hub keeps no history
    assert "picture" not in json.loads(bytes(asked(machine, b"pictur").payload))
    assert machine.counts["refused TOO_LONG"] == 0
    assert asked(machine, PICTURE + b"s").kind == Kind.NACK
    assert machine.counts["refused TOO_LONG"] == 1
