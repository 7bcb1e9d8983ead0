"""Rounds without Python in between: what is learnt and written down is what it is where each round is watched."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.core.envs.envs import FUNCTIONS
from cdq.envs import CompiledEnv
from cdq.errors import LearningDiverged, PeerLost
from cdq.qfunctions import hashed
from cdq.qfunctions.merged import MergedTable
from cdq.schedules import Constant, RescaledLinear
from cdq.schedules.windows import FixedWindow
from cdq.testing.threads import run_in_threads
from cdq.training.course import Course, Plan, Progress, learn_rounds, watch_nothing
from cdq.training.onlooker import Nobody
from cdq.workers.contribution import WorkerContribution
from cdq.workers.rounds import Interrupted
from cdq.workers.stretches import Stretches
from tests.runs import WAYS
from tests.strategies import make_worker, random_model

MODEL = random_model(30, 4, seed=8, time_limit=50)
SETTINGS: dict[str, dict[str, Any]] = {
    **WAYS,
    "many lanes": {"workers": 2, "num_envs": 7, "sync_every": 50, "dtype": "float32"},
    "long windows": {"workers": 1, "sync_every": 20_000},
    "all laws": {"workers": 3, "sync_every": 99, "exploration": cdq.ExponentialDecay(1.0, 0.1, 9000)},
    "falling step sizes": {"workers": 3, "sync_every": 77, "step_size": cdq.LinearDecay(0.5, 0.01, 2e4)},
    "step sizes that bend": {
        "workers": 1,
        "sync_every": 50,
        "step_size": cdq.ExponentialDecay(1.0, 0.02, 5e3),
    },
    "functions": {
        "workers": 2,
        "sync_every": 60,
        "exploration": lambda steps: 1 / (1 + steps / 1e3),
        "step_size": lambda steps: 0.5 / (1 + steps / 1e4),
        "merge": "importance",
    },
    "a power": {"workers": 1, "sync_every": 33, "step_size": cdq.Polynomial(0.7), "merge": "visits"},
}


def paid(states: Any, actions: Any, rewards: Any, next_states: Any) -> Any:
    """Return the rewards of two tasks."""
    return np.stack([rewards, (next_states % 3 == 0) - 0.25 * rewards], axis=1)


RIVER = CompiledEnv(*FUNCTIONS["river"], n_actions=2, n_states=4, context=np.array([4]), uniforms=1)
TILES = cdq.TileCoding(4, 4)
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "tiles": ("cdq/MountainCar-v0", {"features": TILES, "dtype": "float32"}),
    "tiles by falling step sizes": (
        "cdq/MountainCar-v0",
        {"features": TILES, "step_size": cdq.LinearDecay(0.5, 0.1, 1e4)},
    ),
    "a basis": ("cdq/MountainCar-v0", {"features": cdq.FourierBasis(2)}),
    "bins": ("cdq/CartPole-v0", {"bins": 5}),
    "linear, by another rule": ("cdq/MountainCar-v0", {"features": TILES, "rule": "double-q"}),
    "hashed": ("cdq/GridWorld-v0", {"table": "hash", "env_kwargs": {"slip": 0.2}}),
    "hashed, by another rule": (RIVER, {"table": "hash", "rule": "double-q", "dtype": "float32"}),
    "hashed cells": ("cdq/MountainCar-v0", {"table": "hash", "bins": 8}),
    "hashed goals": (RIVER, {"table": "hash", "tasks": cdq.Goals([0, 3])}),
    "goals in a model": (MODEL, {"tasks": cdq.Goals([3, 7, 5])}),
    "rewards in a model": (MODEL, {"tasks": cdq.Rewards(["a", "b"], paid)}),
    "goals in a compiled environment": (RIVER, {"tasks": cdq.Goals([0, 3])}),
}


def rows_of(agent: cdq.QLearner) -> dict[str, Any]:
    rows = agent.history.to_arrays()
    assert (np.diff(rows.pop("seconds")) >= 0).all()
    return rows


def learnt(settings: dict[str, Any], *, watched: bool, until: Any = None, env: Any = MODEL) -> cdq.QLearner:
    """Return a learner after three calls; a callback that sees each round makes all of them take Python."""
    given = {
        name: value for name, value in settings.items() if name not in ("steps", "checkpoint_every", "until")
    }
    agent = cdq.QLearner(env, **{"gamma": 0.9, "seed": 3, **given})
    callbacks = [lambda run: None] if watched else []
    for steps in (1000, 2001, 30_000):
        agent.learn(steps, callbacks=callbacks, until=until)
    return agent


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the number of rounds of every stretch, in order."""
    rounds: list[int] = []
    play = Stretches.play

    def noted(self: Stretches, *arguments: Any) -> Any:
        result = play(self, *arguments)
        if result is not None:
            rounds.append(result[1].rounds)
        return result

    monkeypatch.setattr(Stretches, "play", noted)
    return rounds


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_results_and_history_are_those_of_watched_rounds(settings: dict[str, Any]) -> None:
    quiet, watched = (learnt(settings, watched=one) for one in (False, True))
    assert quiet.table.digest() == watched.table.digest()
    have_same_rows(quiet, watched)


def have_same_rows(quiet: cdq.QLearner, watched: cdq.QLearner) -> None:
    ours, theirs = rows_of(quiet), rows_of(watched)
    for name in theirs:
        assert np.array_equal(ours[name], theirs[name], equal_nan=True), name


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("env", "settings"), KINDS.values(), ids=KINDS.keys())
def test_kinds_of_q_functions_are_learnt_as_in_watched_rounds(
    env: Any, settings: dict[str, Any], workers: int, played: list[int]
) -> None:
    given = {"workers": workers, "sync_every": 90, "num_envs": 3, **settings}
    quiet = learnt(given, watched=False, env=env)
    assert max(played) > 1  # how many depends on the time that they take
    watched = learnt(given, watched=True, env=env)
    assert quiet._state.merged.digest() == watched._state.merged.digest()
    have_same_rows(quiet, watched)


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_for_which_there_is_no_memory_end_the_round(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hashed.allocate

    def allocate(n_bytes: int) -> Any:
        if n_bytes > 200_000:
            raise MemoryError("no more than this")
        return whole(n_bytes)

    monkeypatch.setattr(hashed, "allocate", allocate)
    agent = cdq.QLearner("cdq/CartPole-v0", table="hash", bins=60, seed=3, workers=workers, num_envs=4)
    with pytest.raises(MemoryError, match="no more than this"):
        agent.learn(1_000_000)
    assert agent.table.visits.sum() == agent.steps
    assert 0 < agent.steps < 1_000_000


@pytest.mark.parametrize("workers", [3, 4])
def test_weights_diverge_in_the_same_round_as_where_it_is_watched(workers: int) -> None:
    found = []
    for watched in (False, True):
        agent = cdq.QLearner(
            "cdq/MountainCar-v0",
            features=cdq.FourierBasis(2),
            merge="sum",
            step_size=1.0,
            gamma=1.0,
            seed=3,
            workers=workers,
            num_envs=4,
            sync_every=400,
        )
        with pytest.raises(LearningDiverged, match="use a smaller step_size"):
            agent.learn(10_000_000, callbacks=[lambda run: None] if watched else [])
        found.append((agent.steps, agent.table.digest()))
        assert agent.steps > 0
    assert found[0] == found[1]


def falling(steps: int) -> float:
    """Return a step size that is 0 from 1,024 steps on, one of the places at which functions are tabulated."""
    return 0.5 if steps < 1024 else 0.0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", ["quiet", "watched", "overlap", "per worker"])
def test_a_function_gives_each_window_its_step_size(how: str, workers: int) -> None:
    """Each window has the step size of its start: with those of 128 steps nothing is learnt from 1,024 on."""
    own = (
        {"per_worker": {"step_size": [falling] * workers}} if how == "per worker" else {"step_size": falling}
    )
    common = {"gamma": 0.9, "seed": 3, "workers": workers, "num_envs": 1, "sync_every": 128}
    callbacks = [lambda run: None] if how == "watched" else []
    tables = []
    for settings, steps in ((own, 5120), ({"step_size": 0.5}, 1024)):
        agent = cdq.QLearner(MODEL, overlap=how == "overlap", **common, **settings)
        tables.append(np.array(agent.learn(steps, callbacks=callbacks).table))
    assert np.array_equal(*tables)
    assert tables[0].any()


@pytest.mark.parametrize("workers", [1, 2])
def test_several_rounds_take_python_once(workers: int, played: list[int]) -> None:
    cdq.QLearner(MODEL, gamma=0.9, seed=3, workers=workers, sync_every=100).learn(200_000)
    assert sum(played) == workers * (200_000 // (workers * 112) + 1)  # windows of 7 steps of 16 lanes
    assert max(played) > 100


@pytest.mark.parametrize("workers", [1, 3])
def test_a_condition_ends_after_the_same_round(workers: int) -> None:
    until = cdq.OptimalWithin(0.5)
    settings = {"workers": workers, "sync_every": 200}
    quiet, watched = (learnt(settings, watched=one, until=until) for one in (False, True))
    assert quiet.steps == watched.steps
    assert quiet.table.digest() == watched.table.digest()


def test_checkpoints_are_written_after_the_same_rounds(tmp_path: Any) -> None:
    found = []
    for watched in (False, True):
        path = tmp_path / str(watched)
        agent = cdq.QLearner(
            MODEL, gamma=0.9, seed=3, workers=2, sync_every=70, checkpoint=path, checkpoint_every=1000
        )
        agent.learn(9000, callbacks=[lambda run: None] if watched else [])
        found.append(sorted(file.name for file in path.glob("checkpoint-*")))
    assert found[0] == found[1]
    assert found[0]


def rank_of(comm: Communicator, stops: list[Any], tables: list[Any], target: int) -> Any:
    merged = tables[comm.rank]
    worker = make_worker(MODEL, merged=merged, rank=comm.rank, stop=stops[comm.rank])
    plan = Plan(RescaledLinear(0.9), Constant(0.3), "pooled", FixedWindow(100), "float64")
    course = Course(
        plan=plan,
        progress=Progress(0, 100.0),
        target=target,
        size=comm.size,
        num_envs=1,
        watch=watch_nothing,
        finish=np.zeros(1, np.int32),
        onlooker=Nobody(),
    )
    try:
        learn_rounds(worker, WorkerContribution(worker, plan.needs_mass), comm, plan=plan, course=course)
        return course.progress.steps, None
    except (Interrupted, PeerLost) as error:
        comm.abort("a rank has ended")
        worker.roll_back()
        return course.progress.steps, type(error)


def ranks(target: int, *, stop: bool = False) -> tuple[list[Any], list[Any]]:
    """Let two ranks play, each with a table of its own; the second is stopped after a while."""
    stops = [np.zeros(1, np.int32) for _ in range(2)]
    tables = [MergedTable(30, 4, "float64", 0.0) for _ in range(2)]
    if stop:
        threading.Timer(0.1, lambda: stops[1].fill(1)).start()
    return run_in_threads(connect(2, 20.0), lambda comm: rank_of(comm, stops, tables, target)), tables


def test_a_rank_that_is_stopped_ends_all_with_the_last_whole_round() -> None:
    began = time.monotonic()
    ended, tables = ranks(10**12, stop=True)
    assert time.monotonic() - began < 15  # and not at the deadline
    (steps, first), (others, second) = ended
    assert (first, second) == (PeerLost, Interrupted)
    assert steps == others > 0
    assert tables[0].digest() == tables[1].digest()
    assert tables[0].visits.sum() == steps
    _, twins = ranks(steps)
    assert twins[0].digest() == tables[0].digest()
