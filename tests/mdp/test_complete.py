"""Ends, missing actions and rounded probabilities: what models make of outcomes that are not all there."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cdq.errors import ModelError
from cdq.mdp.model import MDP
from tests.mdp.test_matrices import PER_OUTCOME, P, R, assert_same

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")

# ---- ends and missing actions


ENDS = P.copy()
ENDS[:, 2] = 0.0


@pytest.mark.parametrize(
    "transitions", [ENDS, [sp.csr_matrix(p) for p in ENDS], ENDS.transpose(1, 0, 2).reshape(6, 3)]
)
def test_a_state_of_zeros_is_an_end_that_pays(transitions: Any) -> None:
    for rewards, paid in ((R, [0.0, 3.0]), ([1.0, 2.0, 7.0], [7.0, 7.0]), (PER_OUTCOME, [0.5, 3.5])):
        for empty in (None, "end"):
            model = MDP.from_arrays(transitions, rewards, empty=empty)
            last = slice(model.offsets[4], model.offsets[6])
            assert model.next_state[last].tolist() == [2, 2]
            assert model.probability[last].tolist() == [1.0, 1.0]
            assert model.reward[last].tolist() == paid
            assert model.terminated.tolist() == [False] * int(model.offsets[4]) + [True, True]
            assert model.actions is None


def test_a_row_of_zeros_beside_others_must_be_explained() -> None:
    chances = P.copy()
    chances[1, 0] = 0.0
    with pytest.raises(
        ModelError, match=r"\(state 0, action 1\) has no outcome; say empty='end' .* empty='missing'"
    ):
        MDP.from_arrays(chances, R)
    ended = MDP.from_arrays(chances, R, empty="end")
    assert (ended.next_state[2], ended.reward[2], ended.terminated[2]) == (0, 10.0, True)
    assert ended.actions is None
    missing = MDP.from_arrays(chances, R, empty="missing")
    assert missing.actions is not None
    assert missing.actions.tolist() == [[True, False], [True, True], [True, True]]
    for wrong in ("gone", ["end"], 3):
        with pytest.raises(ModelError, match="empty is .*; allowed: 'end', 'missing' or None"):
            MDP.from_arrays(chances, R, empty=wrong)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="normalise is 'no'; allowed: True or False"):
        MDP.from_arrays(chances, R, normalise="no")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="actions are all False in state 2"):
        MDP.from_arrays(ENDS, R, empty="missing")


def test_minus_infinity_says_that_the_state_does_not_have_the_action() -> None:
    mask = np.array([[True, True], [True, False], [True, True]])
    expected = MDP.from_arrays(P, R, actions=mask)
    assert expected.actions is not None
    assert expected.actions.tolist() == mask.tolist()
    assert np.diff(expected.offsets).tolist() == [2, 1, 2, 0, 1, 1]
    lost = np.where(mask, R, -np.inf)
    for rewards in (
        lost,
        lost.T,
        lost.tolist(),
        sp.csr_matrix(lost),
        np.where(mask.T[:, :, None], R.T[:, :, None], -np.inf) + 0 * P,
    ):
        assert_same(MDP.from_arrays(P, rewards), expected)
    gone = P.copy()
    gone[1, 1] = 0.0
    assert_same(MDP.from_arrays(gone, lost), expected)
    for same_mask in (mask, mask.tolist(), mask.astype(np.int8), sp.csr_matrix(mask), pd.DataFrame(mask)):
        assert_same(MDP.from_arrays(gone, R, actions=same_mask), expected)
    assert_same(MDP.from_arrays(gone, R, empty="missing"), expected)
    columns = [2, 1, 0], [0, 1, 1], [2, 0, 1], [1.0] * 3, [0.0, -np.inf, 0.0]
    flat = MDP.from_outcomes(
        [*columns[0], 0, 1, 2],
        [*columns[1], 0, 0, 1],
        [*columns[2], 0, 0, 0],
        [1.0] * 6,
        [*columns[4], 0.0, 0.0, 0.0],
    )
    assert flat.actions is not None
    assert flat.actions.tolist() == [[True, True], [True, False], [True, True]]


def test_minus_infinity_stands_for_all_outcomes_of_a_pair() -> None:
    partly = PER_OUTCOME.copy()
    partly[0, 0, 0] = -np.inf
    with pytest.raises(
        ModelError, match=r"\(state 0, action 0\) has a reward of -inf for some outcomes and finite"
    ):
        MDP.from_arrays(P, partly)
    with pytest.raises(ModelError, match="actions are all False in state 1"):
        MDP.from_arrays(P, [0.0, -np.inf, 0.0])


def test_outcomes_without_a_pair_are_refused_unless_said() -> None:
    columns = [0, 0], [0, 1], [1, 1], [1.0, 1.0], [0.0, 0.0]
    with pytest.raises(ModelError, match=r"\(state 1, action 0\) has no outcome; say empty='end'"):
        MDP.from_outcomes(*columns)
    ended = MDP.from_outcomes(*columns, empty="end")
    assert (ended.next_state[2:].tolist(), ended.reward[2:].tolist()) == ([1, 1], [0.0, 0.0])
    assert ended.terminated.tolist() == [False, False, True, True]
    with pytest.raises(ModelError, match="actions are all False in state 1"):
        MDP.from_outcomes(*columns, empty="missing")


# ---- probabilities that are rounded


def test_rows_that_were_normalised_in_float32() -> None:
    random = np.random.default_rng(0)
    rows = random.random((2, 50, 50)).astype(np.float32)
    rows /= rows.sum(axis=2, keepdims=True)
    with pytest.warns(
        UserWarning, match=r"the probabilities of \d+ pairs were given as float32 and divided by the sum"
    ):
        told = MDP.from_arrays(rows, np.zeros(50))
    with pytest.warns(UserWarning, match="float32"):
        MDP.from_arrays([sp.csr_matrix(p) for p in rows], np.zeros(50))
    exact = rows.astype(np.float64)
    exact /= exact.sum(axis=2, keepdims=True)
    assert told.probability == pytest.approx(exact.transpose(1, 0, 2).ravel(), rel=1e-15)
    with pytest.raises(ModelError, match=r"sum to .*; allowed: 1 within 1e-09; .* normalise=True"):
        MDP.from_arrays(rows.astype(np.float64), np.zeros(50))
    for given_ in (rows, rows.astype(np.float64)):
        assert_same(MDP.from_arrays(given_, np.zeros(50), normalise=True), told)


@pytest.mark.parametrize("entries", [2, 4, 8])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rounding_explains_no_more_than_a_few_units_of_few_entries(entries: int, sign: float) -> None:
    unit = float(np.finfo(np.float32).eps)
    row = np.full(entries, 1.0 / entries)
    for units, told in ((1.0, True), (entries / 2 + 3.0, False)):
        given_ = np.zeros((1, entries, entries))
        given_[0] = row
        given_[0, 0, 0] += sign * units * unit
        rounded = given_.astype(np.float32)
        if told:
            with pytest.warns(UserWarning, match="as rounding to float32 explains"):
                MDP.from_arrays(rounded, np.zeros(entries))
            continue
        with pytest.raises(ModelError, match=r"\(state 0, action 0\) sum to .* normalise=True"):
            MDP.from_arrays(rounded, np.zeros(entries))
    with pytest.raises(ModelError, match="the start distribution sums to"):
        MDP.from_arrays(np.eye(2)[None], np.zeros(2), start=np.array([0.5, 0.499999], np.float32))


def test_normalising_is_never_silent() -> None:
    with pytest.raises(ModelError, match="sum to 1.0001"):
        MDP.from_arrays((P * 1.0001).astype(np.float32), R)
    weights = P * [[[3.0]], [[1e-9]]]
    with pytest.raises(ModelError, match=r"\(state 0, action 0\) has a probability of 1.5"):
        MDP.from_arrays(weights, R)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MDP.from_arrays(weights, R, normalise=True, start=[2.0, 1.0, 1.0])
        MDP.from_arrays(P.astype(np.float32), R, normalise=True)
    assert model.probability == pytest.approx(MDP.from_arrays(P, R).probability, rel=1e-15)
    assert model.start.tolist() == [0.5, 0.25, 0.25]
    flat = MDP.from_outcomes([0, 0], [0, 0], [0, 0], [3.0, 1.0], [0.0, 1.0], normalise=True)
    assert flat.probability.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_what_is_no_probability_is_not_normalised(value: float) -> None:
    with pytest.raises(ModelError, match=f"has a probability of {value}"):
        MDP.from_outcomes([0, 0], [0, 0], [0, 0], [value, 1.0], [0.0, 1.0], normalise=True)


def test_a_start_in_float32() -> None:
    start = np.full(3, 1 / 3, np.float32)
    with pytest.warns(UserWarning, match="the start distribution was given as float32"):
        told = MDP.from_arrays(P, R, start=start)
    assert told.start.sum() == pytest.approx(1.0, abs=1e-15)
    assert_same(MDP.from_arrays(P, R, start=start, normalise=True), told)
    for form in (np.matrix([0.5, 0.5, 0.0]), [[0.5], [0.5], [0.0]], pd.Series([0.5, 0.5, 0.0])):
        assert MDP.from_arrays(P, R, start=form).start.tolist() == [0.5, 0.5, 0.0]
