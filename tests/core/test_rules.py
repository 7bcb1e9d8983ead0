"""Update rules are their definition, to the bit: windows on a model, and Q-functions that are stepped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.linear.linear import LinearQ
from cdq.core.probe import Probe
from cdq.core.table.qfunction import TableQ
from cdq.features import TileCoding
from cdq.mdp.model import MDP
from cdq.qfunctions.merged import MergedTable
from cdq.rules import RULES, as_rule
from cdq.workers.worker import LEARNING, streams
from tests.core.test_rollout import RATES, STEP_SIZES, assert_same
from tests.reference import qfunction, rules
from tests.reference.schedules import Law
from tests.small_tables import assert_same as assert_same_table
from tests.small_tables import make_table, random_mask, random_values
from tests.strategies import DTYPES, make_worker, models, random_model, seeds, set_table, values_of

HYSTERETIC = "hysteretic(0.125)"
NAMES = [name for name in RULES if name != "q-learning"]
every_rule = pytest.mark.parametrize("rule", RULES)


def compare(
    rule: str, model: MDP, dtype: str, lanes: int, step_size: Any, windows: Any, gamma: float, seed: int
) -> None:
    merged = MergedTable(model.n_states, model.n_actions, dtype, 0.0, as_rule(rule))
    worker = make_worker(model, dtype, merged=merged, num_envs=lanes, gamma=gamma, seed=seed)
    other = rules.Learner(rule, model, gamma, dtype, streams(seed, (LEARNING, 0, 0), lanes))
    steps = 0
    for sweeps, rates in windows:
        ours = worker.run(schedules.build_law(step_size, steps, 0.3, dtype), sweeps, *rates)
        theirs = other.run(Law(step_size, steps, 0.3, dtype), sweeps, *rates)
        assert ours is not None
        assert ours[:3] == (theirs.episodes, theirs.length_sum, theirs.return_sum)
        assert_same(worker, other, theirs.log)
        worker.commit_alone()
        other.commit()
        assert_same(worker, other, [])
        steps += sweeps * lanes


@given(
    st.sampled_from([*sorted(RULES), HYSTERETIC]),
    models(),
    st.sampled_from(DTYPES),
    st.integers(1, 9),
    st.sampled_from(STEP_SIZES),
    st.lists(st.tuples(st.integers(0, 25), RATES), min_size=1, max_size=3),
    st.sampled_from([0.5, 0.9, 1.0]),
    seeds,
)
def test_windows_are_the_definition_to_the_bit(
    rule: str, model: MDP, dtype: str, lanes: int, step_size: Any, windows: Any, gamma: float, seed: int
) -> None:
    compare(rule, model, dtype, lanes, step_size, windows, gamma, seed)


@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("n_actions", range(1, 13))
def test_every_number_of_actions(n_actions: int, rule: str) -> None:
    for masked in (False, True):
        model = random_model(5, n_actions, seed=n_actions, time_limit=9, masked=masked)
        windows = [(40, (1.0, 0.2)), (40, (0.2, 0.0))]
        compare(rule, model, "float64", 5, schedules.RescaledLinear(0.9), windows, 0.9, 0)


@pytest.mark.parametrize("rule", NAMES)
def test_entries_of_actions_that_states_lack_are_left_alone(rule: str) -> None:
    model = random_model(5, 4, seed=3, masked=True)
    merged = MergedTable(5, 4, "float64", 0.0, RULES[rule])
    worker = make_worker(model, merged=merged, num_envs=3)
    lacking = np.tile(~model.actions, (1, RULES[rule].tables))
    set_table(worker, np.where(lacking, 100.0, 0.0), 0)
    worker.run(schedules.build_law(schedules.Constant(0.5), 0, 0.3, "float64"), 500, 0.5, 0.5)
    assert (values_of(worker)[lacking] == 100.0).all()
    assert values_of(worker)[~lacking].max() < 50.0


def probe_sweeps(
    random: Any, probe: Probe, table: Any, other: rules.QFunction, observe: Any, masked: bool, skipping: bool
) -> None:
    """Run sweeps of random transitions through both, and compare to the bit after each."""
    n, n_actions, dtype = probe.q.n, probe.q.n_actions, str(table.values.dtype)
    law = schedules.build_law(schedules.RescaledLinear(0.9), 0, 0.3, dtype)
    observations = observe()
    assert probe.locate(observations) == -1
    masks = random_mask(random, (n, n_actions)) if masked else None
    for _ in range(8):
        threshold, actions = int(random.choice([0, 2**32, 2**31])), np.zeros(n, np.uint32)
        bits = random.integers(0, 2**64, n, np.uint64)
        probe.choose(threshold, bits, masks, actions)
        assert actions.tolist() == other.choose_all(observations, threshold, bits, masks)
        actions[actions == n_actions] = 0  # no action was allowed
        masks = random_mask(random, (n, n_actions)) if masked else None
        successors, rewards = observe(), random.choice([0.0, 1.0, -0.3, random.normal()], n)
        terminated, gammas = (random.random(n) < 0.3).astype(np.uint8), random.choice([0.0, 0.5, 0.9, 1.0], n)
        active = (random.random(n) < 0.7).astype(np.uint8) if skipping else None
        assert probe.locate(successors, True) == -1
        probe.learn(law, gammas, actions, rewards, terminated, masks, active)
        columns = zip(observations, actions, rewards, successors, gammas * (1.0 - terminated), strict=True)
        steps = [None if active is not None and not active[i] else step for i, step in enumerate(columns)]
        other.learn_all(Law(schedules.RescaledLinear(0.9), 0, 0.3, dtype), steps, masks)
        assert_same_table(table, other)
        probe.advance()
        observations = successors


@given(
    st.sampled_from([*NAMES, HYSTERETIC]),
    st.integers(1, 6),
    st.integers(1, 12),
    st.integers(1, 9),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_a_stepped_table_is_the_definition_to_the_bit(
    rule: str, n_states: int, n_actions: int, n: int, dtype: str, masked: bool, skipping: bool, seed: int
) -> None:
    random, known = np.random.default_rng(seed), as_rule(rule)
    values, clock = random_values(random, (n_states, n_actions * known.tables), dtype)
    table = make_table(values, clock)
    table.rows.learn_by(known.number, known.tables, known.beta or 0.0)
    other = rules.QFunction(rule, values.copy(), clock, lambda state: [(int(state), 1)])
    probe = Probe(TableQ(table.rows, n))
    observe = lambda: random.integers(0, n_states, n)  # noqa: E731
    probe_sweeps(random, probe, table, other, observe, masked, skipping)


@given(
    st.sampled_from(NAMES),
    st.integers(1, 9),
    st.integers(1, 5),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_a_linear_function_is_the_definition_to_the_bit(
    rule: str, n_actions: int, n: int, dtype: str, masked: bool, skipping: bool, seed: int
) -> None:
    random, tilings = np.random.default_rng(seed), 4
    features = TileCoding(tilings, 3).bind(np.zeros(2), np.ones(2))
    tables = RULES[rule].tables
    values, clock = random_values(random, (features.n_features, n_actions * tables), dtype)
    table = make_table(values, clock)
    table.rows.learn_by(RULES[rule].number, tables)

    def phi(observation: Any) -> Any:
        active = qfunction.cells(observation, np.zeros(2), np.ones(2), (3, 3), tilings)
        return [(qfunction.cell_number(t, at, (3, 3), tilings), 1) for t, at in active]

    other = rules.QFunction(rule, values.copy(), clock, phi)
    probe = Probe(LinearQ(table.rows, n, features))
    observe = lambda: random.random((n, 2))  # noqa: E731
    probe_sweeps(random, probe, table, other, observe, masked, skipping)


@every_rule
def test_a_transition_carries_its_discount(rule: str) -> None:
    """A discount of 0 leaves the reward alone, wherever it leads; all others multiply what the successor is worth."""
    tables = RULES[rule].tables
    values = np.tile([[0.0], [0.0], [0.0], [0.0], [8.0], [np.inf]], (1, tables))
    table = make_table(values, np.zeros(values.shape))
    table.rows.learn_by(RULES[rule].number, tables)
    probe, law = Probe(TableQ(table.rows, 4)), schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float64")
    actions, gammas = np.zeros(4, np.uint32), np.array([0.5, 0.25, 1.0, 0.0])
    probe.locate(np.arange(4))
    probe.choose(0, np.arange(4, dtype=np.uint64), None, actions)
    probe.locate(np.array([4, 4, 4, 5]), True)
    probe.learn(law, gammas, actions, np.ones(4), np.zeros(4, np.uint8))
    assert table.values[:4].max(axis=1).tolist() == [5.0, 3.0, 9.0, 1.0]


@every_rule
def test_what_is_bootstrapped_from_need_not_be_acted_on_next(rule: str) -> None:
    """A lane whose episode was cut off bootstraps from where it was, and acts where the next episode begins."""
    tables = RULES[rule].tables
    table = make_table(np.tile([[0.0, 0.0], [8.0, 0.0], [0.0, 9.0]], (1, tables)), np.zeros((3, 2 * tables)))
    table.rows.learn_by(RULES[rule].number, tables)
    probe, law = Probe(TableQ(table.rows, 1)), schedules.build_law(schedules.Constant(1.0), 0, 0.3, "float64")
    actions, bits = np.zeros(1, np.uint32), np.zeros(1, np.uint64)
    probe.locate(np.zeros(1, np.int64))
    probe.choose(0, bits, None, actions)
    probe.locate(np.ones(1, np.int64), True)
    probe.learn(law, 0.5, actions, np.ones(1), np.zeros(1, np.uint8))
    following = rules.successor(rule, table.values[1], np.arange(2), 0, 0)
    assert table.values[0].max() == 1.0 + 0.5 * following.value > 1.0
    probe.advance()
    probe.begin(0)
    probe.locate(np.full(1, 2))
    probe.choose(0, bits, None, actions)
    assert actions[0] == 1


def test_columns_are_those_of_whole_tables() -> None:
    table = make_table(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="3 columns are not those of 2 tables"):
        table.rows.learn_by(3, 2)


def test_numbers_are_those_of_the_header() -> None:
    """A rule's number is its place in the enumeration."""
    header = Path(__file__).parents[2].joinpath("cdq/core/table/rules.h").read_text()
    found = re.search(r"enum \{ (.*?) \};", header)
    assert found
    names = [name.strip().removeprefix("CDQ_").lower().replace("_", "-") for name in found[1].split(",")]
    assert {*names} == {*RULES, "hysteretic"}
    every = [HYSTERETIC if name == "hysteretic" else name for name in names]
    assert [as_rule(name).number for name in every] == list(range(len(every)))
