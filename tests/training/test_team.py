"""The workers of a process, from one call of learn to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cdq
from cdq.comm.inprocess import InProcessCommunicator, connect
from cdq.testing.threads import run_in_threads
from tests import runs


class Sharing(InProcessCommunicator):
    """Shares memory as processes do, where it is told to."""

    shares = True
    memory: dict[int, bytearray]

    def share(self, n_bytes: int) -> list[memoryview] | None:
        own = np.zeros(n_bytes, np.uint8)
        if not self.shares:
            return None
        self.memory[self.rank] = own.data  # type: ignore[assignment]
        self.barrier()
        return [memoryview(self.memory[rank]) for rank in range(self.size)]

    def merge(self, contribution: Any, rule: Any) -> Any:
        if not self.shares:
            return super().merge(contribution, rule)
        described = [bytes(part) for part in self.allgather(contribution.describe())]
        contribution.merge_shared(contribution.peers(described), rule, self.rank)
        merged = [bytes(part) for part in self.allgather(contribution.describe())]
        joined = contribution.join_shared(contribution.peers(merged))
        self.barrier()
        return joined


@pytest.mark.parametrize("shares", [(False, True, False, True), (True, False, True, True), (False,) * 4])
def test_memory_that_is_shared_in_some_calls_only_makes_no_difference(
    shares: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"workers": 2, "num_envs": 3, "seed": 5, "sync_every": 99}
    whole = cdq.QLearner(runs.MODEL, **arguments).learn(4 * 20 * 198)
    agent = cdq.QLearner(runs.MODEL, **arguments)
    monkeypatch.setattr("cdq.learner.backends.connect", lambda *_: Sharing.connect("inprocess", 2, 10.0))
    for share in shares:
        monkeypatch.setattr(Sharing, "shares", share)
        monkeypatch.setattr(Sharing, "memory", {}, raising=False)
        agent.learn(20 * 198)
    assert agent.table.digest() == whole.table.digest()


def test_ranks_of_their_own_learn_as_the_workers_of_one_learner() -> None:
    arguments: dict[str, Any] = {"num_envs": 3, "seed": 5, "sync_every": 99}
    whole = cdq.QLearner(runs.MODEL, workers=3, **arguments).learn(9000).learn(3000)
    agents = run_in_threads(
        connect(3, 10.0),
        lambda comm: cdq.QLearner(runs.MODEL, comm=comm, **arguments).learn(9000).learn(3000),
    )
    assert [agent.table.digest() for agent in agents] == [whole.table.digest()] * 3
    assert [len(agent.history) > 0 for agent in agents] == [True, False, False]
