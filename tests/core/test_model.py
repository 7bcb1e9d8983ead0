from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import chisquare

from cdq.core.loops.model import Sampler
from cdq.core.loops.rollout import follow
from cdq.mdp.model import MDP
from cdq.mdp.sampler import pack_model
from cdq.qfunctions.merged import MergedTable
from cdq.schedules import Constant, build_law
from cdq.workers.worker import EVALUATION, streams
from tests.reference.rollout import alias_table, threshold
from tests.strategies import DTYPES, NO_STOP, make_worker, models, set_table, visits_of

N = 40_000
UNLIKELY = 1e-4  # a p-value; the seeds are fixed

THIRDS = [1 / 3, 1 / 3, 1 / 3]
CASES = {
    "two": [0.25, 0.75],
    "thirds": THIRDS,
    "rare": [1e-3, 0.499, 0.5],
    "eight": [0.05, 0.1, 0.15, 0.2, 0.02, 0.08, 0.3, 0.1],
    "nine": [0.05, 0.1, 0.15, 0.2, 0.02, 0.08, 0.2, 0.1, 0.1],
    "forty": [(i + 1) / 820 for i in range(40)],
}


def outcomes_of(model: MDP, episodes: int, dtype: str = "float64") -> Any:
    """Return the reward of one-step episodes: each outcome pays its number."""
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    words = streams(11, (EVALUATION, 0), 64)
    policy = np.zeros(model.n_states, np.uint32)
    ran = follow(pack_model(model, dtype), policy, words, 1, returns, lengths, NO_STOP)
    assert ran == episodes
    assert (lengths == 1).all()
    return returns.astype(int)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_outcomes_come_as_often_as_they_should(case: str, dtype: str) -> None:
    probability = np.array(CASES[case])
    n = len(probability)
    model = MDP.from_outcomes([0] * n, [0] * n, [0] * n, probability, np.arange(n), [True] * n)
    counts = np.bincount(outcomes_of(model, N, dtype), minlength=n)
    assert chisquare(counts, probability / probability.sum() * N).pvalue > UNLIKELY


@pytest.mark.parametrize("n", [3, 4, 50])
def test_starts_come_as_often_as_they_should(n: int) -> None:
    start = np.random.default_rng(n).dirichlet(np.ones(n))
    start[::7] = 0.0
    start /= start.sum()
    states = np.arange(n)
    model = MDP.from_outcomes(states, 0 * states, states, np.ones(n), states, states >= 0, start=start)
    counts = np.bincount(outcomes_of(model, N), minlength=n)
    assert (counts[start == 0] == 0).all()
    assert chisquare(counts[start > 0], start[start > 0] * N).pvalue > UNLIKELY


@given(models())
def test_alias_tables_hold_the_probabilities(model: MDP) -> None:
    for first, last in zip(model.offsets, model.offsets[1:], strict=False):
        table = alias_table(model.probability[first:last])
        held = np.zeros(last - first)
        for entry, (limit, alias) in enumerate(table):
            held[entry] += limit / 2**32
            held[alias] += 1 - limit / 2**32
        np.testing.assert_allclose(held / (last - first), model.probability[first:last], atol=2**-31)


def test_thresholds_round_and_saturate() -> None:
    assert threshold(0.5) == 2**31
    assert threshold(1 / 3) == 1431655765
    assert threshold(1.0) == threshold(1 + 1e-10) == 2**32 - 1


def test_rewards_are_of_the_tables_type() -> None:
    model = MDP.from_outcomes([0], [0], [0], [1.0], [0.1], [True])
    for dtype in DTYPES:
        returns = np.zeros(1)
        follow(
            pack_model(model, dtype),
            np.zeros(1, np.uint32),
            streams(0, (1,), 1),
            1,
            returns,
            np.zeros(1, np.int64),
            NO_STOP,
        )
        assert returns[0] == float(np.dtype(dtype).type(0.1))


def test_termination_belongs_to_the_outcome() -> None:
    """Two outcomes of one pair lead to the same state; one of them ends the episode."""
    model = MDP.from_outcomes([0, 0], [0, 0], [0, 0], [0.5, 0.5], [0.0, 1.0], [False, True])
    returns, lengths = np.zeros(N), np.zeros(N, np.int64)
    policy = np.zeros(1, np.uint32)
    follow(
        pack_model(model, "float64"),
        policy,
        streams(3, (1,), 8),
        10**6,
        returns,
        lengths,
        NO_STOP,
    )
    assert (returns == 1).all()
    counts = np.bincount(np.minimum(lengths, 8), minlength=9)[1:]
    expected = np.append(0.5 ** np.arange(1, 8), 0.5**7)
    assert chisquare(counts, expected * N).pvalue > UNLIKELY


@pytest.mark.parametrize("n_actions", [2, 3, 4, 6, 5, 8, 9, 12])
def test_actions_tie_uniformly(n_actions: int) -> None:
    """Among the ties of a row, and among all when exploring."""
    lanes, sweeps = 300, 12
    model = MDP.from_outcomes(
        [0] * n_actions, np.arange(n_actions), [0] * n_actions, *np.ones((2, n_actions))
    )
    law = build_law(Constant(0.0), 0, 0.3, "float32")
    worker = make_worker(model, "float32", num_envs=lanes, seed=5)
    for best in ([0], [n_actions - 1], list(range(0, n_actions, 2)), list(range(n_actions))):
        for explore in (0.0, 1.0):
            values = np.zeros(n_actions)
            values[best] = 1.0
            set_table(worker, values, 0)
            worker.run(law, sweeps, explore, explore)
            counts = visits_of(worker)[0].astype(int)
            worker.commit_alone()
            among = list(range(n_actions)) if explore else best
            assert counts.sum() == counts[among].sum() == lanes * sweeps
            if len(among) > 1:
                assert chisquare(counts[among]).pvalue > UNLIKELY


def test_a_model_and_a_table_of_different_types_do_not_meet() -> None:
    model = MDP.garnet(3, 2, branching=2, seed=0)
    assert isinstance(pack_model(model, "float32"), Sampler)
    with pytest.raises(ValueError, match="differ in size or type"):
        make_worker(model, "float32", merged=MergedTable(3, 2, "float64", 0.0))
    with pytest.raises(ValueError, match="differ in size or type"):
        make_worker(model, merged=MergedTable(2, 3, "float64", 0.0))
