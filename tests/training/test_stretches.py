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
from cdq.errors import PeerLost
from cdq.qfunctions.merged import MergedTable
from cdq.schedules import Constant, RescaledLinear
from cdq.schedules.windows import FixedWindow
from cdq.testing.threads import run_in_threads
from cdq.training.course import Course, Nobody, Plan, Progress, learn_rounds, watch_nothing
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


def rows_of(agent: cdq.QLearner) -> dict[str, Any]:
    rows = agent.history.to_arrays()
    assert (np.diff(rows.pop("seconds")) >= 0).all()
    return rows


def learnt(settings: dict[str, Any], *, watched: bool, until: Any = None) -> cdq.QLearner:
    """Return a learner after three calls; a callback that sees each round makes all of them take Python."""
    given = {
        name: value for name, value in settings.items() if name not in ("steps", "checkpoint_every", "until")
    }
    agent = cdq.QLearner(MODEL, **{"gamma": 0.9, "seed": 3, **given})
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
    ours, theirs = rows_of(quiet), rows_of(watched)
    for name in theirs:
        assert np.array_equal(ours[name], theirs[name], equal_nan=True), name


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
