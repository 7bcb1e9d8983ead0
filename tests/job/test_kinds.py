"""Jobs of fleets, tasks, agents and compiled environments: the same bits as threads, and nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.core.envs.envs import FUNCTIONS
from cdq.envs import CompiledEnv
from cdq.errors import ConfigError
from cdq.job.hub import Hosting
from cdq.job.job import Known
from cdq.job.journal import read
from cdq.job.member import Member
from cdq.job.replay import repeat, replay
from cdq.job.store import write_beginning
from cdq.learner.members import task_of
from tests.job.jobs import Hub, journal_in
from tests.job.test_asynchronous import Job
from tests.learner.test_common import ACTIONS, KEYS, MAZES

ROBOTS = [cdq.MDP.garnet(12, 3, branching=2, seed=seed) for seed in range(3)]
POLES = [{"length": 0.3}, {"length": 0.5}, {"length": 0.9, "masspole": 0.2}]
CITY = {"rows": 2, "columns": 2}
RIVER = CompiledEnv(*FUNCTIONS["river"], n_actions=2, n_states=4, context=np.array([4]), uniforms=1)


def pay(states: Any, actions: Any, rewards: Any, after: Any) -> Any:
    return np.stack([after % 3, rewards + actions], axis=1)


KINDS: dict[str, dict[str, Any]] = {
    "fleet": {"env": ROBOTS},
    "fleet, mean": {"env": ROBOTS, "merge": "mean", "dtype": "float32"},
    "fleet beside": {"env": ROBOTS, "merge": cdq.Personal(50.0)},
    "fleet apart": {"env": ROBOTS, "merge": cdq.Personal(0.0, memory=9.0), "dtype": "float32"},
    "poles": {"env": "cdq/CartPole-v0", "env_kwargs": POLES, "features": cdq.TileCoding(tilings=4)},
    "poles beside": {"env": "cdq/CartPole-v0", "env_kwargs": POLES, "bins": 4, "merge": cdq.Personal(50.0)},
    "grids": {"env": ["cdq/GridWorld-v0", "cdq/GridWorld-v0", "cdq/GridWorld-v0"]},
    "mazes": {"env": MAZES, "key": KEYS, "actions": ACTIONS},
    "mazes beside": {"env": MAZES, "key": KEYS, "actions": ACTIONS, "merge": cdq.Personal(9.0)},
    "goals": {"env": ROBOTS[0], "tasks": cdq.Goals([3, 7, 5])},
    "rewards": {"env": ROBOTS[0], "tasks": cdq.Rewards(["a", "b"], pay)},
    "weights": {"env": ROBOTS[0], "tasks": cdq.Weights([[1.0, 0.0], [0.5, 2.0]], pay), "dtype": "float32"},
    "goals, in part": {"env": "cdq/GridWorld-v0", "env_kwargs": {"slip": 0.2}, "tasks": cdq.Goals("all")},
    "board": {"env": "cdq/TicTacToe-v0", "opponent": "self"},
    "agents": {"env": "cdq/Signals-v0", "env_kwargs": CITY},
    "agents, shared": {"env": "cdq/Signals-v0", "env_kwargs": CITY, "groups": "shared"},
    "packets": {"env": "cdq/Routing-v0", "env_kwargs": {"load": 1.0}},
    "plies": {"env": "cdq/Nim-v0", "opponent": "self"},
}
WITHOUT_ROUNDS = ["fleet", "goals", "rewards", "board", "agents", "plies"]


def hub_of(kind: str, **more: Any) -> Hub:
    return Hub(workers=3, steps=4000, sync_every=60, **KINDS[kind], **more)


@pytest.mark.parametrize("kind", KINDS)
def test_workers_of_a_job_learn_the_table_of_threads(kind: str) -> None:
    hub = hub_of(kind)
    hub.play(range(3))
    how = {"workers": 3, "num_envs": 3, "seed": 5, "gamma": 0.9, "sync_every": 60}
    other = cdq.QLearner(**how, **KINDS[kind]).learn(4000)
    assert hub.learner.steps == other.steps
    assert hub.digest == other.table.digest()
    assert hub.clock() == other._state.merged.clock.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_makes_its_task_of_the_welcome(kind: str) -> None:
    """In another process nothing is known of the job, but what the hub says."""
    hub, other = hub_of(kind), hub_of(kind)
    hub.service.open(3)
    for uid in range(3):
        stranger, own = Member(Known(make=task_of)), Member(other.service.job.known())
        for member, service in ((stranger, hub.service), (own, other.service)):
            member.join(service.welcome(uid, ()))
        assert bytes(stranger.learn()) == bytes(own.learn())


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_repeated_with_workers_that_were_lost_and_came_back(kind: str, tmp_path: Path) -> None:
    """What a worker had in hand when it was killed counts nowhere; what was acknowledged is there when it is back."""
    with journal_in(tmp_path) as journal:
        hub = hub_of(kind, journal=journal)
        write_beginning(tmp_path, hub.learner._state, hub.service)
        goal = hub.learner._state.goal.to_config()
        journal.write({"start": 1, "goal": goal, "asynchronous": False, "durable": True})
        for members in ([0, 1, 2], [0], [0, 2], [0, 1, 2]):
            hub.play(members, rounds=4)
    entries = [entry for entry in read(tmp_path) if "round" in entry]
    assert hub.learner.steps == 60 * sum(len(entry["members"]) for entry in entries)
    again = hub_of(kind)
    repeat(again.service, entries)
    assert (again.digest, again.learner.steps) == (hub.digest, hub.learner.steps)
    assert replay(tmp_path, make=task_of).digest() == hub.digest


@pytest.mark.parametrize("kind", WITHOUT_ROUNDS)
def test_without_rounds(kind: str, tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        job = Job(journal=journal, sync_every=60, steps=4000, workers=3, **KINDS[kind])
        job.play(range(3), seed=4)
    again = Job(sync_every=60, steps=4000, workers=3, **KINDS[kind])
    repeat(again.service, read(tmp_path))
    assert (again.digest, again.learner.steps) == (job.digest, job.learner.steps)


def test_a_robot_that_is_new_begins_with_the_table_of_the_fleet() -> None:
    hub = hub_of("fleet beside")
    hub.play([0, 1], rounds=9)
    fleet = hub.learner.tables["fleet"].values
    assert hub.learner.tables[2].values.tobytes() == fleet.tobytes()
    assert hub.learner.tables[1].values.tobytes() != fleet.tobytes()
    new = Member(Known(make=task_of))
    new.join(hub.service.welcome(2, ()))
    assert new._welcome.merged.mean_values()[12:].tobytes() == fleet.tobytes()
    own = hub.learner.tables[1].values
    hub.play([2], rounds=3)
    assert hub.learner.tables[2].values.tobytes() != hub.learner.tables["fleet"].values.tobytes()
    assert own.shape == (12, 3)


def test_the_own_part_is_checked() -> None:
    hub = hub_of("fleet beside")
    rehearsed = Member(hub.service.job.known())
    rehearsed.join(hub.service.welcome(0, ()))
    payload = bytes(rehearsed.learn())
    from cdq.job.membership.events import Submission
    from cdq.job.messages import open_contribution

    own = open_contribution(payload, hub.service.job.shape).own
    assert own is not None
    at = payload.index(own.pack())
    for wrong in (
        own._replace(values=np.full_like(own.values, np.nan)),
        own._replace(counts=own.counts + np.uint32(1)),
        own._replace(pairs=own.pairs[::-1]),
        own._replace(pairs=own.pairs + np.uint32(36)),
        type(own)(*(part[1:] for part in own)),
    ):
        data = payload[:at] + wrong.pack() + payload[at + len(own.pack()) :]
        assert hub.service.check(0, Submission(data, 1, 0)), wrong
    assert hub.service.check(0, Submission(payload[:-1], 1, 0))
    assert hub.service.check(0, Submission(payload, 1, 0)) is None


# ---- refusals


def hosted(
    tmp_path: Path, env: Any, asynchronous: bool = False, least: int | None = None, **how: Any
) -> None:
    agent = cdq.QLearner(env, comm="zmq", checkpoint=tmp_path / "job", seed=0, **how)
    agent.learn(100, hosting=Hosting(f"zmq+ipc://{tmp_path}/hub", asynchronous=asynchronous, least=least))


@pytest.mark.parametrize(
    ("env", "how", "said"),
    [
        ("Blackjack-v1", {"stepping": "python", "workers": 2}, "stepped in Python"),
        (["FrozenLake-v1", "FrozenLake-v1"], {"stepping": "python"}, "stepped in Python"),
        ("cdq/ConnectFour-v0", {"opponent": "self", "table": "hash", "workers": 2}, "hashed table"),
        (RIVER, {"tasks": cdq.Rewards(["a", "b"], pay), "workers": 2}, "a hub does not send"),
        (cdq.Signals(rows=2, columns=2), {"workers": 2}, "by its id and arguments: give these"),
        (ROBOTS, {"merge": cdq.Personal(1.0), "asynchronous": True}, "let it merge in rounds"),
        ("cdq/CartPole-v0", {"workers": 2, "asynchronous": True}, "let it merge in rounds"),
        (ROBOTS, {"overlap": True}, "overlap"),
        (
            ROBOTS,
            {"least": 4},
            "a round is to have 4 workers, and the fleet has 3 environments; allowed: up to 3",
        ),
        ("CartPole-v1", {"network": cdq.Network(hidden=(8,)), "workers": 2}, "a hub averages"),
        (ROBOTS, {"per_worker": {"exploration": [0.1, 0.2, 0.3]}}, "members of a hub come and go"),
    ],
)
def test_what_a_hub_cannot_hold_is_refused_before_it_is_there(
    env: Any, how: dict[str, Any], said: str, short_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        hosted(short_path, env, **how)
