"""The arrays of a model: immutable however they are reached or copied, and actions that states do not have."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cdq.errors import ModelError
from cdq.mdp.model import MDP

ARRAYS = ("offsets", "next_state", "probability", "reward", "terminated", "start", "actions")
MASK = np.array([[True, False], [True, True]])
COPIES = {
    "itself": lambda model: model,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda model, protocol=protocol: pickle.loads(pickle.dumps(model, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "replace": dataclasses.replace,
}


def masked() -> MDP:
    return MDP.from_outcomes([0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 1], [1.0] * 4, range(4), actions=MASK)


def large() -> MDP:
    """Return a model whose arrays are so large that pickle makes writeable ones over bytes."""
    mask = np.ones((2000, 2), np.bool_)
    mask[7, 1] = False
    model = MDP.garnet(2000, 2, branching=2, seed=0)
    pairs = np.repeat(np.arange(4000), 2)
    rows = pairs != 15
    columns = model.next_state[rows], model.probability[rows], model.reward[rows]
    return MDP.from_outcomes(
        pairs[rows] // 2, pairs[rows] % 2, *columns, n_states=2000, n_actions=2, actions=mask
    )


def one_state(actions: Any, offsets: Any = (0, 1, 1, 2)) -> MDP:
    return MDP(1, 3, offsets, [0, 0], [1.0, 1.0], [0.0, 0.0], [False, False], [1.0], actions=actions)


def same(one: MDP, other: MDP) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS)


def bases(array: Any) -> Iterator[Any]:
    while isinstance(array, np.ndarray):
        yield array
        array = array.base
    assert isinstance(array, memoryview)  # at the bottom: memory that nobody can write to
    assert array.readonly


@pytest.mark.parametrize("made", [masked, large], ids=["small", "large"])
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_no_array_can_be_changed(copied: Any, made: Any) -> None:
    model, original = copied(made()), made()
    assert same(model, original)
    assert model.fingerprint() == original.fingerprint()
    for array in [*(getattr(model, name) for name in ARRAYS), model.reachable()]:
        for reached in (*bases(array), array.view(), array[:1], array.T):
            with pytest.raises(ValueError, match="read-only"):
                reached[...] = 0
            with pytest.raises(ValueError, match="WRITEABLE"):
                reached.setflags(write=True)


def test_a_model_does_not_share_an_unpickled_array() -> None:
    reward = pickle.loads(pickle.dumps(np.zeros(4000), 4))
    other = reward[:]  # stays writeable
    reward.flags.writeable = False
    model = MDP(
        1, 4000, np.arange(4001), np.zeros(4000, np.int32), np.ones(4000), reward, [False] * 4000, [1.0]
    )
    other[:] = 5.0
    assert not model.reward.any()


@pytest.mark.parametrize("name", [*ARRAYS, "n_states", "time_limit"])
def test_no_attribute_can_be_set(name: str) -> None:
    model = masked()
    with pytest.raises(AttributeError):
        setattr(model, name, getattr(model, name))
    with pytest.raises(AttributeError):
        delattr(model, name)


@pytest.mark.parametrize("name", ARRAYS)
def test_a_model_does_not_share_the_arrays_given(name: str) -> None:
    given = {field: np.array(getattr(masked(), field)) for field in ARRAYS}
    model = MDP(2, 2, **given)
    given[name].view(np.uint8)[...] = 7
    assert same(model, masked())


def test_a_changed_copy_is_checked() -> None:
    with pytest.raises(ModelError, match=r"\(state 0, action 0\) has a reward of nan"):
        dataclasses.replace(masked(), reward=np.full(3, np.nan))
    model, arguments = masked().__reduce__()
    with pytest.raises(ModelError, match="a probability of 2"):
        model(*arguments[:4], np.full(3, 2.0), *arguments[5:])


def test_pairs_that_are_masked_out_have_no_outcomes() -> None:
    model = masked()
    assert model.offsets.tolist() == [0, 1, 1, 2, 3]
    assert model.reward.tolist() == [0.0, 2.0, 3.0]
    assert model.actions is not None
    assert model.actions.tolist() == MASK.tolist()
    first, second = model.actions_in(0), model.actions_in(1)
    assert first is not None
    assert second is not None
    assert (first.tolist(), second.tolist()) == ([True, False], [True, True])


def test_a_mask_of_all_actions_is_none() -> None:
    arguments: Any = ([0, 1], [0, 0], [1, 0], [1.0, 1.0], [0.0, 1.0])
    whole = MDP.from_outcomes(*arguments, actions=np.ones((2, 1), bool))
    assert whole.actions is None
    assert whole.actions_in(0) is None
    assert whole.fingerprint() == MDP.from_outcomes(*arguments).fingerprint()


def test_the_fingerprint_knows_the_mask() -> None:
    one = one_state([[True, False, True]])
    other = one_state([[True, True, False]], (0, 1, 2, 2))
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([True, False, True], r"actions are of shape \(3,\); allowed: bool of shape \(1, 3\)"),
        ([[1, 0, 2]], r"actions of \(state, action\) \(0, 2\) is 2; allowed: True and False"),
        ([["True", "", "True"]], r"actions of \(state, action\) \(0, 0\) is 'True'"),
        ([[False] * 3], "actions are all False in state 0; a state has at least one"),
        ([[True] * 3], r"\(state 0, action 1\) has no outcome"),
        ([[True, False, False]], r"\(state 0, action 2\) has outcomes, but actions say"),
        (None, r"\(state 0, action 1\) has no outcome"),
    ],
)
def test_wrong_masks_are_refused(actions: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        one_state(actions)


def test_offsets_must_rise() -> None:
    model = [3, [0, 2, 1, 2], [0, 0], [0.5, 0.5], [0.0, 0.0], [False, False], [1.0]]
    for offsets, where in (([0, 2, 1, 2], 1), ([0, 9, 1, 2], 0), ([0, -1, 1, 2], 0)):
        model[1] = offsets
        with pytest.raises(ModelError, match=rf"offsets decrease at \(state 0, action {where}\)"):
            MDP(1, *model, actions=[[True, False, True]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [0.5, 1]}, "offsets is 0.5 at 0; allowed: integers"),
        ({"offsets": ["0", "1"]}, "offsets is <U1 .*; allowed: numbers"),
        ({"next_state": [0.7]}, "next_state is 0.7 at 0; allowed: integers"),
        ({"next_state": [2**40]}, "next_state goes from 1099511627776 to 1099511627776; allowed: "),
        ({"next_state": np.array([2**32])}, "next_state goes from 4294967296"),
        ({"probability": ["x"]}, "probability is <U1 .*; allowed: numbers"),
        ({"reward": [10**400]}, "has a reward of inf"),
        ({"n_states": "1"}, "n_states is '1'; allowed: a whole number"),
        ({"n_states": True}, "n_states is True; allowed: a whole number"),
        ({"time_limit": 2.5}, "time_limit is 2.5; allowed: a whole number"),
        ({"time_limit": 10**30}, "time_limit is 10+; allowed: None or at least 1, and less than"),
        ({"grid": 5}, r"grid is \(5,\); allowed: \(rows, columns\) with 1 cells"),
        ({"grid": (-1, -1)}, r"grid is \(-1, -1\)"),
        ({"grid": "ab"}, "grid is 'a'; allowed: a whole number"),
    ],
)
def test_what_is_no_model_is_told(change: dict[str, Any], message: str) -> None:
    model: dict[str, Any] = {
        "n_states": 1,
        "n_actions": 1,
        "offsets": [0, 1],
        "next_state": [0],
        "probability": [1.0],
        "reward": [0.0],
        "terminated": [False],
        "start": [1.0],
    }
    assert MDP(**model, grid=[1, 1], time_limit=np.int64(5)).grid == (1, 1)
    with pytest.raises(ModelError, match=message):
        MDP(**{**model, **change})
