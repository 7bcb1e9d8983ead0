"""Random models and tables, and how to put a contribution together pair by pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from cdq.mdp.model import MDP
from cdq.mdp.sampler import pack_model
from cdq.qfunctions.merged import MergedTable
from cdq.schedules import Constant, build_law
from cdq.workers.worker import Worker

DTYPES = ("float32", "float64")
seeds = st.integers(0, 2**32 - 1)


def random_model(
    n_states: int,
    n_actions: int,
    *,
    seed: int,
    most_outcomes: int = 4,
    time_limit: int | None = None,
    masked: bool = False,
) -> MDP:
    """Return a model with every kind of outcome; its rewards are few, so that values tie.

    *masked*: states do not have all actions.
    """
    random = np.random.default_rng(seed)
    counts = random.integers(1, most_outcomes + 1, n_states * n_actions)
    actions = random_mask(n_states, n_actions, seed) if masked else None
    if actions is not None:
        counts[~actions.reshape(-1)] = 0
    pair = np.repeat(np.arange(n_states * n_actions), counts)
    weight = random.choice([1.0, 1.0, 2.0, 0.1, random.random()], len(pair))
    probability = weight / np.bincount(pair, weight)[pair]
    start = random.random(n_states) * (random.random(n_states) < 0.6)
    start[random.integers(n_states)] += 0.5
    return MDP(
        n_states,
        n_actions,
        np.concatenate(([0], np.cumsum(counts))),
        random.integers(0, n_states, len(pair)),
        probability,
        random.choice([-1.0, 0.0, 0.0, 1.0, 0.1, random.normal()], len(pair)),
        random.random(len(pair)) < 0.15,
        start / start.sum(),
        time_limit,
        f"random-{seed}",
        None,
        actions,
    )


def random_mask(n_states: int, n_actions: int, seed: int) -> Any:
    """Return the actions that states have, at least one each."""
    random = np.random.default_rng((seed, 1))
    actions = random.random((n_states, n_actions)) < random.choice([0.2, 0.5, 0.9])
    actions[np.arange(n_states), random.integers(0, n_actions, n_states)] = True
    return actions


@st.composite
def models(draw: st.DrawFn) -> MDP:
    return random_model(
        draw(st.integers(1, 7)),
        draw(st.integers(1, 12)),
        seed=draw(seeds),
        most_outcomes=draw(st.sampled_from([1, 2, 3, 5, 8, 9, 14])),
        time_limit=draw(st.sampled_from([None, None, 1, 2, 7])),
        masked=draw(st.booleans()),
    )


def make_worker(model: MDP, dtype: Any = "float64", **changes: Any) -> Worker:
    """Return a worker that is alone in its process, unless *changes* say otherwise."""
    problem = changes.pop("problem", None) or pack_model(model, dtype)
    arguments: dict[str, Any] = {
        "merged": MergedTable(model.n_states, model.n_actions, dtype, 0.0),
        "is_keeper": True,
        "gamma": 0.9,
        "seed": 0,
        "rank": 0,
        "session": 0,
        "num_envs": 1,
        "stop": np.zeros(1, np.int32),
        **changes,
    }
    return Worker(problem, **arguments)


# What a worker holds (rows.h has the layout): views of its own values and counts, and what it shares.

_TOUCHED = np.uint32(1 << 31)


def base_of(worker: Worker) -> Any:
    return worker._merged.values


def clock_of(worker: Worker) -> Any:
    return worker._merged.clock


def values_of(worker: Worker) -> Any:
    base = base_of(worker)
    return np.asarray(worker.rows.data)[:, : base.shape[1] * base.itemsize].view(base.dtype)


def counts_of(worker: Worker) -> Any:
    n_actions, size = base_of(worker).shape[1], base_of(worker).itemsize
    return np.asarray(worker.rows.data)[:, n_actions * size : n_actions * (size + 4)].view(np.uint32)


def visits_of(worker: Worker) -> Any:
    """Return the visits in the worker's window, a copy."""
    return (counts_of(worker) & ~_TOUCHED) - clock_of(worker)


def set_table(worker: Worker, values: Any, clock: Any) -> None:
    base_of(worker)[:], clock_of(worker)[:] = values, clock
    values_of(worker)[:], counts_of(worker)[:] = values, clock


def learnt(worker: Worker) -> bytes:
    """Return the bytes of the worker's table, and of that which its process shares."""
    merged = worker._merged
    parts = worker.rows.data, merged.values, merged.clock, merged.visits
    return b"".join(np.asarray(part).tobytes() for part in parts)


def state_of(worker: Worker) -> bytes:
    """Return all that a round may change, as bytes."""
    return learnt(worker) + worker._lanes.memory.tobytes()


NO_STOP = np.zeros(1, np.int32)
NO_STOP.flags.writeable = False


@dataclass
class Tables:
    """The workers of a round: what they had in common, and what each brings."""

    base: Any  # (S, A)
    clock: Any  # (S, A)
    values: Any  # (workers, S, A)
    visits: Any  # (workers, S, A)

    def workers(self) -> list[Worker]:
        """Return workers that hold these tables, as if each had learnt for a window."""
        size, n_states, n_actions = self.values.shape
        model = MDP.garnet(n_states, n_actions, branching=1, seed=0)
        return [self._worker(model, rank) for rank in range(size)]

    def _worker(self, model: MDP, rank: int) -> Worker:
        worker = make_worker(model, self.base.dtype, rank=rank)
        order = np.random.default_rng(rank).permutation(np.flatnonzero(self.visits[rank]))
        touch(worker, order)
        set_table(worker, self.base, self.clock)
        values_of(worker)[:] = self.values[rank]
        counts_of(worker)[:] = (self.clock + self.visits[rank]) | np.where(self.visits[rank] > 0, _TOUCHED, 0)
        return worker


def touch(worker: Worker, pairs: Any) -> None:
    """Make the worker step through *pairs* in this order, so that its log lists them."""
    values = values_of(worker)
    law = build_law(Constant(0.0), 0, 0.3, values.dtype)
    for pair in pairs:
        state, action = divmod(int(pair), values.shape[1])
        values[:] = 0
        values[state, action] = 1
        worker._lanes.state[0] = state
        assert worker.run(law, 1, 0.0, 0.0) is not None
    assert worker.rows.touched == len(pairs)


@st.composite
def tables(draw: st.DrawFn, workers: Any = None) -> Tables:
    """Draw tables whose touched part goes from nothing to everything, with values from 1e-8 to 1e8."""
    size = draw(st.sampled_from([1, 2, 3, 4, 7, 8]) if workers is None else workers)
    shape = (draw(st.integers(1, 12)), draw(st.sampled_from([1, 2, 3, 4, 6, 7, 8, 9])))
    real = np.dtype(draw(st.sampled_from(DTYPES)))
    random = np.random.default_rng(draw(seeds))
    share = draw(st.sampled_from([0.0, 0.02, 0.1, 0.3, 1.0]))
    most = draw(st.sampled_from([1, 5, 300, 7000]))
    visits = random.integers(1, most + 1, (size, *shape)) * (random.random((size, *shape)) < share)
    scale = 10.0 ** random.integers(-8, 9, shape) if draw(st.booleans()) else 1.0
    base = (random.normal(size=shape) * scale).astype(real)
    news = (random.normal(size=(size, *shape)) * scale).astype(real)
    clock = random.integers(0, draw(st.sampled_from([1, 100, 10**6])), shape)
    return Tables(base, clock.astype(np.uint32), np.where(visits > 0, news, base), visits.astype(np.uint32))
