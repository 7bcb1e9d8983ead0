"""Training between the rollouts of a loop, with loops and Q-functions that only count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdq import Network
from cdq.comm.base import Communicator
from cdq.comm.inprocess import connect
from cdq.errors import LearningDiverged
from cdq.qfunctions import Trained
from cdq.schedules import Constant, build_law
from cdq.testing import run_in_threads

LAW = build_law(Constant(0.25), 0, 0.3, "float32")


class Loop:
    """Steps nothing: sweep t of the window ends an episode of length t + 1 and return -t in every part."""

    def __init__(self, stops_at: int = 10**9) -> None:
        self.calls: list[tuple[int, float, float]] = []
        self.stops_at = stops_at

    def reset(self) -> None:
        pass

    def run(self, law: Any, sweeps: int, first: float, last: float, parts: Any = None) -> Any:
        self.calls.append((sweeps, first, last))
        if len(self.calls) >= self.stops_at:
            return False, 0, 0, 0.0
        n = len(self.calls)
        if parts is not None:
            parts[:] = [sweeps / len(parts), 1, n, -n, n, n, -n, -n]
        k = 1 if parts is None else len(parts)
        return True, k, n * k, float(-n * k)


class Q:
    """Writes down what is asked of it; its gradients are the number of the call, of the worker *rank*."""

    is_divergent = False

    def __init__(self, rank: int = 0, diverges_at: int = 10**9) -> None:
        self.rank, self.diverges_at = rank, diverges_at
        self.told: list[Any] = []
        self.steps: list[tuple[list[float], float]] = []

    def forget(self) -> None:
        self.told.append("forget")

    def targets(self) -> int:
        self.told.append("targets")
        return 4

    def shuffle(self) -> None:
        self.told.append("shuffle")

    def minibatches(self) -> int:
        return 2

    def gradient(self, i: int, into: Any) -> None:
        self.told.append(i)
        into[:] = 10 * len(self.steps) + self.rank

    def apply(self, gradients: list[Any], step_size: float) -> None:
        self.steps.append(([float(one[0]) for one in gradients], step_size))
        self.is_divergent = len(self.steps) >= self.diverges_at


def trained(loop: Loop, q: Q, **network: Any) -> Trained:
    return Trained(loop, q, 3, Network(**network), "Toy")


def test_every_rollout_is_followed_by_epochs_of_minibatches() -> None:
    loop, q = Loop(), Q()
    result = trained(loop, q, rollout=4, epochs=2).run(LAW, 10, 1.0, 0.0)
    assert [sweeps for sweeps, _, _ in loop.calls] == [4, 4, 2]
    assert np.allclose([rates for _, *rates in loop.calls], [[1.0, 0.6], [0.6, 0.2], [0.2, 0.0]])
    epochs = ["shuffle", 0, 1] * 2
    assert q.told == ["forget", *["targets", *epochs] * 3]
    assert all(step_size == 0.25 for _, step_size in q.steps)
    assert result == (True, 3, 6, -6.0)


@pytest.mark.parametrize(("n", "rollouts"), [(1, 1), (3, 3), (7, 3), (2, 5), (1, 4), (16, 5)])
def test_tallies_have_the_sums_of_all_rollouts(n: int, rollouts: int) -> None:
    parts = np.zeros((n, 8))
    _, episodes, length_sum, return_sum = trained(Loop(), Q(), rollout=4).run(LAW, 4 * rollouts, 0, 0, parts)
    assert parts[:, :4].sum(axis=0) == pytest.approx([4 * rollouts, episodes, length_sum, return_sum])
    assert (parts[0, 4], parts[-1, 5]) == (1, rollouts)
    assert (parts[:, 6] == -parts[:, 5]).all()
    assert (parts[:, 7] == -parts[:, 4]).all()


def test_a_rollout_that_the_stop_flag_ends_is_not_learnt() -> None:
    q = Q()
    assert not trained(Loop(stops_at=2), q, rollout=4).run(LAW, 12, 0, 0)[0]
    assert q.told.count("targets") == 1


@pytest.mark.parametrize("at", [1, 3])
def test_divergence_is_raised_before_the_window_counts(at: int) -> None:
    with pytest.raises(LearningDiverged, match=r"Toy diverges; .*step_size.*reward_scale"):
        trained(Loop(), Q(diverges_at=at), rollout=4).run(LAW, 8, 0, 0)


def test_gradients_of_all_workers_come_in_rank_order() -> None:
    def learn(comm: Communicator) -> Any:
        q = Q(comm.rank)
        loop = trained(Loop(), q, epochs=1)
        loop.comm = comm
        loop.run(LAW, 32, 0, 0)
        return q.steps

    for steps in run_in_threads(connect(3), learn):
        assert steps == [([0.0, 1.0, 2.0], 0.25), ([10.0, 11.0, 12.0], 0.25)]


def test_threads_read_each_others_gradients_where_they_are() -> None:
    """Without a copy; and the next one is written elsewhere, for a slow thread may still be reading."""
    addresses: dict[int, list[list[int]]] = {}

    def learn(comm: Communicator) -> None:
        class Reader(Q):
            def minibatches(self) -> int:
                return 1

            def apply(self, gradients: list[Any], step_size: float) -> None:
                seen.append([one.ctypes.data for one in gradients])
                super().apply(gradients, step_size)

        seen = addresses[comm.rank] = []
        loop = trained(Loop(), Reader(comm.rank), epochs=3, rollout=4)
        loop.comm = comm
        loop.run(LAW, 8, 0, 0)

    run_in_threads(connect(2), learn)
    assert addresses[0] == addresses[1]
    places = addresses[0]
    assert len(places) == 6
    assert all(place == places[i % 2] for i, place in enumerate(places))
    assert len({*places[0], *places[1]}) == 4
