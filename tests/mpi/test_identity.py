"""Ranks of MPI learn the table of as many threads, bit for bit, however they merge."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any

import pytest

import cdq
from cdq.core.merge import merge as core
from cdq.merges import NAMES
from cdq.training import course
from tests.mpi import functions, jobs, pool
from tests.mpi.functions import (
    AT_ONCE,
    COMPILED,
    IN_TURN,
    PIECES,
    SHARED,
    SLICES,
    Case,
    Outcome,
    learn,
    learn_on,
)
from tests.strategies import DTYPES

RULES = (*NAMES, IN_TURN)
WAYS = {AT_ONCE: {AT_ONCE}, SHARED: {SHARED}, SLICES: {SLICES}, PIECES: {SLICES, PIECES}}
FEW = (Case("pooled"), Case("mean", dense=True), Case(IN_TURN, "float32"))


@cache
def by_threads(case: Case, workers: int) -> Outcome:
    return learn(case, comm="inprocess", workers=workers)


def check(ranks: int, case: Case, way: str) -> list[Outcome]:
    """Compare ranks with threads; return what came of the case on each rank."""
    outcomes = pool.run(ranks, partial(learn_on, case, way))
    assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
    threads = by_threads(case, ranks)
    assert {outcome.table for outcome in outcomes} == {threads.table}
    assert {outcome.everything for outcome in outcomes} == {threads.everything}, "the clocks differ"
    assert outcomes[0].rounds == threads.rounds
    assert [outcome.ways for outcome in outcomes] == [ways_of(ranks, case, way)] * ranks
    return outcomes


def ways_of(ranks: int, case: Case, way: str) -> set[str]:
    """Return the ways in which ranks are to merge: a rule of a user's own takes Python."""
    if way == COMPILED:
        return {AT_ONCE if case.merge == IN_TURN else COMPILED}
    return WAYS[way] if ranks > 1 else set()


@pytest.mark.parametrize("masked", [False, True], ids=["all actions", "some actions"])
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_rounds_in_compiled_code(ranks: int, dense: bool, masked: bool) -> None:
    for merge in NAMES:
        for automatic in (False, True):
            check(ranks, Case(merge, "float32", dense, automatic=automatic, masked=masked), COMPILED)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rule_of_its_own_takes_python(dtype: str) -> None:
    check(3, Case(IN_TURN, dtype), COMPILED)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ranks", [3, 4])
def test_every_rule_in_every_way(ranks: int, dtype: str, dense: bool, way: str) -> None:
    for merge in RULES:
        outcomes = check(ranks, Case(merge, dtype, dense), way)
        assert outcomes[0].rounds == functions.ROUNDS
        touched = [part for outcome in outcomes for part in outcome.touched]
        assert len(touched) == ranks * functions.ROUNDS
        assert min(touched) == 1.0 if dense else max(touched) <= 0.01


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_rank(dtype: str, dense: bool) -> None:
    for merge in RULES:
        check(1, Case(merge, dtype, dense), AT_ONCE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ranks", [2, 7])
def test_other_numbers_of_ranks(ranks: int, way: str) -> None:
    for case in FEW:
        check(ranks, case, way)


@pytest.mark.parametrize("way", [AT_ONCE, SLICES, PIECES])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_overlapped_rounds(ranks: int, way: str) -> None:
    """They share no memory: the table of a worker changes while its last window travels."""
    for dense in (False, True):
        for merge in RULES:
            check(ranks, Case(merge, "float32" if dense else "float64", dense, overlap=True), way)


@pytest.mark.parametrize("way", WAYS)
def test_windows_that_follow_from_what_was_merged(way: str) -> None:
    for overlap in (False, True):
        for dense in (False, True):
            if not (overlap and way == SHARED):
                check(3, Case("pooled", dense=dense, overlap=overlap, automatic=True), way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_actions_that_states_do_not_have(dense: bool, way: str) -> None:
    for merge in RULES:
        outcomes = check(3, Case(merge, dense=dense, masked=True), way)
        if dense:  # all pairs that there are, and no other
            actions = functions.model(True, True).actions
            assert actions is not None
            assert {part for outcome in outcomes for part in outcome.touched} == {actions.mean()}


@pytest.mark.parametrize("merge", sorted({*RULES} - {"max"}))
def test_another_order_of_ranks_would_show(merge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else equal tables would say nothing of the order; only the largest value is the same in any."""
    case = Case(merge, "float32", dense=True)
    expected, merge_tables = by_threads(case, 3), core.merge_tables

    def backwards(tables: list[Any], rank: int, *rest: Any) -> Any:
        return merge_tables(tables[::-1], len(tables) - 1 - rank, *rest)

    monkeypatch.setattr(core, "merge_tables", backwards)
    monkeypatch.setattr(course, "_stretches_of", lambda *_: None)  # compiled rounds merge without Python
    assert learn(case, comm="inprocess", workers=3).table != expected.table


# ---- whole jobs


@pytest.mark.alone
def test_more_ranks_than_cores() -> None:
    done = jobs.run_job(32, [jobs.START, "tests.mpi.functions"], timeout=100.0)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {by_threads(functions.ON_32, 32).everything}
    assert len(done.stdout.split()) == 32


def test_the_command_line_reports_once_what_threads_learn() -> None:
    run = "from cdq.cli import main; main()"
    done = jobs.run_job(
        3, ["-c", run, "train", "FrozenLake-v1", "--steps", "2e5", "--seed", "0", "--json", "-"]
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    threads = cdq.QLearner("FrozenLake-v1", comm="inprocess", workers=3, seed=0).learn(200_000)
    assert (report["digest"], report["workers"], report["steps"]) == (
        threads.table.digest(),
        3,
        threads.steps,
    )
