from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from cdq.errors import ConfigError, ModelError
from cdq.mdp.model import MDP
from tests.reference.planning import random_model, reachable

P_ASS = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0.0, 1.0], [0.1, 0.9]], [[1.0, 0.0], [0.0, 1.0]]])
R_SA = np.array([[5.0, 10.0, 1.0], [-1.0, 2.0, 0.0]])
OK: dict[str, Any] = {
    "state": [0, 0, 1],
    "action": [0, 0, 0],
    "next_state": [0, 1, 1],
    "probability": [0.5, 0.5, 1.0],
    "reward": [0.0, 1.0, 2.0],
}


def same(one: MDP, other: MDP) -> bool:
    fields = ("offsets", "next_state", "probability", "reward", "terminated", "start")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in fields)


def test_arrays_of_either_layout_and_sparse_ones_agree() -> None:
    by_action = MDP.from_arrays(P_ASS, R_SA)
    assert (by_action.n_states, by_action.n_actions, by_action.n_outcomes) == (2, 3, 9)
    assert same(by_action, MDP.from_arrays(P_ASS.transpose(1, 0, 2), R_SA))
    assert same(by_action, MDP.from_arrays(list(P_ASS), R_SA))
    assert same(by_action, MDP.from_arrays([scipy.sparse.csr_matrix(p) for p in P_ASS], R_SA))
    assert same(by_action, MDP.from_arrays([scipy.sparse.coo_array(p) for p in P_ASS], R_SA))


def test_rewards_per_state_per_pair_and_per_outcome() -> None:
    per_outcome = np.broadcast_to(R_SA.T[:, :, None], P_ASS.shape)
    expected = MDP.from_arrays(P_ASS, R_SA)
    assert same(expected, MDP.from_arrays(P_ASS, per_outcome))
    assert same(expected, MDP.from_arrays(P_ASS, [scipy.sparse.csr_matrix(r) for r in per_outcome]))
    assert same(expected, MDP.from_arrays(P_ASS.transpose(1, 0, 2), per_outcome.transpose(1, 0, 2)))
    assert MDP.from_arrays(P_ASS, [3.0, 4.0]).reward.tolist() == [3.0] * 4 + [4.0] * 5


def test_termination_per_entered_state_and_per_outcome() -> None:
    rewards = R_SA * [[1.0], [0.0]]
    entering = MDP.from_arrays(P_ASS, rewards, terminated=[False, True])
    assert np.array_equal(entering.terminated, entering.next_state == 1)
    per_outcome = np.broadcast_to(np.array([False, True]), P_ASS.shape)
    assert same(entering, MDP.from_arrays(P_ASS, rewards, terminated=per_outcome))
    sparse = [scipy.sparse.csr_matrix(part) for part in per_outcome]
    assert same(entering, MDP.from_arrays(P_ASS, rewards, terminated=sparse))


def test_layout_must_be_said_only_where_it_matters() -> None:
    cube = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.2, 0.8]]])
    with pytest.raises(ModelError, match=r"layout='ASS' or 'SAS'"):
        MDP.from_arrays(cube, [0.0, 0.0])
    by_action = MDP.from_arrays(cube, [0.0, 0.0], layout="ASS")
    assert same(by_action, MDP.from_arrays(cube.transpose(1, 0, 2), [0.0, 0.0], layout="SAS"))
    assert not same(by_action, MDP.from_arrays(cube, [0.0, 0.0], layout="SAS"))
    MDP.from_arrays(np.stack([np.eye(2), np.eye(2)]).transpose(1, 0, 2), [0.0, 0.0], layout="SAS")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"P": np.ones((2, 3, 4))}, r"P has shape \(2, 3, 4\); allowed"),
        ({"P": np.ones((2, 3))}, r"P has shape \(2, 3\); allowed: \(S \* A, S\)"),
        ({"P": np.ones(4)}, r"P has shape \(4,\); allowed"),
        ({"P": {0: np.eye(2)}}, "P is a dict; give its matrices as a list"),
        ({"P": [[["a", "b"]]]}, "P is <U1 of shape .*; allowed: numbers"),
        ({"P": [[[1.0], [0.0, 1.0]]]}, "P: it is no column"),
        ({"P": [scipy.sparse.eye(2), scipy.sparse.eye(3)]}, "matrix of action 1 has shape"),
        ({"R": np.ones(7)}, r"R has shape \(7,\)"),
        ({"R": np.ones((7, 3))}, r"R has shape \(7, 3\)"),
        ({"R": np.ones((2, 2, 2))}, r"R holds 2 matrices of shape \(2, 2\); allowed: 3"),
        ({"terminated": np.ones((2, 3), bool)}, r"terminated has shape \(2, 3\)"),
        ({"layout": "XYZ"}, "layout is 'XYZ'"),
        ({"start": [0.5, 0.6]}, "start distribution sums to 1.1"),
        ({"start": [0.0, 0.0]}, "start distribution is empty"),
        ({"start": [-0.5, 1.5]}, "start is -0.5 in state 0"),
        ({"start": [np.nan, 1.0]}, "start is nan in state 0"),
        ({"start": [1.0]}, r"start has shape \(1,\); allowed: \(2,\)"),
        ({"time_limit": 0}, "time_limit is 0"),
    ],
)
def test_wrong_matrices_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MDP.from_arrays(**{"P": P_ASS, "R": R_SA, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probability": [0.5, 0.4, 1.0]}, r"probabilities of \(state 0, action 0\) sum to 0.9; allowed: 1"),
        ({"probability": [0.5, 0.5, 1.0 + 1e-8]}, r"\(state 1, action 0\) has a probability of 1.00000001"),
        ({"probability": [-0.5, 1.0, 1.0]}, r"\(state 0, action 0\) has a probability of -0.5"),
        ({"probability": [0.5, 0.5, np.nan]}, r"\(state 1, action 0\) has a probability of nan"),
        ({"reward": [0.0, np.inf, 0.0]}, r"\(state 0, action 0\) has a reward of inf; allowed: finite"),
        (
            {"next_state": [0, 2, 1], "n_states": 2},
            r"\(state 0, action 0\) has a successor of 2; allowed: 0 to 1",
        ),
        ({"next_state": [0, -1, 1]}, r"\(state 0, action 0\) has a successor of -1"),
        ({"next_state": [0.0, 0.5, 1.0]}, "next_state is 0.5 at 1; allowed: integers"),
        ({"next_state": [0.0, np.nan, 1.0]}, "next_state is nan at 1; allowed: integers"),
        ({"next_state": [0, None, 1]}, "next_state is nan at 1; allowed: integers"),
        ({"next_state": ["0", "1", "1"]}, "next_state is <U1 .*; allowed: numbers"),
        ({"action": [True, False, True]}, "action is True at 0; allowed: integers"),
        ({"state": [0, 0, 5], "n_states": 2}, "state of outcome 2 is 5; allowed: 0 to 1"),
        ({"action": [0, 0, -1]}, "action of outcome 2 is -1"),
        ({"n_actions": 2}, r"\(state 0, action 1\) has no outcome"),
        ({"probability": [1.0, 0.0, 0.0]}, r"\(state 1, action 0\) has no outcome"),
        ({"reward": [0.0, 1.0]}, r"reward has shape \(2,\); allowed: \(3,\)"),
        ({"action": [0, 0]}, "action has 2 entries and state has 3"),
        ({"state": []}, "state has shape"),
        ({"n_states": 2**31}, "n_states is 2147483648; allowed: 1 to 2147483647"),
        ({"n_states": 2**31 - 1, "n_actions": 3}, "n_actions is 3; allowed: 1 to 2 "),
        ({"grid": (2, 2)}, r"grid is \(2, 2\)"),
    ],
)
def test_wrong_outcomes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MDP.from_outcomes(**{**OK, **arguments})


def test_a_negative_probability_is_not_hidden_by_merging() -> None:
    with pytest.raises(ModelError, match=r"\(state 0, action 0\) has a probability of -0.5"):
        MDP.from_outcomes([0, 0], [0, 0], [0, 0], [1.0, -0.5], [0.0, 0.0])


def test_repeated_outcomes_merge_only_if_reward_and_termination_agree() -> None:
    model = MDP.from_outcomes(
        [0] * 5, [0] * 5, [0] * 5, [0.1, 0.2, 0.3, 0.4, 0.0], [1.0, 2.0, 1.0, 1.0, 9.0], [0, 0, 0, 1, 0]
    )
    got = sorted(zip(model.reward, model.terminated, model.probability, strict=True))
    assert got == [(1.0, False, 0.4), (1.0, True, 0.4), (2.0, False, 0.2)]


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_outcomes_of_a_model_make_another_of_the_same_memory(kind: Any) -> None:
    """What is in the form of a model, in memory that nobody can write to, is not copied; what is not, is."""
    model = random_model(0)
    state, action = np.divmod(np.repeat(np.arange(model.n_pairs), np.diff(model.offsets)), model.n_actions)
    own = model.next_state, model.probability, model.reward.copy(), model.terminated
    other = MDP.from_outcomes(state.astype(kind), action.astype(kind), *own)
    assert same(model, other)
    assert np.shares_memory(other.next_state, model.next_state)
    assert np.shares_memory(other.probability, model.probability)
    assert not np.shares_memory(other.reward, own[2])
    own[2][:] = 7.0
    assert same(model, other)
    with pytest.raises(ValueError, match="WRITEABLE"):
        other.reward.setflags(write=True)
    wide = MDP.from_outcomes(state.astype(kind), action, model.next_state.astype(np.int64), *own[1:])
    assert wide.next_state.dtype == np.int32
    assert np.array_equal(wide.next_state, model.next_state)


@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_outcomes_does_not_matter(seed: int) -> None:
    model = random_model(seed)
    pair = np.repeat(np.arange(model.n_pairs), np.diff(model.offsets))
    order = np.random.default_rng(seed).permutation(model.n_outcomes)
    columns = pair // 3, pair % 3, model.next_state, model.probability, model.reward, model.terminated
    assert same(model, MDP.from_outcomes(*(column[order] for column in columns)))


@given(seed=st.integers(0, 2**32 - 1), n_states=st.integers(1, 12))
def test_reachable_against_the_reference(seed: int, n_states: int) -> None:
    random = np.random.default_rng(seed)
    state = np.arange(n_states).repeat(2)
    model = MDP.from_outcomes(
        state,
        np.tile([0, 1], n_states),
        random.integers(n_states, size=2 * n_states),
        np.ones(2 * n_states),
        np.zeros(2 * n_states),
        random.random(2 * n_states) < 0.3,
        n_states=n_states,
        start=np.eye(n_states)[0],
    )
    assert np.array_equal(model.reachable(), reachable(model))


def test_a_model_cannot_be_changed() -> None:
    model = MDP.from_outcomes(**OK)
    for name in ("offsets", "next_state", "probability", "reward", "terminated", "start"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(model, name)[0] = 0
    with pytest.raises(AttributeError):
        model.n_states = 3  # type: ignore[misc]


def test_making_a_model_leaves_the_arrays_given_as_they_were() -> None:
    probability = np.array([0.5, 0.5, 1.0])
    MDP.from_outcomes(**{**OK, "probability": probability})
    assert probability.flags.writeable
    assert probability.tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize(("n_states", "branching"), [(20, 1), (20, 4), (5, 5), (1000, 3)])
def test_garnet(n_states: int, branching: int) -> None:
    model = MDP.garnet(n_states, 4, branching=branching, seed=3)
    successors = model.next_state.reshape(-1, branching)
    assert (np.diff(successors, axis=1) > 0).all()
    assert model.max_outcomes == branching
    assert not model.terminated.any()
    assert same(model, MDP.garnet(n_states, 4, branching=branching, seed=3))
    assert not same(model, MDP.garnet(n_states, 4, branching=branching, seed=4))
    assert model.reward.min() >= 0.0
    assert model.reward.max() < 1.0


def test_garnet_successors_and_probabilities_are_uniform() -> None:
    model = MDP.garnet(10, 2000, branching=3, seed=0)
    counts = np.bincount(model.next_state, minlength=10)
    assert np.abs(counts - 6000).max() < 5 * np.sqrt(6000)
    # A coordinate of Dirichlet(1, 1, 1) is Beta(1, 2): mean 1/3, variance 1/18.
    assert abs(model.probability.reshape(-1, 3)[:, 0].var() - 1 / 18) < 0.002


@pytest.mark.parametrize("branching", [0, 6])
def test_garnet_refuses_impossible_branching(branching: int) -> None:
    with pytest.raises(ConfigError, match=f"branching is {branching}; allowed: 1 to n_states = 5"):
        MDP.garnet(5, 2, branching=branching, seed=0)


def test_a_large_model_of_one_successor_each() -> None:
    n_states = 200_000
    state = np.repeat(np.arange(n_states), 4)
    successor = np.random.default_rng(0).integers(n_states, size=len(state))
    model = MDP.from_outcomes(
        state, np.tile(np.arange(4), n_states), successor, np.ones(len(state)), state * 0.0
    )
    assert model.n_outcomes == 4 * n_states
    assert repr(model) == "MDP('MDP', n_states=200000, n_actions=4, n_outcomes=800000)"
