"""Compiled traffic signals and packet routing beside their definitions, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.lanes import Lanes
from cdq.core.table.qfunction import TableQ
from cdq.envs.compiled import CompiledEnvironment
from cdq.envs.compiled_groups import CompiledAgentsEnvironment
from cdq.envs.routing import Routing, grids
from cdq.envs.signals import SignalsEnv
from cdq.qfunctions.merged import MergedTable
from cdq.workers.worker import LEARNING, streams
from tests.reference import city as reference
from tests.reference.qfunction import QFunction
from tests.reference.schedules import Law
from tests.strategies import DTYPES, seeds

STEP = schedules.Constant(0.3)
NETWORKS = [[(0, 1), (1, 2), (2, 0)], [(0, 1), (1, 2), (2, 3), (3, 1)], grids(2, 2, (0,))]


def compare(source: Any, n_envs: int, other: Any, dtype: str, seed: int, sweeps: int, explore: float) -> Any:
    """Learn by the loop and by *other*, a function that makes the definition; compare all that they leave behind."""
    agents = getattr(source, "lanes_each", 1)
    merged = MergedTable(source.n_states, source.n_actions, dtype, 0.0)
    rows, lanes = merged.new_rows(), Lanes(n_envs * agents, source.own_bytes)
    lanes.words[:] = words = streams(seed, (LEARNING, 0, 0), lanes.n)
    loop = source.loop(TableQ(rows, lanes.n), lanes, 0.9, [0] * lanes.n, np.zeros(1, np.int32))
    loop.reset()
    q = QFunction(np.zeros(merged.values.shape, dtype), np.zeros(merged.values.shape), lambda row: [(row, 1)])
    definition = other(q, words.copy())
    ours = loop.run(schedules.build_law(STEP, 0, 0.3, dtype), sweeps, explore, explore)
    definition.run(Law(STEP, 0, 0.3, dtype), sweeps, explore)
    values = np.asarray(rows.data)[:, : source.n_actions * merged.values.itemsize].view(dtype)
    assert values.tobytes() == q.values.tobytes()
    assert lanes.words.T.tolist() == [stream.words for stream in definition.streams]
    assert (lanes.elapsed.tolist(), lanes.returns.tolist()) == (definition.elapsed, definition.returns)
    assert ours[:3] == (True, len(definition.ended), sum(length for length, _ in definition.ended))
    return lanes


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from([(0.35, 0.05), (1.0, 0.0), (0.9, 0.7)]),
    st.sampled_from(["local", "global"]), st.sampled_from(["own", "shared", "first"]), st.sampled_from(DTYPES),
    st.integers(1, 40), st.sampled_from([3, 1000]), seeds,
)  # fmt: skip
def test_signals_are_the_definition(
    rows: int,
    columns: int,
    n: int,
    rates: Any,
    reward: str,
    groups: str,
    dtype: str,
    sweeps: int,
    limit: int,
    seed: int,
) -> None:
    env = SignalsEnv(rows, columns, rates=rates, reward=reward)
    env.time_limit = limit
    tables: Any = {"first": ["n0"]} if groups == "first" else groups
    source = CompiledAgentsEnvironment(env, groups=tables)
    first = [0 if groups == "shared" else 50 * agent for agent in range(rows * columns)]

    def definition(q: QFunction, words: Any) -> reference.Learner:
        cities = [reference.City(rows, columns, rates, reward) for _ in range(n)]
        return reference.Learner(cities, q, 0.9, words, first, limit)

    compare(source, n, definition, dtype, seed, sweeps, 0.4)


@given(
    st.sampled_from(NETWORKS), st.integers(1, 3), st.sampled_from([0.1, 1.5, 4.0]), st.sampled_from([3, 50]),
    st.sampled_from([1, 5, 100]), st.sampled_from(DTYPES), st.integers(1, 80), seeds,
)  # fmt: skip
def test_routing_is_the_definition(
    links: Any, n: int, load: float, ticks: int, packets: int, dtype: str, sweeps: int, seed: int
) -> None:
    env = Routing(links, load=load, ticks=ticks, packets=packets)

    def definition(q: QFunction, words: Any) -> reference.Learner:
        networks = [reference.Network(env.neighbours, load, ticks, packets) for _ in range(n)]
        return reference.Learner(networks, q, 0.9, words, [0], 2**62)

    compare(CompiledEnvironment(env), n, definition, dtype, seed, sweeps, 0.3)
