"""Games on every backend: the same bits from threads and processes, and after a resume."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.learner.matches import Match
from tests.envs.aec import Takeaway
from tests.learner.test_games import BOARD, NIM


@pytest.mark.parametrize(
    "arguments", [NIM, {**NIM, "table": "hash"}, BOARD], ids=["model", "hashed", "board"]
)
def test_threads_and_processes_learn_the_same_bits(arguments: dict[str, Any]) -> None:
    how = {**arguments, "workers": 3, "sync_every": 700}
    one, other = (cdq.QLearner(**how, comm=comm).learn(30_000) for comm in ("inprocess", "zmq"))
    assert one.table.digest() == other.table.digest()
    assert one.history["mean_return"].tolist() == other.history["mean_return"].tolist()


def test_processes_learn_a_game_of_pettingzoo() -> None:
    how: dict[str, Any] = {"opponent": "self", "seed": 0, "workers": 3, "sync_every": 100}
    one, other = (cdq.QLearner(partial(Takeaway, 7), **how).learn(1_500) for _ in range(2))
    assert one.table.digest() == other.table.digest()
    found = one.evaluate(20)
    assert isinstance(found, Match)
    assert found.first.losses <= 0.2


@pytest.mark.parametrize("arguments", [NIM, BOARD], ids=["model", "board"])
def test_a_resumed_game_is_the_one_that_went_on(arguments: dict[str, Any], tmp_path: Path) -> None:
    how = {**arguments, "workers": 3, "sync_every": 300}
    whole = cdq.QLearner(**how, checkpoint=tmp_path / "whole").learn(9_000).learn(9_000)
    cdq.QLearner(**how, checkpoint=tmp_path / "half").learn(9_000)
    resumed = cdq.QLearner.resume(tmp_path / "half", workers=3).learn(9_000)
    assert resumed.table.digest() == whole.table.digest()
