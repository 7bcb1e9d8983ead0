"""Models from matrices in every form in which people have them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from cdq.errors import ModelError
from cdq.mdp.model import MDP
from tests.strategies import seeds

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")

ARRAYS = ("offsets", "next_state", "probability", "reward", "terminated", "start")
SPARSE = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]
P = np.array(
    [[[0.5, 0.5, 0.0], [0.8, 0.0, 0.2], [0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0], [0.1, 0.9, 0.0], [1.0, 0.0, 0.0]]]
)
R = np.array([[5.0, 10.0], [-1.0, 2.0], [0.0, 3.0]])
ROWS = P.transpose(1, 0, 2).reshape(6, 3)  # a row per pair, state by state
PER_OUTCOME = R.T[:, :, None] + np.array([0.0, 0.25, 0.5])


def assert_same(one: MDP, other: MDP) -> None:
    for name in ARRAYS:
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    masks = [None if model.actions is None else model.actions.tolist() for model in (one, other)]
    assert masks[0] == masks[1]


def random_matrices(seed: int, n_states: int, n_actions: int) -> Any:
    random = np.random.default_rng(seed)
    chances = random.random((n_actions, n_states, n_states)) * (
        random.random((n_actions, n_states, n_states)) < 0.4
    )
    chances[:, np.arange(n_states), random.integers(0, n_states, n_states)] += 0.5
    return chances / chances.sum(axis=2, keepdims=True), random.normal(size=(n_actions, n_states, n_states))


# ---- transitions


def as_matrices(kind: str) -> dict[str, Any]:
    return {
        "array": P,
        "array, state first": P.transpose(1, 0, 2),
        "nested lists": P.tolist(),
        "tuple of arrays": tuple(P),
        "list of numpy.matrix": [np.matrix(p) for p in P],
        "array of objects": np.array(P.tolist(), object),
        "Decimal": [[[Decimal(str(x)) for x in row] for row in p] for p in P.tolist()],
        "DataFrames": [pd.DataFrame(p) for p in P],
        "sparse arrays": [getattr(sp, f"{kind}_array")(p) for p in P],
        "sparse matrices": [getattr(sp, f"{kind}_matrix")(p) for p in P],
        "array of sparse": object_array([getattr(sp, f"{kind}_matrix")(p) for p in P]),
        "sparse and dense": [getattr(sp, f"{kind}_matrix")(P[0]), P[1].tolist()],
        "rows of pairs": ROWS,
        "rows of pairs, lists": ROWS.tolist(),
        "rows of pairs, sparse": getattr(sp, f"{kind}_matrix")(ROWS),
        "rows of pairs, DataFrame": pd.DataFrame(ROWS),
        "three sparse dimensions": sp.coo_array(P),
        "three sparse dimensions, state first": sp.coo_array(P.transpose(1, 0, 2)),
    }


def object_array(items: list[Any]) -> Any:
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.parametrize("form", as_matrices("csr"))
def test_every_form_of_transitions(form: str, kind: str) -> None:
    assert_same(MDP.from_arrays(as_matrices(kind)[form], R), MDP.from_arrays(P, R))


@given(seeds, st.integers(1, 6), st.integers(1, 4), st.sampled_from(SPARSE))
def test_random_matrices_in_two_forms(seed: int, n_states: int, n_actions: int, kind: str) -> None:
    chances, rewards = random_matrices(seed, n_states, n_actions)
    dense = MDP.from_arrays(chances, rewards, layout="ASS")
    make = getattr(sp, f"{kind}_matrix")
    assert_same(dense, MDP.from_arrays([make(p) for p in chances], [make(r) for r in rewards]))
    rows = [cube.transpose(1, 0, 2).reshape(-1, n_states) for cube in (chances, rewards)]
    assert_same(dense, MDP.from_arrays(*map(make, rows)))
    state, action, successor = np.nonzero(chances.transpose(1, 0, 2))
    where = action, state, successor
    flat = MDP.from_outcomes(state, action, successor, chances[where], rewards[where])
    assert_same(dense, flat)


def test_repeated_and_unsorted_sparse_entries() -> None:
    rows, columns, data = [0, 0, 0, 1], [1, 0, 1, 0], [0.25, 0.5, 0.25, 1.0]
    repeated = sp.csr_matrix((data, columns, [0, 3, 4]), shape=(2, 2))
    assert not repeated.has_canonical_format
    for matrix in (repeated, sp.coo_matrix((data, (rows, columns)), shape=(2, 2))):
        model = MDP.from_arrays([matrix], [1.0, 2.0])
        assert model.probability.tolist() == [0.5, 0.5, 1.0]
        assert model.next_state.tolist() == [0, 1, 0]
        paid = MDP.from_arrays([matrix], [matrix])  # repeated entries of R add up as well
        assert paid.reward.tolist() == [0.5, 0.5, 1.0]
    assert repeated.indices.tolist() == columns  # given things stay as they were
    assert repeated.nnz == 4


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint32, np.bool_, np.float16, object])
def test_types_of_probabilities(kind: Any) -> None:
    moves = np.roll(np.eye(3), 1, axis=1)
    for cube in ([np.eye(3), moves], np.eye(3)[[0, 1, 1, 2, 2, 0]]):
        expected = MDP.from_arrays(cube, np.zeros(3))
        assert_same(MDP.from_arrays(np.asarray(cube).astype(kind), np.zeros(3)), expected)


def test_explicit_zeros_and_what_rounding_leaves_of_zero_are_no_outcomes() -> None:
    chances = P.copy()
    chances[0, 0, 2] = -2.8e-17
    assert_same(MDP.from_arrays(chances, R), MDP.from_arrays(P, R))
    explicit = [
        sp.csr_matrix(np.where(p == 0.0, value, p)) for p, value in zip(P, (-2.8e-17, 3.0), strict=True)
    ]
    explicit[1].data[explicit[1].data == 3.0] = 0.0
    assert explicit[1].nnz == 9
    assert_same(MDP.from_arrays(explicit, R), MDP.from_arrays(P, R))
    assert_same(
        MDP.from_arrays(P, R, start=[1.0, -2.8e-17, 0.0]), MDP.from_arrays(P, R, start=[1.0, 0.0, 0.0])
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "a probability of nan"),
        (np.inf, "a probability of inf"),
        (-np.inf, "a probability of -inf"),
        (-1e-9, "a probability of -1e-09"),
        (1.5, "a probability of 1.5"),
    ],
)
@pytest.mark.parametrize("form", ["dense", "sparse", "rows"])
def test_what_is_no_probability_is_named(form: str, value: float, message: str) -> None:
    chances = P.copy()
    chances[1, 2, 0] = value
    rows = chances.transpose(1, 0, 2).reshape(6, 3)
    given = {"dense": chances, "sparse": [sp.csr_matrix(p) for p in chances], "rows": sp.csr_matrix(rows)}[
        form
    ]
    with pytest.raises(ModelError, match=rf"\(state 2, action 1\) has {message}; allowed: 0 to 1"):
        MDP.from_arrays(given, R)
    with pytest.raises(ModelError, match=r"\(state 2, action 1\)"):
        MDP.from_arrays(given, R, normalise=False)


def test_columns_of_a_broken_sparse_matrix_are_checked() -> None:
    broken = sp.csr_matrix(P[0])
    broken.indices[0] = 7
    with pytest.raises(ModelError, match=r"\(state 0, action 0\) has a successor of 7; allowed: 0 to 2"):
        MDP.from_arrays([broken], np.zeros(3))


def test_matrices_of_the_wrong_shape() -> None:
    with pytest.raises(
        ModelError, match=r"P has shape \(7, 3\); allowed: \(S \* A, S\), a row for each pair"
    ):
        MDP.from_arrays(sp.csr_matrix(np.ones((7, 3))), R)
    with pytest.raises(ModelError, match="P holds no matrix"):
        MDP.from_arrays(np.zeros((0, 0, 0)), R)
    with pytest.raises(ModelError, match=r"P has shape \(0,\); allowed: \(A, S, S\)"):
        MDP.from_arrays([], R)
    with pytest.raises(ModelError, match="P is complex128 .*; allowed: numbers"):
        MDP.from_arrays(P * 1j, R)
    with pytest.raises(ModelError, match="entries of complex128"):
        MDP.from_arrays([sp.csr_matrix(P[0] * 1j)], R)


# ---- rewards


PER_STATE = {
    "list": [3.0, 4.0, 5.0],
    "array": np.array([3.0, 4.0, 5.0]),
    "integers": [3, 4, 5],
    "Series": pd.Series([3.0, 4.0, 5.0]),
    "Int64": pd.Series([3, 4, 5], dtype="Int64"),
    "numpy.matrix": np.matrix([3.0, 4.0, 5.0]),
    "column": np.array([[3.0], [4.0], [5.0]]),
    "sparse row": sp.csr_matrix([[3.0, 4.0, 5.0]]),
    "sparse column": sp.coo_array([[3.0], [4.0], [5.0]]),
}
PER_PAIR = {
    "array": R,
    "nested lists": R.tolist(),
    "numpy.matrix": np.matrix(R),
    "action first": R.T,
    "a vector per action": list(R.T),
    "one number per pair": R.ravel(),
    "DataFrame": pd.DataFrame(R),
    **{f"sparse {kind}": getattr(sp, f"{kind}_matrix")(R) for kind in SPARSE},
    "sparse, action first": sp.csr_array(R.T),
}


def per_outcome(kind: str) -> dict[str, Any]:
    rows = PER_OUTCOME.transpose(1, 0, 2).reshape(6, 3)
    return {
        "array": PER_OUTCOME,
        "list of arrays": list(PER_OUTCOME),
        "list of numpy.matrix": [np.matrix(r) for r in PER_OUTCOME],
        "sparse": [getattr(sp, f"{kind}_matrix")(r) for r in PER_OUTCOME],
        "array of sparse": object_array([getattr(sp, f"{kind}_array")(r) for r in PER_OUTCOME]),
        "rows of pairs": rows,
        "rows of pairs, sparse": getattr(sp, f"{kind}_array")(rows),
        "three sparse dimensions": sp.coo_array(PER_OUTCOME),
    }


@pytest.mark.parametrize(
    "transitions", [P, P.transpose(1, 0, 2), [sp.csr_matrix(p) for p in P], sp.csr_matrix(ROWS)]
)
@pytest.mark.parametrize("form", PER_STATE)
def test_rewards_per_state(form: str, transitions: Any) -> None:
    expected = MDP.from_arrays(P, np.array([[3.0, 3.0], [4.0, 4.0], [5.0, 5.0]]))
    assert_same(MDP.from_arrays(transitions, PER_STATE[form]), expected)


@pytest.mark.parametrize(
    "transitions", [P, P.transpose(1, 0, 2), [sp.csr_matrix(p) for p in P], sp.csr_matrix(ROWS)]
)
@pytest.mark.parametrize("form", PER_PAIR)
def test_rewards_per_pair(form: str, transitions: Any) -> None:
    model = MDP.from_arrays(transitions, PER_PAIR[form])
    pair = np.repeat(np.arange(6), np.diff(model.offsets))
    assert model.reward.tolist() == R.ravel()[pair].tolist()


@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.parametrize("form", per_outcome("csr"))
def test_rewards_per_outcome(form: str, kind: str) -> None:
    for transitions in (P, [sp.csr_matrix(p) for p in P], sp.csr_matrix(ROWS)):
        model = MDP.from_arrays(transitions, per_outcome(kind)[form])
        pair = np.repeat(np.arange(6), np.diff(model.offsets))
        assert model.reward.tolist() == PER_OUTCOME[pair % 2, pair // 2, model.next_state].tolist()


SQUARE = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])


def test_a_list_of_as_many_vectors_as_states_is_ambiguous() -> None:
    square = [[1.0, 2.0], [3.0, 4.0]]
    for given_ in (square, tuple(map(np.array, square)), list(np.array(square))):
        with pytest.raises(ModelError, match=r"R is a list of 2 vectors of 2 numbers.*np.transpose\(R\)"):
            MDP.from_arrays(SQUARE, given_, layout="ASS")
    model = MDP.from_arrays(SQUARE, np.array(square), layout="ASS")
    assert model.reward.tolist() == [1.0, 1.0, 2.0, 3.0, 4.0]
    transposed = MDP.from_arrays(SQUARE, np.transpose(square), layout="ASS")
    assert transposed.reward.tolist() == [1.0, 1.0, 3.0, 2.0, 4.0]
    MDP.from_arrays(SQUARE, [[1.0, 2.0], [2.0, 1.0]], layout="ASS")  # the same either way


def test_axes_of_rewards_that_could_be_either_must_be_said() -> None:
    """P of sparse matrices says nothing about the axes of an array R."""
    transitions = [sp.csr_matrix(p) for p in SQUARE]
    cube = np.arange(8.0).reshape(2, 2, 2)
    for rewards in (cube, sp.coo_array(cube)):
        with pytest.raises(ModelError, match=r"R has shape \(2, 2, 2\): .* say layout"):
            MDP.from_arrays(transitions, rewards)
        by_action = MDP.from_arrays(transitions, rewards, layout="ASS")
        assert by_action.reward.tolist() == [0.0, 1.0, 5.0, 3.0, 6.0]
    by_state = MDP.from_arrays(transitions, cube.transpose(1, 0, 2), layout="SAS")
    assert_same(by_action, by_state)
    with pytest.raises(ModelError, match=r"P has shape \(2, 2, 2\): .* say layout"):
        MDP.from_arrays(sp.coo_array(SQUARE), cube)


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        (np.zeros((4, 3)), r"R has shape \(4, 3\); allowed: \(3,\) \(per state\), \(3, 2\) \(per pair\)"),
        (5.0, r"R has shape \(\); allowed"),
        ([[1.0, 2.0], [1.0]], "R: it is no column"),
        (["a", "b", "c"], "R is <U1 .*; allowed: numbers"),
        ([1.0, None, 2.0], r"\(state 1, action 0\) has a reward of nan"),
        (pd.Series([1.0, pd.NA, 2.0]), r"\(state 1, action 0\) has a reward of nan"),
        ([1.0, np.inf, 2.0], r"\(state 1, action 0\) has a reward of inf"),
        (np.full((2, 3, 3), np.nan), r"\(state 0, action 0\) has a reward of nan"),
        ({0: [1.0]}, "R is a dict"),
        (sp.csr_matrix((3, 4)), r"R holds 1 matrices of shape \(3, 4\); allowed: 2 of shape \(3, 3\)"),
    ],
)
def test_what_are_no_rewards(rewards: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MDP.from_arrays(P, rewards)


def test_rewards_of_what_never_happens_are_not_looked_at() -> None:
    rewards = np.where(P > 0, PER_OUTCOME, np.nan)
    assert_same(MDP.from_arrays(P, rewards), MDP.from_arrays(P, PER_OUTCOME))


# ---- terminations


@pytest.mark.parametrize(
    "ends",
    [
        [False, False, True],
        [0, 0, 1],
        [0.0, 0.0, 1.0],
        np.matrix([False, False, True]),
        pd.Series([False, False, True]),
        sp.csr_matrix([[False, False, True]]),
        [sp.csr_matrix(np.array([[False, False, True]] * 3))] * 2,
        sp.csr_matrix(np.array([[0.0, 0.0, 1.0]] * 6)),
        np.array([[[0, 0, 1]] * 3] * 2),
    ],
)
def test_every_form_of_terminations(ends: Any) -> None:
    rewards = R * [[1.0], [1.0], [0.0]]
    for transitions in (P, [sp.csr_matrix(p) for p in P], sp.csr_matrix(ROWS)):
        model = MDP.from_arrays(transitions, rewards, terminated=ends)
        assert model.terminated.tolist() == (model.next_state == 2).tolist()


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (["False", "False", "True"], "terminated of state 0 is 'False'"),
        ([0.0, np.nan, 1.0], "terminated of state 1 is nan"),
        (sp.csr_matrix([[0.0, 0.5, 1.0]]), "terminated of state 1 is 0.5"),
        (np.full((2, 3, 3), 7), r"terminated of \(state, action, next state\) \(0, 0, 0\) is 7.0"),
    ],
)
def test_what_is_no_flag_is_named(ends: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MDP.from_arrays(P, R, terminated=ends)


# ---- rewards that are never collected


def test_a_reward_that_is_never_collected_is_told() -> None:
    corridor = [[[0.0, 1.0], [0.0, 1.0]]]
    for rewards in ([0.0, 10.0], [[0.0], [10.0]], [[[0.0, 0.0], [0.0, 10.0]]]):
        with pytest.warns(UserWarning, match=r"R pays 10 for acting in state 1, but .* never collected"):
            MDP.from_arrays(corridor, rewards, terminated=[False, True])
    MDP.from_arrays(
        corridor, [0.0, 10.0], terminated=[False, True], start=[0.5, 0.5]
    )  # collected at the start
    with pytest.warns(UserWarning, match="in state 1"):
        MDP.from_arrays(corridor, [0.0, 10.0], terminated=[False, True], start=[1.0, 0.0])
    MDP.from_arrays(corridor, [5.0, 0.0], terminated=[False, True])
    MDP.from_arrays(corridor, [[[0.0, 10.0], [0.0, 0.0]]], terminated=[False, True])
