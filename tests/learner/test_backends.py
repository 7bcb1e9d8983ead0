"""How the workers of a learner come to be, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import pytest

import cdq
from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.errors import ConfigError
from cdq.learner import backends
from cdq.learner.backends import MEMBERS, PROCESSES, RANKS, THREADS, Backend
from cdq.settings.settings import Settings
from tests.strategies import random_model

MODEL = random_model(30, 4, seed=8, time_limit=50)


class Stepped(gymnasium.Env[int, int]):
    """Two states, in Python."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return action, float(action), action == 1, False, {}


@pytest.mark.parametrize(
    ("env", "settings", "kind"),
    [
        (MODEL, {}, THREADS),
        (MODEL, {"workers": 3}, THREADS),
        (MODEL, {"comm": "inprocess://?timeout=5", "workers": 2}, THREADS),
        (MODEL, {"comm": "zmq"}, MEMBERS),
        (MODEL, {"comm": "zmq", "workers": 2}, MEMBERS),
        (Stepped, {}, THREADS),
        (Stepped, {"workers": 2}, PROCESSES),
        (Stepped, {"comm": "zmq"}, PROCESSES),
        ("CartPole-v1", {"bins": 4, "workers": 2}, THREADS),
        ("CartPole-v1", {"bins": 4, "workers": 2, "comm": "zmq"}, PROCESSES),
    ],
)
def test_it_is_chosen_when_the_learner_is_made(env: Any, settings: dict[str, Any], kind: str) -> None:
    agent = cdq.QLearner(env, seed=0, **settings)
    chosen = agent._backend
    workers = settings.get("workers", 1)
    assert (chosen.kind, chosen.size, chosen.rank, chosen.comm) == (kind, workers, 0, None)
    assert chosen.alone == (kind == THREADS and workers == 1)
    assert chosen.comes_and_goes == (kind == MEMBERS)
    assert chosen.in_processes == (kind != THREADS)
    assert chosen.name == ("inprocess" if kind == THREADS else "zmq")
    assert chosen.without_stepping() == (
        chosen if kind == THREADS else Backend(THREADS, workers, "inprocess")
    )


def test_a_communicator_is_one_rank() -> None:
    for comm in connect(2, 20.0):
        chosen = choose(comm)
        assert (chosen.kind, chosen.size, chosen.rank) == (RANKS, 2, comm.rank)
        assert chosen.comm is comm
        assert chosen.without_stepping() is chosen
        assert chosen.in_processes
        assert not chosen.alone
        comm.close()


def choose(comm: Communicator) -> Backend:
    task = cdq.QLearner(MODEL, seed=0)._task
    return backends.choose_backend(comm, task, backends.count_workers(comm, 0))


@pytest.mark.parametrize("comm", [None, 3, b"zmq", Communicator])
def test_what_is_no_communicator_is_refused(comm: Any) -> None:
    with pytest.raises(
        ConfigError, match="comm is .*; allowed: a communicator's name, a URL, or a communicator"
    ):
        cdq.QLearner(MODEL, comm=comm)


def test_auto_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner that was made for threads learns with them, whatever the environment variable says later."""
    agent = cdq.QLearner(MODEL, seed=0, workers=2)
    monkeypatch.setenv("CDQ_COMM", "zmq")
    assert agent.learn(3000).report()["comm"] == "inprocess"
    assert agent.report()["workers_are"] == "threads"


@pytest.mark.parametrize(
    ("env", "comm", "sessions"),
    [
        (MODEL, "inprocess", 1),
        (MODEL, "zmq", 0),
        ("CartPole-v1", "inprocess", 1),
        ("CartPole-v1", "zmq", 1),
    ],
)
def test_streams_restart_where_the_number_of_workers_that_stay_is_another_one(
    env: Any, comm: str, sessions: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Members of a hub come and go: each goes on from the lanes of its number, however many there are."""
    bins = 4 if env == "CartPole-v1" else None
    cdq.QLearner(env, workers=2, seed=0, bins=bins, checkpoint=tmp_path).learn(3000)
    again = cdq.QLearner.resume(tmp_path, env, workers=3, comm=comm)
    assert again._state.session == sessions
    assert ("its random streams begin anew" in caplog.text) == bool(sessions)
    assert sorted(again._team.lane_states) == ([] if sessions else [0, 1])


def test_a_learner_describes_itself_only_where_somebody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A description takes the tenth part of a millisecond: a fifth of a call of few steps."""
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    monkeypatch.delattr(Settings, "to_config")
    agent.learn(64, verbose=0)
    assert agent.steps == 64
