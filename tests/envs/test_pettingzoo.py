"""PettingZoo's own classes and wrappers, of which cdq imports nothing: its environments are learnt as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pettingzoo import ParallelEnv
from pettingzoo.utils import parallel_to_aec
from pettingzoo.utils.wrappers import AssertOutOfBoundsWrapper, OrderEnforcingWrapper

import cdq
from tests.envs.agents import Corridors


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other processes import this one's test modules, as a user's would be."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


class Zoo(Corridors, ParallelEnv[str, int, int]):
    """Corridors of PettingZoo's class."""

    metadata = {"name": "zoo_corridors", "is_parallelizable": True}  # noqa: RUF012


def in_turn() -> Any:
    return OrderEnforcingWrapper(AssertOutOfBoundsWrapper(parallel_to_aec(Zoo())))


@pytest.mark.parametrize("make", [Zoo, in_turn])
def test_both_kinds_are_learnt(make: Any) -> None:
    agent = cdq.QLearner(make, seed=1, exploration=0.3).learn(60_000)
    assert agent.name == "zoo_corridors"
    assert agent.settings.num_envs == (3 if make is Zoo else 1)
    for name, length in (("n0", 4), ("n1", 5), ("n2", 6)):
        table = agent.tables[name]
        assert table.policy()[:-1].tolist() == [1] * (length - 1)
        np.testing.assert_allclose(table.values[0, 1], 0.99 ** (length - 2), atol=1e-3)
        assert agent.evaluate(3)[name].mean_return == 1.0


@pytest.mark.parametrize("make", [Zoo, in_turn])
def test_by_processes(make: Any) -> None:
    digests = {cdq.QLearner(make, seed=1, workers=3).learn(6000).table.digest() for _ in range(2)}
    assert len(digests) == 1


def test_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, cdq; from tests.envs.agents import Corridors; cdq.QLearner(Corridors, seed=0).learn(300); "
        "print('pettingzoo' in sys.modules)"
    )
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.append({root!r}); {program}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
