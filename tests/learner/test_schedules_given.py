"""Step sizes and exploration as text and as functions of the steps, from the learner to its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.schedules import Tabulated
from tests.runs import MODEL


def falling(steps: int) -> float:
    """Return a rate that falls in a straight line."""
    return max(0.05, 1.0 - steps / 1e5)


def digest(**arguments: Any) -> str:
    agent = cdq.QLearner(MODEL, seed=3, workers=2, **arguments).learn(60_000)
    return agent._state.merged.digest().hex()


def test_text_is_what_it_says() -> None:
    said = digest(exploration="linear(1.0, 0.05, 1e5)", step_size="polynomial(0.6)")
    made = digest(exploration=cdq.LinearDecay(1.0, 0.05, 1e5), step_size=cdq.Polynomial(0.6))
    assert said == made


@pytest.mark.parametrize("argument", ["exploration", "step_size"])
def test_a_function_of_the_steps_is_called_at_the_start_alone(argument: str) -> None:
    """Learning reads a table: the function may change, or be closed over something that does."""
    calls: list[int] = []

    def counted(steps: int) -> float:
        calls.append(steps)
        return falling(steps)

    agent = cdq.QLearner(MODEL, seed=3, **{argument: counted})
    n = len(calls)
    agent.learn(20_000)
    assert (len(calls), type(calls[0]), calls[:2]) == (n, int, [0, 1])
    assert isinstance(getattr(agent.settings, argument), Tabulated)


@pytest.mark.parametrize("comm", ["inprocess", "zmq"])
def test_a_function_gives_the_same_bits_in_threads_and_processes(comm: str) -> None:
    reference = Tabulated(
        *_table(cdq.QLearner(MODEL, exploration=lambda steps: max(0.05, 1.0 - steps / 1e5)))
    )
    assert digest(exploration=lambda steps: max(0.05, 1.0 - steps / 1e5), comm=comm) == digest(
        exploration=reference
    )


def _table(agent: cdq.QLearner) -> tuple[tuple[int, ...], tuple[float, ...]]:
    rate = agent.settings.exploration
    assert isinstance(rate, Tabulated)
    return rate.steps, rate.rates


def test_files_hold_the_table_of_a_function(tmp_path: Path) -> None:
    agent = cdq.QLearner(
        MODEL,
        seed=3,
        exploration=lambda steps: max(0.05, 1.0 - steps / 1e5),
        step_size=falling,
        checkpoint=tmp_path / "run",
    )
    agent.learn(30_000).save(tmp_path / "learner")
    loaded = cdq.QLearner.load(tmp_path / "learner", MODEL)
    resumed = cdq.QLearner.resume(tmp_path / "run", MODEL)
    assert loaded.settings == resumed.settings == agent.settings
    whole = cdq.QLearner(MODEL, seed=3, exploration=falling, step_size=falling)
    whole.learn(30_000).learn(30_000)
    np.testing.assert_array_equal(resumed.learn(30_000).table.values, whole.table.values)
