"""What is kept of a learner, and what of it is missed or refused when it comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import FileError, TableError
from cdq.errors.checks import shown
from cdq.qfunctions.merged import MergedTable
from cdq.storage.files import read_tensors, write_tensors
from cdq.training.course import Progress
from cdq.training.goals import Goal
from cdq.training.played import Row
from cdq.training.state import State, lanes_of
from tests.strategies import random_model

MODEL = random_model(7, 3, seed=1)


def fresh(dtype: str = "float64") -> State:
    return State(MergedTable(MODEL.n_states, MODEL.n_actions, dtype, 0.0), Progress(0, 500.0))


def learnt() -> State:
    state, random = fresh(), np.random.default_rng(0)
    state.merged.values[:] = random.normal(size=state.merged.values.shape)
    state.merged.clock[:] = random.integers(0, 2**32, state.merged.clock.shape)
    state.merged.visits[:] = random.integers(0, 2**62, state.merged.visits.shape)
    state.progress = Progress(2**60 + 1, 1234.1)
    state.history.append(Row(2**60 + 1, 0.1, float("nan"), 2, 3, 2**50 + 1, float("inf")))
    state.session, state.evaluations = 2, 3
    state.goal = Goal(2**61, cdq.MeanReturn(0.1), 7, 99)
    return state


def through_a_file(state: State) -> tuple[dict[str, Any], dict[str, Any]]:
    tensors, counters = state.everything()
    header = {"model": MODEL.fingerprint(), "environment": MODEL.name, **counters}
    return {name: tensor.copy() for name, tensor in tensors.items()}, json.loads(json.dumps(header))


def test_all_comes_back() -> None:
    state, other = learnt(), fresh()
    other.restore("a file", *through_a_file(state), MODEL)
    assert other.merged.digest() == state.merged.digest()
    assert other.progress == state.progress
    assert (other.session, other.evaluations, other.goal) == (2, 3, state.goal)
    assert repr(list(other.history)) == repr(list(state.history))  # NaN, too


def test_a_saved_learner_has_no_goal_and_no_history() -> None:
    other, (tensors, header) = fresh(), through_a_file(learnt())
    del header["goal"]
    other.restore("a file", {name: tensors[name] for name in ("values", "visits", "clock")}, header, MODEL)
    assert (other.goal, len(other.history)) == (Goal(0), 0)


@pytest.mark.parametrize("name", ["values", "visits", "clock", "history.steps", "history.gap"])
def test_a_tensor_that_is_missing_is_named(name: str) -> None:
    tensors, header = through_a_file(learnt())
    del tensors[name]
    with pytest.raises(FileError, match=f"a file lacks what a learner goes on from: .*{name}.*; use another"):
        fresh().restore("a file", tensors, header, MODEL)


@pytest.mark.parametrize("name", ["steps", "window", "session"])
@pytest.mark.parametrize("value", [None, "many", [1]])
def test_a_counter_of_another_kind_is_an_error(name: str, value: Any) -> None:
    tensors, header = through_a_file(learnt())
    with pytest.raises(FileError, match="a file lacks what a learner goes on from"):
        fresh().restore("a file", tensors, {**header, name: value}, MODEL)


@pytest.mark.parametrize(
    "goal", [{}, {"target": 5}, {"until": {"kind": "Other"}}, {"until": None, "more": 1}]
)
def test_a_goal_of_another_kind_is_an_error(goal: dict[str, Any]) -> None:
    tensors, header = through_a_file(learnt())
    with pytest.raises(FileError, match="a file lacks what a learner goes on from"):
        fresh().restore("a file", tensors, {**header, "goal": goal}, MODEL)


def test_a_table_of_another_type_or_size_is_refused() -> None:
    tensors, header = through_a_file(learnt())
    with pytest.raises(TableError, match="the file's values are float64 .* not float32"):
        fresh("float32").restore("a file", tensors, header, MODEL)
    with pytest.raises(TableError, match="the file's clock are int64"):
        fresh().restore("a file", {**tensors, "clock": tensors["visits"]}, header, MODEL)
    smaller = {name: tensor[:5] for name, tensor in tensors.items()}
    with pytest.raises(TableError, match=r"of shape \(5, 3\), not float64 of shape \(7, 3\)"):
        fresh().restore("a file", smaller, header, MODEL)


def test_another_model_is_refused() -> None:
    other = random_model(7, 3, seed=2)
    with pytest.raises(
        TableError, match="a file was learnt on random-1, whose model differs from that of random-2"
    ):
        fresh().restore("a file", *through_a_file(learnt()), other)


def test_lanes_are_a_row_per_rank() -> None:
    assert lanes_of([b"ab", b"cd"]).tolist() == [[97, 98], [99, 100]]


ABSURD = [-1, 2**63, 10**400, float("inf"), float("nan"), 1.5, True, "3"]


@pytest.mark.parametrize("name", ["steps", "session", "evaluations", "window"])
@pytest.mark.parametrize("value", ABSURD, ids=shown)
def test_counters_out_of_range_are_refused_before_anything_changes(name: str, value: Any) -> None:
    state, (tensors, header) = fresh(), through_a_file(learnt())
    value = 0.5 if (name, value) == ("window", 1.5) else value
    before = state.merged.digest(), state.progress, state.session
    with pytest.raises(FileError, match=f"a file lacks what a learner goes on from: .*{name} is"):
        state.restore("a file", tensors, {**header, name: value}, MODEL)
    assert (state.merged.digest(), state.progress, state.session) == before


@pytest.mark.parametrize("name", ["target", "keep_every", "measure_at"])
@pytest.mark.parametrize("value", ABSURD, ids=shown)
def test_goals_out_of_range_are_refused(name: str, value: Any) -> None:
    tensors, header = through_a_file(learnt())
    with pytest.raises(FileError, match=f"a file lacks what a learner goes on from: .*{name} is"):
        fresh().restore("a file", tensors, {**header, "goal": {**header["goal"], name: value}}, MODEL)


def test_visits_and_histories_out_of_range_are_refused() -> None:
    tensors, header = through_a_file(learnt())
    for name, value in (("visits", 2**62 + 1), ("history.steps", -1), ("history.rounds", 2**63 - 1)):
        changed = {**tensors, name: np.full_like(tensors[name], value)}
        with pytest.raises(FileError, match="a file lacks what a learner goes on from"):
            fresh().restore("a file", changed, header, MODEL)


def test_lanes_of_a_file_are_checked(tmp_path: Path) -> None:
    cdq.QLearner(MODEL, seed=0, workers=2, num_envs=3, checkpoint=tmp_path).learn(1000)
    path = sorted(tmp_path.glob("checkpoint-*"))[-1]
    tensors, header = read_tensors(path)
    out_of_range, negative = (tensors["lanes"].copy() for _ in range(2))
    out_of_range[1, 48 * 3 : 52 * 3].view(np.uint32)[:] = MODEL.n_states
    negative[1, 32 * 3 : 40 * 3].view(np.int64)[:] = -1
    wrong = [
        out_of_range,
        negative,
        tensors["lanes"][:, 1:],
        tensors["lanes"][0],
        tensors["lanes"].view(np.int8),
    ]
    for lanes in wrong:
        write_tensors(path, {**tensors, "lanes": lanes}, header)
        with pytest.raises(FileError, match="use another checkpoint"):
            cdq.QLearner.resume(tmp_path, MODEL)
    write_tensors(path, tensors, header)
    assert cdq.QLearner.resume(tmp_path, MODEL).steps == header["steps"]
