from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from cdq.envs.spaces import Encoder
from cdq.errors import ConfigError, UnsupportedEnvironment

ACTIONS = spaces.Discrete(3)


@st.composite
def leaves(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["discrete", "multi discrete", "multi binary", "box"]))
    shape = draw(st.sampled_from([(1,), (3,), (2, 2)]))
    dtype = draw(st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64]))
    if kind == "discrete":
        return spaces.Discrete(draw(st.integers(1, 9)), start=draw(st.integers(-5, 5)))
    if kind == "multi binary":
        return spaces.MultiBinary(shape)
    sizes = np.array(draw(st.lists(st.integers(1, 4), min_size=math.prod(shape), max_size=math.prod(shape))))
    low = draw(st.integers(0 if np.dtype(dtype).kind == "u" else -3, 3))
    if kind == "box":
        return spaces.Box(
            np.full(shape, low, dtype), (low + sizes - 1).reshape(shape).astype(dtype), dtype=dtype
        )
    return spaces.MultiDiscrete(sizes.reshape(shape), start=np.full(shape, low))


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["b", "a", "observation", "0"])
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple),
        st.dictionaries(names, inner, min_size=1, max_size=3).map(spaces.Dict),
    )


any_space = st.recursive(leaves(), composed, max_leaves=4)


def numbers(space: Any, observation: Any) -> list[tuple[int, int]]:
    """Return the digits of an observation and their bases, by the definition."""
    if isinstance(space, spaces.Discrete):
        return [(int(observation) - int(space.start), int(space.n))]
    if isinstance(space, spaces.Tuple):
        pairs = zip(space.spaces, observation, strict=True)
        return [digit for part, inner in pairs for digit in numbers(part, inner)]
    if isinstance(space, spaces.Dict):
        return [digit for key, part in space.spaces.items() for digit in numbers(part, observation[key])]
    if isinstance(space, spaces.MultiBinary):
        return [(int(x), 2) for x in observation.ravel()]
    if isinstance(space, spaces.MultiDiscrete):
        low, size = space.start.ravel(), space.nvec.ravel()
    else:
        low, size = space.low.ravel(), space.high.ravel().astype(int) - space.low.ravel() + 1
    return [(int(x) - int(a), int(n)) for x, a, n in zip(observation.ravel(), low, size, strict=True)]


@given(any_space, st.integers(0, 2**31))
def test_every_observation_has_an_index_by_mixed_radix(space: Any, seed: int) -> None:
    space.seed(seed)
    encoder = Encoder(space, ACTIONS)
    observation = space.sample()
    index = 0
    for digit, base in numbers(space, observation):
        index = index * base + digit
    assert encoder.countable
    assert encoder.state_of(observation) == index
    assert encoder.n_states == math.prod(base for _, base in numbers(space, observation))
    back = encoder.observation_of(index)
    assert space.contains(back)
    assert encoder.state_of(back) == index
    vector = encoder.vector_of(observation)
    assert vector.dtype == np.float64
    assert ((encoder.low <= vector) & (vector <= encoder.high)).all()


@given(any_space)
def test_the_indices_are_all_the_numbers_below_n_states(space: Any) -> None:
    encoder = Encoder(space, ACTIONS)
    assert encoder.n_states is not None
    for state in {0, encoder.n_states - 1, encoder.n_states // 2, encoder.n_states // 3}:
        assert encoder.state_of(encoder.observation_of(state)) == state
    for wrong in (-1, encoder.n_states):
        with pytest.raises(ConfigError, match=f"state {wrong} is not one of 0 to"):
            encoder.observation_of(wrong)


@pytest.mark.parametrize("value", [5, np.int64(5), np.uint8(5), np.array(5), np.array(5, np.int8), True + 4])
def test_an_integer_may_be_of_any_type(value: object) -> None:
    assert Encoder(spaces.Discrete(9, start=3), ACTIONS).state_of(value) == 2


@pytest.mark.parametrize(
    "value",
    [
        [1, 0, 2],
        (1, 0, 2),
        np.array([1, 0, 2], ">i4"),
        np.array([[1], [0], [2]]),
        np.array([1, 9, 0, 9, 2])[::2],
    ],
)
def test_an_array_may_be_of_any_kind(value: object) -> None:
    assert Encoder(spaces.MultiDiscrete([2, 3, 4]), ACTIONS).state_of(value) == 14


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Discrete(3, start=1), 0),
        (spaces.Discrete(3), 3),
        (spaces.Discrete(3), 2**70),
        (spaces.Discrete(3), 1.0),
        (spaces.Discrete(3), "1"),
        (spaces.Discrete(3), None),
        (spaces.MultiDiscrete([2, 2]), np.array([0, 2])),
        (spaces.MultiDiscrete([2, 2]), np.array([0, 1, 1])),
        (spaces.MultiDiscrete([2, 2]), np.array([0.0, 1.0])),
        (spaces.MultiBinary(2), np.array(["0", "1"])),
        (spaces.Tuple((ACTIONS, ACTIONS)), (1,)),
        (spaces.Tuple((ACTIONS, ACTIONS)), 1),
        (spaces.Dict(a=ACTIONS), {"b": 1}),
        (spaces.Dict(a=ACTIONS), (1,)),
    ],
)
def test_what_is_not_in_the_space_is_refused(space: Any, observation: object) -> None:
    with pytest.raises(ConfigError, match="is not in (Discrete|Multi|Tuple|Dict)"):
        Encoder(space, ACTIONS).state_of(observation)


def test_blackjack() -> None:
    env = gymnasium.make("Blackjack-v1")
    encoder = Encoder(env.observation_space, env.action_space)
    assert (encoder.n_states, encoder.n_actions) == (32 * 11 * 2, 2)
    assert encoder.state_of((20, 7, 1)) == (20 * 11 + 7) * 2 + 1
    assert encoder.observation_of((20 * 11 + 7) * 2 + 1) == (20, 7, 1)


def test_more_states_than_an_index_has_bits_have_hashes() -> None:
    space = spaces.Tuple((spaces.MultiBinary(64), spaces.Discrete(5)))
    encoder = Encoder(space, ACTIONS)
    assert encoder.countable
    assert encoder.n_states is None
    keys = {encoder.state_of(space.sample()) for _ in range(2000)}
    assert len(keys) == 2000
    assert all(0 <= key < 2**63 for key in keys)
    zeros = np.zeros(64, np.int8)
    near = {
        encoder.state_of((np.roll(np.eye(1, 64, dtype=np.int8)[0], i), a))
        for i in range(64)
        for a in range(5)
    }
    near |= {encoder.state_of((zeros, a)) for a in range(5)}
    assert len(near) == 65 * 5
    with pytest.raises(ConfigError, match="have no index"):
        encoder.observation_of(0)
    with pytest.raises(ConfigError, match="is not in"):
        encoder.state_of((zeros, 5))


def test_as_many_states_as_an_index_has_bits_have_indices() -> None:
    encoder = Encoder(spaces.MultiBinary(63), ACTIONS)
    assert encoder.n_states == 2**63
    assert encoder.state_of(np.ones(63, np.int8)) == 2**63 - 1
    assert encoder.observation_of(2**63 - 1).tolist() == [1] * 63
    assert Encoder(spaces.MultiBinary(64), ACTIONS).n_states is None


def test_whole_numbers_of_any_range_have_a_key() -> None:
    for dtype in (np.int64, np.uint64):
        info = np.iinfo(dtype)
        encoder = Encoder(spaces.Box(info.min, info.max, (2,), dtype), ACTIONS)
        assert encoder.countable
        keys = {encoder.state_of(np.array([x, 1], dtype)) for x in range(9)}
        assert len(keys) == 9


def test_boxes_have_a_vector_and_no_index() -> None:
    space = spaces.Dict(
        b=spaces.Discrete(4, start=2),
        a=spaces.Box(np.array([[-1, -np.inf]], np.float32), np.array([[1, 2]], np.float32)),
    )
    encoder = Encoder(space, ACTIONS)
    assert not encoder.countable
    assert encoder.n_states is None
    observation = {"a": np.array([[0.25, -3.0]], np.float32), "b": np.int64(5)}
    assert encoder.vector_of(observation).tolist() == [5.0, 0.25, -3.0]
    assert encoder.low.tolist() == [2.0, -1.0, -math.inf]
    assert encoder.high.tolist() == [5.0, 1.0, 2.0]
    with pytest.raises(UnsupportedEnvironment, match="TileCoding.*bins=.*DiscretizeObservation"):
        encoder.state_of(observation)
    with pytest.raises(ConfigError, match="3 numbers, not 2"):
        encoder.vector_of({"a": np.zeros(3), "b": 5})


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, ">f8", np.longdouble, np.int8, np.bool_]
)
def test_the_numbers_of_a_box_may_be_of_any_type(dtype: Any) -> None:
    encoder = Encoder(spaces.Box(-1, 1, (2,)), ACTIONS)
    assert encoder.vector_of(np.array([1, 0]).astype(dtype)).tolist() == [1.0, 0.0]
    assert encoder.vector_of([1, 0]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(5),
        spaces.Sequence(ACTIONS),
        spaces.Graph(ACTIONS, None),
        spaces.OneOf((ACTIONS, ACTIONS)),
        spaces.Tuple((ACTIONS, spaces.Text(3))),
    ],
)
def test_spaces_without_numbers_are_refused(space: Any) -> None:
    with pytest.raises(UnsupportedEnvironment, match="Allowed are Discrete, .*TransformObservation"):
        Encoder(space, ACTIONS)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Box(-1, 1, (2,)), "continuous actions in Box.*gymnasium.wrappers.DiscretizeAction"),
        (
            spaces.Box(-1, np.inf, (2,)),
            "^continuous actions in Box.*gymnasium.ActionWrapper that numbers some",
        ),
        (spaces.Box(0, 5, (2,), np.int8), "^actions in Box.*TransformAction"),
        (spaces.Box(0, 2**40, (1,), np.int64), "^actions in Box.*gymnasium.ActionWrapper that numbers some"),
        (spaces.MultiDiscrete([2, 2]), "^actions in MultiDiscrete.*TransformAction"),
        (spaces.MultiBinary(40), "^actions in MultiBinary.*gymnasium.ActionWrapper that numbers some"),
        (spaces.Tuple((ACTIONS,)), "actions in Tuple.*gymnasium.ActionWrapper"),
    ],
)
def test_actions_other_than_discrete_are_refused(space: Any, message: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=message) as caught:
        Encoder(ACTIONS, space)
    assert "\n" not in str(caught.value)


def test_actions_start_where_the_space_says() -> None:
    encoder = Encoder(ACTIONS, spaces.Discrete(4, start=-7))
    assert (encoder.n_actions, encoder.first_action) == (4, -7)


def test_what_the_discretising_wrapper_makes_is_taken() -> None:
    for multi in (False, True):
        env = gymnasium.wrappers.DiscretizeObservation(gymnasium.make("MountainCar-v0"), 10, multi)
        encoder = Encoder(env.observation_space, env.action_space)
        observation, _ = env.reset(seed=0)
        assert encoder.n_states == 100
        assert 0 <= encoder.state_of(observation) < 100
    action = gymnasium.wrappers.DiscretizeAction(gymnasium.make("Pendulum-v1"), 5)
    assert Encoder(action.observation_space, action.action_space).n_actions == 5


MASK = spaces.MultiBinary(3)


@pytest.mark.parametrize(
    "mask",
    [np.array([1, 0, 1], np.int8), np.array([True, False, True]), [1.0, 0.0, 1.0], np.array([1, 0, 1])],
)
def test_a_mask_beside_the_observation(mask: Any) -> None:
    encoder = Encoder(spaces.Dict(observation=spaces.Discrete(5), action_mask=MASK), ACTIONS)
    observation = {"observation": 4, "action_mask": mask}
    assert encoder.masked
    assert encoder.n_states == 5
    assert encoder.state_of(observation) == 4
    assert encoder.mask_of(observation).tolist() == [True, False, True]
    assert encoder.observation_of(4) == 4


def test_a_mask_beside_other_entries() -> None:
    encoder = Encoder(spaces.Dict(x=spaces.Discrete(5), y=spaces.Discrete(2), action_mask=MASK), ACTIONS)
    observation = {"y": 1, "action_mask": np.array([0, 0, 1], np.int8), "x": 3}
    assert encoder.state_of(observation) == 7
    assert encoder.mask_of(observation).tolist() == [False, False, True]
    assert encoder.observation_of(7) == {"x": 3, "y": 1}


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnsupportedEnvironment, match="there are 3 actions"):
        Encoder(spaces.Dict(observation=ACTIONS, action_mask=spaces.MultiBinary(4)), ACTIONS)
    encoder = Encoder(spaces.Dict(observation=ACTIONS, action_mask=MASK), ACTIONS)
    for wrong in (
        {"observation": 1},
        {"observation": 1, "action_mask": [1, 0]},
        {"observation": 1, "action_mask": [2, 0, 9]},
        1,
    ):
        for read in (encoder.state_of, encoder.mask_of):
            with pytest.raises(ConfigError, match="action_mask|action mask"):
                read(wrong)
    with pytest.raises(ConfigError, match="hold no mask"):
        Encoder(ACTIONS, ACTIONS).mask_of(1)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Tuple(()),
        spaces.Dict({}),
        spaces.Box(0, 5, (0,), np.int64),
        spaces.Box(0, 1, (0,), np.float32),
        spaces.Box(0, 1, (3, 0), np.int8),
        spaces.Dict({"action_mask": spaces.MultiBinary(2)}),
    ],
    ids=str,
)
def test_observations_without_a_number_are_refused_in_words(space: Any) -> None:
    with pytest.raises(UnsupportedEnvironment, match=r"hold no number.*Discrete\(1\)"):
        Encoder(space, spaces.Discrete(2))
