"""Workers that see different parts of a problem: which merge rules make use of that (E5; Woo, Joshi and Chi 2023)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cdq import solve
from cdq.core.merge.merge import commit, merge_slices, pack, slice_bounds
from cdq.core.table.rows import Rows
from cdq.schedules import Constant, build_law
from tests.experiments.harness import Errors, FloatArray, learn, plan, woo

GAMMA, STEP_SIZE, ACTIONS, RUNS = 0.9, 0.2, 20, 20
TOUCHED = 1 << 31  # the flag of a count


class Kernels:
    """The library's merge, for tables that somebody else learnt; rows.h has the layout."""

    def __init__(self, n_states: int, n_actions: int, agents: int) -> None:
        self._table = np.zeros(n_states, [("values", "f8", (n_actions,)), ("counts", "u4", (n_actions,))])
        self._base, self._clock = np.zeros((n_states, n_actions)), np.zeros((n_states, n_actions), np.uint32)
        raw, log = self._table.view(np.uint8).reshape(n_states, -1), np.zeros(self._base.size + 1, np.uint32)
        self._rows = Rows(raw, log, self._base.reshape(-1), self._clock.reshape(-1), n_actions)
        self._law = build_law(Constant(STEP_SIZE), 0, 0.3, "float64")
        self._bounds = [slice_bounds(self._rows, rank, agents) for rank in range(agents)]

    def merge(
        self, rule: str, base: FloatArray, values: FloatArray, visits: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Return what the *values* (agents, states, actions), *visits* of them, become on top of *base*."""
        self._base[:], self._clock[:] = base, 0
        parts = [self._contribution(*own) for own in zip(values, visits, strict=True)]
        self._table["values"], self._table["counts"] = base, 0
        merged = []
        for rank, bounds in enumerate(self._bounds):
            out = bytearray()
            merge_slices(self._rows, [part[rank] for part in parts], *bounds, rule, self._law, False, out)
            merged.append(out)
        commit(self._rows, merged, None)
        return self._table["values"].copy()

    def _contribution(self, values: FloatArray, visits: npt.NDArray[np.int64]) -> list[bytearray]:
        self._table["values"] = values
        self._table["counts"] = visits | np.where(visits > 0, TOUCHED, 0)
        touched = np.flatnonzero(visits).astype(np.uint32)
        return [
            pack(self._rows, touched[(touched >= first) & (touched < last)], first, last)
            for first, last in self._bounds
        ]


def window_of_one_action(
    to_first: FloatArray, q: FloatArray, state: npt.NDArray[np.int64], random: np.random.Generator, steps: int
) -> npt.NDArray[np.int64]:
    """Let agent k play action k alone for a window, changing *q* and *state*; return its visits.

    *to_first* (states, actions) holds the probabilities of going to state 0.
    """
    agent, visits = np.arange(len(q)), np.zeros(q.shape, np.int64)
    for _ in range(steps):
        following = (random.random(len(q)) >= to_first[state, agent]).astype(np.int64)
        target = state + GAMMA * q[agent, following].max(axis=-1)
        q[agent, state, agent] += STEP_SIZE * (target - q[agent, state, agent])
        visits[agent, state, agent] += 1
        state[:] = following
    return visits


def one_action_each(
    rule: str, steps: int, seed: int, *, agents: int = ACTIONS, window: int = 50
) -> dict[int, float]:
    """Return the normalised error by steps, where agent k plays only action k."""
    random, model = np.random.default_rng(seed), woo(ACTIONS, 10_000 + seed)
    optimal, kernels = solve(model, GAMMA).values, Kernels(2, ACTIONS, agents)
    to_first = model.probability[::2].reshape(2, ACTIONS)
    table = random.uniform(0, 1 / (1 - GAMMA), (2, ACTIONS))
    state, errors = random.integers(2, size=agents), {}
    for done in range(window, steps + 1, window):
        q = np.repeat(table[None], agents, axis=0)
        visits = window_of_one_action(to_first, q, state, random, window)
        table = kernels.merge(rule, table, q, visits)
        errors[done] = (1 - GAMMA) * float(np.abs(table - optimal).max())
    return errors


def mean_errors(rule: str, steps: int, runs: int = RUNS, window: int = 50) -> dict[int, float]:
    """Return the mean over runs of what `one_action_each` returns."""
    found = [one_action_each(rule, steps, seed, window=window) for seed in range(runs)]
    return {done: float(np.mean([errors[done] for errors in found])) for done in found[0]}


def uniform(rule: str, steps: int) -> float:
    """Return the mean error where all agents play all actions, in the library's own loop."""
    errors = []
    for seed in range(RUNS):
        model = woo(ACTIONS, 10_000 + seed)
        begin = np.random.default_rng(seed).uniform(0, 1 / (1 - GAMMA), (2, ACTIONS))
        doing, watch = plan(STEP_SIZE, rule, 50), Errors(model, GAMMA)
        learn(model, doing, gamma=GAMMA, workers=ACTIONS, steps=steps, seed=seed, initial=begin, watch=watch)
        errors.append(watch.errors[-1])
    return float(np.mean(errors))


@pytest.mark.slow
def test_rules_that_weigh_by_visits_make_use_of_partial_views() -> None:
    expected = {
        "mean": {300: 0.405, 1000: 0.349, 3000: 0.260},
        "importance": {300: 0.283, 1000: 0.201, 3000: 0.179},
        "pooled": {300: 0.288, 1000: 0.211, 3000: 0.192},
    }
    found = {rule: mean_errors(rule, 3000) for rule in expected}
    for rule, errors in expected.items():
        assert {done: found[rule][done] for done in errors} == pytest.approx(errors, abs=0.02), rule
    assert found["importance"][1000] <= 0.7 * found["mean"][1000]


@pytest.mark.slow
@pytest.mark.parametrize("window", [10, 200])
def test_so_they_do_at_other_windows(window: int) -> None:
    importance, mean = (
        mean_errors(rule, 1000, runs=6, window=window)[1000] for rule in ("importance", "mean")
    )
    assert importance <= 0.8 * mean


@pytest.mark.slow
def test_where_all_see_everything_the_weights_hardly_matter() -> None:
    assert uniform("importance", 1000) == pytest.approx(uniform("mean", 1000), rel=0.1)


def test_an_agent_alone_never_learns_what_it_does_not_see() -> None:
    found = [one_action_each("mean", 3000, seed, agents=1) for seed in range(10)]
    early, late = (np.mean([errors[done] for errors in found]) for done in (300, 3000))
    assert early > 0.5
    assert late > 0.5
