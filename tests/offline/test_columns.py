"""Columns of logs as they come: from files in which whole numbers became floats, and what is never read is missing."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pandas
import pytest
from gymnasium import spaces

import cdq
from cdq.envs.spaces import Encoder
from cdq.errors import ConfigError
from cdq.offline.columns import masks, numbers, single
from cdq.offline.logs import encoding_of_states, read_log
from tests.reference.offline import replay
from tests.strategies import DTYPES, random_model

OK: dict[str, Any] = {
    "observations": [0, 1, 2],
    "actions": [1, 0, 2],
    "rewards": [0.5, -1.0, 2.0],
    "next_observations": [1, 2, 0],
    "terminated": [False, False, True],
}
STATES: dict[str, Any] = {"encoding": encoding_of_states(3), "n_actions": 3}
SAME = read_log(**OK, **STATES).fingerprint()


def objects(*values: Any) -> Any:
    column = np.empty(len(values), object)
    column[:] = values
    return column


@pytest.mark.parametrize(
    "change",
    [
        {"actions": [1.0, 0.0, 2.0]},
        {"actions": np.array([1, 0, 2], np.float32)},
        {"actions": objects(1, 0.0, np.int8(2))},
        {"actions": pandas.Series([1, 0, 2], dtype="Int64")},
        {"actions": pandas.Series([1, 0, 2], dtype="category")},
        {"actions": pandas.Categorical([1, 0, 2])},
        {"actions": pandas.Series([1.0, 0.0, 2.0])},
        {"observations": [0.0, 1.0, 2.0]},
        {"observations": pandas.Series([0, 1, 2], dtype="Int32")},
        {"observations": pandas.Series([0, 1, 2], dtype="category")},
        {"observations": objects(0, 1.0, 2)},
        {"terminated": [0.0, 0.0, 1.0]},
        {"terminated": [0, 0, 1]},
        {"terminated": pandas.Series([False, False, True], dtype="boolean")},
        {"terminated": pandas.Series([False, False, True], dtype="category")},
        {"terminated": objects(False, 0, 1.0)},
        {"rewards": objects(0.5, -1, 2)},
        {"rewards": pandas.Series([0.5, -1.0, 2.0], dtype="Float64")},
        {"next_observations": [1.0, 2.0, np.nan]},
        {"next_observations": [1, 2, None]},
        {"next_observations": pandas.Series([1, 2, None])},
        {"next_observations": pandas.Series([1, 2, pandas.NA], dtype="Int64")},
        {"next_observations": objects(1, 2, "gone")},
        {"next_observations": np.array([1, 2, 10**6])},
    ],
    ids=lambda change: f"{next(iter(change))} {type(next(iter(change.values()))).__name__}",
)
def test_the_same_log_in_other_types(change: dict[str, Any]) -> None:
    assert read_log(**{**OK, **change}, **STATES).fingerprint() == SAME


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"actions": pandas.Series([1, None, 2], dtype="Int64")},
            "the action of transition 1 is (<NA>|nan); allowed: integers",
        ),
        ({"actions": pandas.Series(["a", "b", "c"], dtype="category")}, "action"),
        (
            {"terminated": pandas.Series([False, None, True], dtype="boolean")},
            "terminated of transition 1 is <NA>",
        ),
        ({"terminated": pandas.Series(["True", "False", "x"])}, "the terminated of transition 0 is 'True'"),
        ({"rewards": pandas.Series([1.0, None, 2.0], dtype="Float64")}, "the reward of transition 1 is"),
        (
            {"next_observations": pandas.Series([1, pandas.NA, 2], dtype="Int64")},
            "next_observation of transition 1 is",
        ),
        ({"observations": pandas.Series([0.0, 0.5, 1.0])}, "the observation of transition 1 is 0.5"),
    ],
)
def test_what_is_missing_where_it_is_read_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_log(**{**OK, **change}, **STATES)


HANDS = [(13, 10, 1), (4, 1, 0), (21, 9, 0)]
TUPLES = spaces.Tuple((spaces.Discrete(32), spaces.Discrete(11), spaces.Discrete(2)))
GRID = spaces.MultiDiscrete([32, 11, 2])
NAMED = spaces.Dict({"ace": spaces.Discrete(2), "dealer": spaces.Discrete(11), "sum": spaces.Discrete(32)})
FRAME = pandas.DataFrame(HANDS, columns=["sum", "dealer", "ace"])


@pytest.mark.parametrize(
    ("space", "given"),
    [
        (TUPLES, np.array(HANDS, np.float64)),
        (TUPLES, [tuple(map(float, hand)) for hand in HANDS]),
        (TUPLES, tuple(np.array(HANDS, np.float32).T)),
        (TUPLES, FRAME.astype("float64")),
        (TUPLES, FRAME.astype("Int64")),
        (TUPLES, FRAME.astype("category")),
        (TUPLES, pandas.Series(HANDS)),
        (GRID, np.array(HANDS, np.float64)),
        (GRID, [np.array(hand, np.float32) for hand in HANDS]),
        (GRID, FRAME.astype("Int64")),
        (GRID, pandas.Series([np.array(hand, float) for hand in HANDS])),
        (NAMED, FRAME.astype("float64")),
        (NAMED, [{name: float(row[name]) for name in FRAME} for _, row in FRAME.iterrows()]),
        (NAMED, {name: FRAME[name].astype("Int64") for name in FRAME}),
    ],
)
def test_components_of_observations_may_be_floats(space: Any, given: Any) -> None:
    """And after a termination missing, in columns and in lists."""
    encoder = Encoder(space, spaces.Discrete(3))
    single_ones = HANDS if space is not NAMED else [dict(zip(FRAME, hand, strict=True)) for hand in HANDS]
    expected = [encoder.state_of(one) for one in single_ones]
    log = read_log(
        **{**OK, "observations": given, "next_observations": given},
        encoding=encoder.encoding(vectors=False),
        n_actions=3,
    )
    assert log.states.tolist() == expected
    missing = [*single_ones[:2], None]
    columns = {**OK, "observations": single_ones, "next_observations": missing}
    log = read_log(**columns, encoding=encoder.encoding(vectors=False), n_actions=3)
    assert log.next_states.tolist() == expected


def test_frames_with_missing_rows() -> None:
    encoder = Encoder(TUPLES, spaces.Discrete(3))
    frame = FRAME.astype("float64")
    frame.iloc[2] = np.nan
    columns = {**OK, "observations": FRAME, "next_observations": frame}
    log = read_log(**columns, encoding=encoder.encoding(vectors=False), n_actions=3)
    assert log.next_states.tolist() == log.states.tolist()
    frame.iloc[1] = np.nan
    with pytest.raises(ConfigError, match="the next_observation of transition 1 is nan"):
        read_log(**columns, encoding=encoder.encoding(vectors=False), n_actions=3)


def test_vectors_may_be_missing_after_a_termination() -> None:
    encoding = Encoder(spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(3)).encoding(vectors=True)
    vectors = [[0.5, 0.25], [0.0, 1.0], [1.0, -1.0]]
    for missing in ([*vectors[:2], None], objects(*vectors[:2], None), pandas.Series([*vectors[:2], None])):
        log = read_log(
            **{**OK, "observations": vectors, "next_observations": missing}, encoding=encoding, n_actions=3
        )
        assert log.next_states.tolist() == vectors
    frame = pandas.DataFrame(vectors).astype("Float64")
    frame.iloc[2] = pandas.NA
    log = read_log(
        **{**OK, "observations": vectors, "next_observations": frame}, encoding=encoding, n_actions=3
    )
    assert log.next_states.tolist() == vectors


def test_numbers_beyond_floats_stay_exact() -> None:
    column = objects(2**62 + 1, None)
    assert numbers("x", column, whole=True, skipped=np.array([0, 1], np.uint8)).tolist() == [2**62 + 1, 0]
    with pytest.raises(ConfigError, match="xs have numbers beyond 64 bits"):
        numbers("x", objects(2**70), whole=True, skipped=np.zeros(1, np.uint8))


def test_single_observations() -> None:
    assert single((13.0, 10, {"ace": np.float32(1.0), "speed": 0.5})) == (13, 10, {"ace": 1, "speed": 0.5})
    assert single(np.array([1.0, 2.0])).dtype == np.int64
    assert single(np.array([1.5, 2.0])).dtype == np.float64
    assert single("text") == "text"


# ---- masks


MODEL = random_model(20, 3, seed=4)


def random_log(n: int, seed: int = 0) -> tuple[Any, ...]:
    random = np.random.default_rng(seed)
    ends = random.random(n) < 0.2
    allowed = random.random((n, 3)) < 0.5
    allowed[np.arange(n), random.integers(0, 3, n)] = True
    states, successors = random.integers(0, 20, n), random.integers(0, 20, n)
    return (states, random.integers(0, 3, n), random.normal(size=n), successors, ends), allowed


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["dense", "hash"])
def test_the_best_allowed_action_is_what_the_next_state_is_worth(dtype: str, kind: str) -> None:
    columns, allowed = random_log(500)
    if kind == "hash":
        agent = cdq.QLearner("cdq/GridWorld-v0", table="hash", gamma=0.9, step_size=0.25, seed=0, dtype=dtype)
        allowed = np.column_stack([allowed, np.zeros(500, bool)])
    else:
        agent = cdq.QLearner(MODEL, gamma=0.9, step_size=0.25, seed=0, dtype=dtype)
    agent.learn_from(*columns, next_masks=allowed, passes=2)
    n_rows, n_actions = (64, 4) if kind == "hash" else (20, 3)
    values, counts = np.zeros((n_rows, n_actions)), np.zeros((n_rows, n_actions), int)
    rows = list(zip(*(column.tolist() for column in columns), allowed.tolist(), strict=True)) * 2
    replay(values, counts, lambda count: 0.25, 0.9, rows)
    keys = agent.table.keys.tolist() if kind == "hash" else range(20)
    np.testing.assert_allclose(agent.table.values, values[keys], rtol=1e-4, atol=1e-5)
    assert agent.table.visits.tolist() == counts[keys].tolist()
    plain = cdq.QLearner(MODEL, gamma=0.9, step_size=0.25, seed=0).learn_from(*columns, passes=2)
    assert np.abs(plain.table.values - values[:20, :3]).max() > 0.1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("n_actions", [1, 2, 3, 5, 9, 20])
def test_masks_that_allow_everything_change_no_bit(workers: int, n_actions: int) -> None:
    model, random = random_model(20, n_actions, seed=4), np.random.default_rng(0)
    columns = (
        random.integers(0, 20, 300),
        random.integers(0, n_actions, 300),
        random.normal(size=300),
        random.integers(0, 20, 300),
        random.random(300) < 0.1,
    )
    plain, masked = (cdq.QLearner(model, seed=0, workers=workers, dtype="float32") for _ in range(2))
    plain.learn_from(*columns)
    masked.learn_from(*columns, next_masks=np.ones((300, n_actions)))
    assert plain.table.digest() == masked.table.digest()


def test_linear_functions_heed_masks() -> None:
    agents = [cdq.QLearner("CartPole-v1", seed=0, initial_value=1.0) for _ in range(2)]
    vectors = np.zeros((4, 4))
    ends = [False] * 4
    for agent, allowed in zip(agents, ([[1, 0]] * 4, [[0, 1]] * 4), strict=True):
        agent.learn_from(vectors, [0] * 4, [10.0] * 4, vectors, ends, next_masks=allowed, passes=50)
    first, second = (agent._task.action_values(agent._state.merged.values, vectors[0])[0] for agent in agents)
    assert first > second + 5  # the value of action 0 follows itself, or that of action 1, which nobody took


def test_a_worker_alone_with_a_large_table_heeds_masks() -> None:
    model = cdq.MDP.garnet(200_000, 4, branching=1, seed=0)
    agent = cdq.QLearner(
        model, seed=0, gamma=0.5, step_size=1.0, initial_table=np.tile([1.0, 2.0, 3.0, 4.0], (200_000, 1))
    )
    agent.learn_from(
        [5, 6], [0, 0], [0.0, 0.0], [7, 8], [False, False], next_masks=[[1, 1, 0, 0], [0, 1, 1, 0]]
    )
    assert agent.table.values[[5, 6], 0].tolist() == [1.0, 1.5]


class Masked(gymnasium.Env[Any, Any]):
    """A state whose mask, in the observation, forbids action 1."""

    observation_space = spaces.Dict({"observation": spaces.Discrete(3), "action_mask": spaces.MultiBinary(2)})
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return {"observation": 0, "action_mask": np.array([1, 1], np.int8)}, {}

    def step(self, action: Any) -> Any:
        return *self.reset()[:1], 0.0, True, False, {}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("heeded", ["auto", True, False])
def test_masks_in_observations_are_those_of_the_next_states(listed: bool, heeded: Any) -> None:
    agent = cdq.QLearner(
        Masked(), seed=0, gamma=0.5, step_size=1.0, masks=heeded, initial_table=np.tile([1.0, 8.0], (3, 1))
    )
    before, after = np.array([0, 1]), np.array([1, 2])
    allowed = np.array([[1, 0], [1, 1]], np.int8)
    columns = [{"observation": each, "action_mask": allowed} for each in (before, after)]
    if listed:
        columns = [
            [
                {"observation": int(o), "action_mask": m}
                for o, m in zip(column["observation"], allowed, strict=True)
            ]
            for column in columns
        ]
    agent.learn_from(columns[0], [0, 0], [0.0, 0.0], columns[1], [False, False])
    assert agent.table.values[:2, 0].tolist() == ([4.0, 4.0] if heeded is False else [0.5, 4.0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1, 0], [0, 0]], "next_masks of transition 1 allow no action; allowed: one or more"),
        ([[1, 0]], r"next_masks have shape \(1, 2\); allowed: \(2, 2\)"),
        ([[1, 0, 0], [1, 0, 0]], r"next_masks have shape \(2, 3\); allowed: \(2, 2\)"),
        ([1, 0], r"next_masks have shape \(2,\)"),
        ([["1", "0"], ["1", "0"]], r"next_masks, entry \(0, 0\) is '1'; allowed: True and False"),
        ([[1, np.nan], [1, 1]], r"next_masks, entry \(0, 1\) is nan"),
        ([[1, 0], [1]], "next_masks, entry: it is no column"),
        (5, r"next_masks have shape \(\)|next_masks, entry is 5"),
    ],
    ids=str,
)
def test_what_is_no_mask_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        masks(given, 2, np.zeros(2, np.uint8))


def test_masks_come_in_every_form() -> None:
    ended, expected = np.array([0, 1], np.uint8), [[1, 0], [1, 1]]
    for given in (
        np.array([[1, 0], [0, 0]]),
        np.array([[True, False], [False, False]]),
        [[1.0, 0.0], None],
        [np.array([1, 0]), None],
        pandas.DataFrame([[1, 0], [0, 0]]),
        pandas.Series([[1, 0], None]),
        ((True, False), (0, 0)),
    ):
        assert masks(given, 2, ended).tolist() == expected


def test_logs_with_other_masks_are_told_apart() -> None:
    prints = [
        read_log(**OK, **STATES, next_masks=allowed).fingerprint()
        for allowed in (None, [[1, 1, 1]] * 3, [[1, 1, 0]] * 3)
    ]
    assert len(set(prints)) == 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_whole_numbers_of_every_float(dtype: type) -> None:
    column, skipped = np.array([0, 5, 2048, np.nan, np.inf], dtype), np.array([0, 0, 0, 1, 1], np.uint8)
    assert numbers("state", column, whole=True, skipped=skipped).tolist() == [0, 5, 2048, 0, 0]
    for wrong in (np.nan, np.inf, 0.5):
        with pytest.raises(ConfigError, match="the state of transition 1 is"):
            numbers("state", np.array([0, wrong], dtype), whole=True, skipped=np.zeros(2, np.uint8))
