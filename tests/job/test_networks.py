"""Jobs that train a network: rounds without sockets, and a hub whose workers are killed."""

from __future__ import annotations

import signal
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError
from cdq.job import Hosting
from cdq.job.handshake import hello
from cdq.job.job import Job, Known
from cdq.job.journal import read
from cdq.job.member import Member
from cdq.job.membership.events import Submission
from cdq.job.networks.messages import open_contribution
from cdq.job.networks.service import NetworkService
from cdq.job.opening import make_service, plan_of
from cdq.job.replay import Rehearsal, replay
from cdq.learner.members import task_of
from cdq.storage import pack_tensors, parse_tensors
from cdq.training import Goal, about, watch_nothing
from tests.job.processes import processes
from tests.job.test_chaos import rounds, until_rounds

SMALL = cdq.Network((16, 8), rollout=8, epochs=2, minibatch=48)
ARGUMENTS: dict[str, Any] = {"network": SMALL, "merge": "mean", "seed": 3, "num_envs": 4}
STEPS = 2500
KNOWN = Known(make=task_of)


class Hub:
    """A service as the hub makes it, of a learner's network."""

    def __init__(self, workers: int) -> None:
        self.learner = cdq.QLearner("CartPole-v1", comm="zmq", workers=workers, **ARGUMENTS)
        settings, state, task = self.learner.settings, self.learner._state, self.learner._task
        state.goal = Goal(STEPS)
        job = Job(task, settings, about(task, settings))
        self.service = make_service(
            job,
            plan=plan_of(job, "mean"),
            state=state,
            lanes=self.learner._team.lane_states,
            watch=watch_nothing,
            finish=self.learner._requests.finish,
            rounds=0,
            make=NetworkService,
        )

    @property
    def digest(self) -> str:
        return digest(self.learner)

    def play(self, uids: Iterable[int], n: int = 10**9) -> None:
        rehearsal = Rehearsal(self.service)
        while not self.service.finished and n > 0:
            brought = rehearsal.learn(uids, self.service.least)
            for uid, one in brought.items():
                assert self.service.check(uid, one) is None
            rehearsal.apply(brought)
            self.service.open(self.service.least)
            n -= 1


def digest(agent: cdq.QLearner) -> str:
    found: str = agent.report(play=False)["digest"]
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_of_a_hub_come_to_what_threads_do(workers: int) -> None:
    hub = Hub(workers)
    hub.play(range(workers))
    threads = cdq.QLearner("CartPole-v1", workers=workers, **ARGUMENTS).learn(STEPS)
    assert (hub.learner.steps, hub.digest) == (threads.steps, digest(threads))


def test_a_round_averages_whoever_came() -> None:
    hub, other = Hub(3), Hub(3)
    hub.play([0, 2], 2)
    other.play([0, 1, 2], 2)
    assert hub.learner.steps == 2 * other.learner.steps // 3
    assert hub.digest != other.digest
    hub.play([0, 1, 2])
    assert hub.service.finished


def test_a_worker_that_comes_late_begins_with_the_network_as_it_is() -> None:
    hub = Hub(2)
    hub.play([0, 1], 2)
    member = Member(KNOWN)
    member.join(hub.service.welcome(7, ()))
    assert member.environment == "cdq/CartPole-v0"
    assert member._worker.checksum() == hub.learner._state.merged.merged_checksum()
    assert hub.service.check(7, Submission(member.learn(), 0, 0)) is None


def submission(hub: Hub, uid: int = 0) -> bytearray:
    member = Member(KNOWN)
    member.join(hub.service.welcome(uid, ()))
    return bytearray(member.learn())


def changed(hub: Hub, what: str) -> bytes:
    """Return a contribution with a part that cannot be."""
    data = submission(hub)
    brought = open_contribution(data, hub.service._shape)
    if what == "count":
        data[:8] = struct.pack("<q", brought.made + 1)
    elif what == "parameters":
        brought.numbers[5] = np.nan
    elif what == "moments":
        brought.numbers[-1] = -1.0
    elif what == "checksum":
        at = len(data) - len(brought.lanes) - 8
        data[at : at + 8] = struct.pack("<q", brought.checksum ^ 1)
    elif what == "streams":
        data[-len(brought.lanes) :] = bytes(len(brought.lanes))
    elif what == "tallies":
        data[60] ^= 255
    return bytes(data)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("count", "steps, not the"),
        ("parameters", "not finite"),
        ("moments", "moments that cannot be"),
        ("checksum", "not the hub's"),
        ("streams", "dead streams"),
    ],
)
def test_a_contribution_that_cannot_be_is_refused(what: str, why: str) -> None:
    hub = Hub(1)
    assert hub.service.check(0, Submission(bytes(submission(hub)), 0, 0)) is None
    refused = hub.service.check(0, Submission(changed(hub, what), 0, 0))
    assert refused is not None
    assert why in refused


def test_no_bytes_of_a_stranger_end_the_hub() -> None:
    hub, random = Hub(1), np.random.default_rng(0)
    good = submission(hub)
    for length in (0, 5, 17, 100, len(good) - 1, len(good) + 1):
        assert hub.service.check(0, Submission(bytes(good[:length].ljust(length, b"x")), 0, 0)) is not None
    for _ in range(100):
        data = bytearray(good)
        for at in random.integers(0, 60, 3):  # the head and the summary
            data[at] = random.integers(256)
        hub.service.check(0, Submission(bytes(data), 0, 0))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("environment", "absent_module:Absent-v0", "no module is imported"),
        ("environment", "CartPole-v9", "CartPole-v9"),
        ("environment", "Acrobot-v1", "another"),
        ("environment", "FrozenLake-v1", "cannot begin"),
        ("model", "0" * 64, "another"),
        ("made_of", {"arguments": {"masspole": 0.3}}, "another"),
        ("task", [1], "cannot begin"),
        ("target", -1, "target"),
    ],
)
def test_a_worker_begins_with_nothing_else_than_the_hub_has(name: str, value: Any, why: str) -> None:
    tensors, told = parse_tensors(Hub(1).service.welcome(0, ()), "welcome")
    with pytest.raises(ConfigError, match=why):
        Member(Known(make=task_of)).join(pack_tensors(tensors, {**told, name: value}))


def test_a_worker_begins_with_a_network_that_is_whole() -> None:
    tensors, told = parse_tensors(Hub(1).service.welcome(0, ()), "welcome")
    for name, changed_one in (
        ("layer.0.bias", tensors["layer.0.bias"][:-1].copy()),
        ("norm.0.gain", tensors["norm.0.gain"] * np.float32(np.nan)),
        ("lanes", tensors["lanes"][:-8].copy()),
    ):
        with pytest.raises(ConfigError, match="cannot begin with what the hub sent"):
            Member(KNOWN).join(pack_tensors({**tensors, name: changed_one}, told))


def test_what_a_hub_cannot_train_is_refused(tmp_path: Path) -> None:
    def learn(env: str = "CartPole-v1", asynchronous: bool = False, **changes: Any) -> None:
        agent = cdq.QLearner(env, **{**ARGUMENTS, "comm": "zmq", "checkpoint": tmp_path / "job", **changes})
        agent.learn(STEPS, hosting=Hosting(f"zmq+ipc://{tmp_path}/s", asynchronous=asynchronous))

    with pytest.raises(ConfigError, match="give merge='mean'"):
        learn(merge="gradient")
    with pytest.raises(ConfigError, match="averaged in rounds"):
        learn(asynchronous=True)
    with pytest.raises(ConfigError, match="stepped in Python"):
        learn(stepping="python")


def test_hellos_are_those_of_tables() -> None:
    assert Hub(1).service.admit(hello())


@pytest.mark.alone
def test_three_workers_learn_while_they_and_the_hub_are_killed(tmp_path: Path) -> None:
    network = {"hidden": [16, 8], "rollout": 8, "epochs": 2, "minibatch": 48}
    job: dict[str, Any] = {
        "env": "CartPole-v1",
        "network": network,
        "merge": "mean",
        "workers": 2,
        "num_envs": 4,
    }
    with processes(tmp_path, **job, steps=60_000, hosting={"grace": 0.2, "round_timeout": 2.0}) as made:
        hub, workers = made.hub(), [made.joiner() for _ in range(3)]
        until_rounds(made.directory, 2)
        workers.pop().kill()
        until_rounds(made.directory, 5)
        hub.kill()
        hub.communicate(timeout=20)
        hub = made.hub(more=None)
        workers.append(made.joiner())
        until_rounds(made.directory, 5)
        workers.pop(0).send_signal(signal.SIGKILL)
        workers.append(made.joiner())
        printed, said = hub.communicate(timeout=120)
        assert hub.returncode == 0, said
    learnt, steps = printed.split()
    assert int(steps) >= 60_000
    assert [entry["round"] for entry in rounds(made.directory)] == list(
        range(1, len(rounds(made.directory)) + 1)
    )
    assert len({uid for entry in rounds(made.directory) for uid, _, _ in entry["members"]}) >= 3
    assert len([entry for entry in read(made.directory) if "start" in entry]) >= 2
    assert replay(made.directory, make=task_of).digest() == learnt
