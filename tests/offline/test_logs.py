"""Columns of logged transitions, of every form that observations have."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pandas
import pytest
from gymnasium import spaces

import cdq
from cdq.envs.spaces import Encoder
from cdq.errors import ConfigError
from cdq.offline.logs import encoding_of_states, read_log, read_minari
from tests.strategies import random_model

ACTIONS = [1, 0, 2]
OK: dict[str, Any] = {
    "observations": [0, 1, 2],
    "actions": ACTIONS,
    "rewards": [0.5, -1.0, 2.0],
    "next_observations": [1, 2, 0],
    "terminated": [False, False, True],
}
STATES: dict[str, Any] = {"encoding": encoding_of_states(3), "n_actions": 3}


class Series:
    """What cdq uses of a pandas.Series."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)

    def __len__(self) -> int:
        return len(self._values)

    def to_numpy(self) -> Any:
        return self._values


class Frame:
    """What cdq uses of a pandas.DataFrame."""

    def __init__(self, columns: dict[Any, Any]) -> None:
        self._series = {name: Series(column) for name, column in columns.items()}

    def __len__(self) -> int:
        return len(next(iter(self._series.values())))

    @property
    def columns(self) -> list[Any]:
        return list(self._series)

    def __getitem__(self, name: Any) -> Series:
        return self._series[name]

    def to_numpy(self) -> Any:
        return np.stack([series.to_numpy() for series in self._series.values()], axis=1)


def encoder_of(space: gymnasium.Space[Any], n_actions: int = 3) -> Encoder:
    return Encoder(space, spaces.Discrete(n_actions))


def states_of(space: gymnasium.Space[Any], observations: Any) -> Any:
    encoder = encoder_of(space)
    encoding = encoder.encoding(vectors=not encoder.countable)
    columns = {**OK, "observations": observations, "next_observations": observations, "terminated": [0, 0, 0]}
    log = read_log(**columns, encoding=encoding, n_actions=3)
    assert np.array_equal(log.states, log.next_states)
    return log.states.tolist()


@pytest.mark.parametrize("make", [list, tuple, np.array, Series])
def test_columns_of_every_kind(make: Any) -> None:
    log = read_log(**{name: make(column) for name, column in OK.items()}, **STATES)
    assert log.states.tolist() == [0, 1, 2]
    assert log.actions.tolist() == ACTIONS
    assert log.rewards.tolist() == [0.5, -1.0, 2.0]
    assert log.terminated.tolist() == [0, 0, 1]
    assert log.next_states.tolist() == [1, 2, 2]  # after a termination, the state itself
    kinds = log.states, log.actions, log.rewards, log.next_states, log.terminated
    assert [column.dtype for column in kinds] == ["i8", "u4", "f8", "i8", "u1"]
    assert all(column.flags.c_contiguous for column in kinds)
    assert len(log) == 3


@pytest.mark.parametrize("dtype", ["i1", "u2", "i4", "u4", "i8", "u8"])
def test_integers_of_every_size_and_every_other_one_of_an_array(dtype: str) -> None:
    spread = {name: np.repeat(np.array(column), 2)[::2] for name, column in OK.items()}
    columns = {
        **spread,
        "observations": spread["observations"].astype(dtype),
        "actions": spread["actions"].astype(dtype),
    }
    plain = read_log(**OK, **STATES)
    assert read_log(**columns, **STATES).fingerprint() == plain.fingerprint()


def test_actions_may_begin_anywhere() -> None:
    log = read_log(
        **{**OK, "actions": [6, 5, 7]}, encoding=encoding_of_states(3), n_actions=3, first_action=5
    )
    assert log.actions.tolist() == ACTIONS
    unsigned = {**OK, "actions": np.array(ACTIONS, np.uint64)}
    log = read_log(**unsigned, encoding=encoding_of_states(3), n_actions=5, first_action=-2)
    assert log.actions.tolist() == [3, 2, 4]
    with pytest.raises(ConfigError, match="the action of transition 0 is 8; allowed: 5 to 7"):
        read_log(**{**OK, "actions": [8, 5, 7]}, encoding=encoding_of_states(3), n_actions=3, first_action=5)


TUPLES = spaces.Tuple((spaces.Discrete(32), spaces.Discrete(11), spaces.Discrete(2)))
HANDS = [(13, 10, 1), (4, 1, 0), (21, 9, 0)]
COLUMNS = tuple(np.array(column) for column in zip(*HANDS, strict=True))


@pytest.mark.parametrize(
    "observations",
    [
        HANDS,
        COLUMNS,
        np.array(HANDS),
        Frame(dict(zip("abc", COLUMNS, strict=True))),
        Series(np.array([*HANDS, None], object)[:3]),
    ],
    ids=["single ones", "columns", "an array", "a frame", "a series of tuples"],
)
def test_tuples_come_as_single_ones_or_as_columns(observations: Any) -> None:
    encoder = encoder_of(TUPLES)
    assert states_of(TUPLES, observations) == [encoder.state_of(hand) for hand in HANDS]


@pytest.mark.parametrize("kind", ["single ones", "columns", "a frame"])
def test_dictionaries_come_as_single_ones_or_as_columns(kind: str) -> None:
    space = spaces.Dict({"row": spaces.Discrete(5), "column": spaces.Discrete(7, start=2)})
    single = [{"row": row, "column": column} for row, column in ((0, 2), (4, 8), (3, 3))]
    columns = {name: np.array([each[name] for each in single]) for name in ("column", "row")}
    given = {"single ones": single, "columns": columns, "a frame": Frame(columns)}[kind]
    encoder = encoder_of(space)
    assert states_of(space, given) == [encoder.state_of(each) for each in single]


def test_arrays_of_numbers_have_an_index_or_are_vectors() -> None:
    whole = np.array([[1, 0], [2, 3], [0, 1]])
    space = spaces.MultiDiscrete([3, 4])
    for given in (whole, whole.tolist(), Frame({"a": whole[:, 0], "b": whole[:, 1]}), Series([*whole])):
        assert states_of(space, given) == [4, 11, 1]
    vectors = np.array([[0.5, -0.25], [0.0, 1.0], [1.0, -1.0]], np.float32)
    box = spaces.Box(-1.0, 1.0, (2,))
    for given in (
        vectors,
        vectors.tolist(),
        Frame({"x": vectors[:, 0], "v": vectors[:, 1]}),
        Series([*vectors]),
    ):
        assert states_of(box, given) == vectors.tolist()


def test_after_a_termination_the_next_observation_may_be_anything() -> None:
    log = read_log(**{**OK, "next_observations": [1, 2, -7]}, **STATES)
    assert log.next_states.tolist() == [1, 2, 2]
    columns = {
        **OK,
        "observations": np.zeros((3, 1)),
        "next_observations": np.array([[1.0], [0.5], [np.nan]]),
    }
    encoder = encoder_of(spaces.Box(0, 1, (1,)))
    log = read_log(**columns, encoding=encoder.encoding(vectors=True), n_actions=3)
    assert log.next_states.ravel().tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": [0, 3, 0]}, "the action of transition 1 is 3; allowed: 0 to 2"),
        ({"actions": [0, 0, -1]}, "the action of transition 2 is -1; allowed: 0 to 2"),
        ({"actions": [0.0, 1.5, 2.0]}, "the action of transition 1 is 1.5; allowed: integers"),
        ({"actions": [0, None, 2]}, "the action of transition 1 is None; allowed: integers"),
        ({"actions": [0, np.nan, 2]}, "the action of transition 1 is nan; allowed: integers"),
        ({"actions": [0, 2**70, 2]}, "the action of transition 1 is 1180591620717411303424|beyond 64 bits"),
        (
            {"actions": np.array([0, 2**63, 2], np.uint64)},
            "the action of transition 1 is 9223372036854775808",
        ),
        ({"actions": ["0", "1", "2"]}, "actions are <U1; allowed: integers"),
        ({"actions": [0, "1", 2.0]}, "actions are <U|the action of transition 1 is '1'"),
        ({"rewards": [0.0, None, 1.0]}, "the reward of transition 1 is None; allowed: numbers"),
        ({"rewards": [0.0, 1j, 1.0]}, "rewards are complex128; allowed: numbers"),
        ({"actions": [[0], [1], [2]]}, r"actions have shape \(3, 1\); allowed: one for each"),
        ({"actions": []}, "there are no transitions"),
        ({"actions": 3}, r"actions have shape \(\); allowed: one for each transition"),
        ({"rewards": [0.0, 1.0, np.nan]}, "the reward of transition 2 is nan; allowed: finite numbers"),
        ({"rewards": [0.0, -np.inf, 1.0]}, "the reward of transition 1 is -inf"),
        (
            {"rewards": [0.0, 1.0]},
            r"rewards have shape \(2,\); allowed: \(3,\), as many as there are actions",
        ),
        ({"rewards": ["a", "b", "c"]}, "rewards are <U1; allowed: numbers"),
        ({"rewards": [1.0, [2.0], 3.0]}, "rewards: it is no column"),
        ({"terminated": [0, 2, 0]}, "the terminated of transition 1 is 2; allowed: True and False"),
        ({"terminated": [0.0, 0.5, 0.0]}, "the terminated of transition 1 is 0.5; allowed: True and False"),
        (
            {"terminated": ["False", "False", "True"]},
            "the terminated of transition 0 is 'False'; allowed: True",
        ),
        ({"terminated": [0, np.nan, 0]}, "the terminated of transition 1 is nan"),
        ({"terminated": [False, None, True]}, "the terminated of transition 1 is None"),
        ({"terminated": [False]}, r"terminated have shape \(1,\)"),
        ({"observations": [0, 1, 3]}, r"the observation of transition 2 is not in Discrete\(3\)"),
        ({"observations": [0, 1]}, "observations: the observations are not a batch of 3"),
        ({"observations": [0.0, 1.5, 2.0]}, "the observation of transition 1 is 1.5; allowed: integers"),
        ({"next_observations": [0, -1, 1]}, "the next_observation of transition 1 is not in"),
        (
            {"next_observations": [1, None, None]},
            "the next_observation of transition 1 is None; allowed: integers",
        ),
        (
            {"next_observations": [1, np.nan, 0]},
            "the next_observation of transition 1 is nan; allowed: integers",
        ),
        ({"next_observations": ["a", "b", "c"]}, "next_observations are <U1; allowed: integers"),
        ({"next_observations": None}, "next_observations: "),
        ({"observations": 1}, "observations: "),
    ],
)
def test_what_is_no_log_is_refused_and_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_log(**{**OK, **change}, **STATES)


def test_bad_single_observations_and_vectors_are_named() -> None:
    encoding = encoder_of(TUPLES).encoding(vectors=False)
    columns = {**OK, "observations": HANDS, "next_observations": HANDS}
    for wrong, message in (
        ([*HANDS[:2], (13, 10, 2)], r"the observation of transition 2: \(13, 10, 2\) is not in"),
        (HANDS[:2], "there are 2 observations for 3 actions"),
        ([HANDS[0], None, HANDS[0]], "the observation of transition 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_log(**{**columns, "observations": wrong}, encoding=encoding, n_actions=3)
    vectors = np.array([[0.5], [np.nan], [0.1]])
    columns = {**OK, "observations": vectors, "next_observations": vectors}
    with pytest.raises(ConfigError, match=r"the observation of transition 1 is \[nan\]; allowed: finite"):
        read_log(**columns, encoding=encoder_of(spaces.Box(0, 1, (1,))).encoding(vectors=True), n_actions=3)


def test_fingerprints_tell_logs_apart() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"rewards": [0.5, -1.0, 2.5]},
        {"actions": [1, 1, 2]},
        {"terminated": [0, 0, 0]},
    ]
    prints = {read_log(**{**OK, **change}, **STATES).fingerprint() for change in changes}
    assert len(prints) == len(changes)


# ---- pandas and Minari, where they are installed; stand-ins everywhere


def test_pandas() -> None:
    frame = pandas.DataFrame(OK)
    log = read_log(**{name: frame[name] for name in OK}, **STATES)
    assert log.fingerprint() == read_log(**OK, **STATES).fingerprint()
    hands = pandas.DataFrame(HANDS, columns=["sum", "dealer", "ace"])
    encoder = encoder_of(TUPLES)
    assert states_of(TUPLES, hands) == [encoder.state_of(hand) for hand in HANDS]
    assert states_of(TUPLES, pandas.Series(HANDS)) == [encoder.state_of(hand) for hand in HANDS]


def episode(observations: Any, n: int, ended: bool) -> SimpleNamespace:
    terminations = np.zeros(n, bool)
    terminations[-1] = ended
    return SimpleNamespace(
        observations=observations, actions=np.arange(n) % 3, rewards=np.ones(n), terminations=terminations
    )


class Dataset:
    """What cdq uses of a minari.MinariDataset."""

    def __init__(self, *episodes: SimpleNamespace) -> None:
        self._episodes = episodes

    def iterate_episodes(self) -> Any:
        return iter(self._episodes)


def test_the_steps_of_minari_episodes() -> None:
    columns = read_minari(Dataset(episode(np.array([0, 1, 2]), 2, True), episode(np.array([5, 6]), 1, False)))
    assert [np.asarray(column).tolist() for column in columns] == [
        [0, 1, 5],
        [0, 1, 0],
        [1.0, 1.0, 1.0],
        [1, 2, 6],
        [False, True, False],
    ]


def test_structured_observations_of_minari() -> None:
    tuples = tuple(np.array(column) for column in zip(*HANDS, strict=True))
    before, _, _, after, _ = read_minari(Dataset(*[episode(tuples, 2, True)] * 2))
    assert [column.tolist() for column in before] == [[13, 4, 13, 4], [10, 1, 10, 1], [1, 0, 1, 0]]
    entries = {"a": np.array([1, 2, 3]), "b": np.zeros((3, 2))}
    before, _, _, after, _ = read_minari(Dataset(*[episode(entries, 2, True)] * 2))
    assert before["a"].tolist() == [1, 2, 1, 2]
    assert after["a"].tolist() == [2, 3, 2, 3]
    assert after["b"].shape == (4, 2)


def test_minari_datasets_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str) -> Dataset:
        if name != "toy/chain-v0":
            raise FileNotFoundError(f"Dataset {name} not found locally")
        return Dataset(episode(np.array([0, 1]), 1, True))

    monkeypatch.setitem(sys.modules, "minari", SimpleNamespace(load_dataset=load_dataset))  # type: ignore[arg-type]
    assert read_minari("toy/chain-v0")[0].tolist() == [0]
    with pytest.raises(ConfigError, match="no dataset 'toy/other-v0' here .*; download it: minari download"):
        read_minari("toy/other-v0")
    with pytest.raises(ConfigError, match="holds no episode"):
        read_minari(Dataset())


def test_without_minari_an_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pip install 'minari\\[hdf5\\]'"):
        read_minari("toy/chain-v0")


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "every other column": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: np.ascontiguousarray(array[::-1])[::-1],
    "as a frame": lambda array: pandas.DataFrame(array) if array.ndim == 2 else pandas.Series(array),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_columns_of_any_layout_in_memory(layout: str) -> None:
    """Replays read them as if they were laid out row after row."""
    random = np.random.default_rng(0)
    n, laid = 12, LAYOUTS[layout]
    masks = np.ones((n, 3), np.bool_)
    masks[:, 1] = random.random(n) < 0.5
    columns = [
        random.integers(0, 4, n),
        random.integers(0, 3, n),
        random.normal(size=n),
        random.integers(0, 4, n),
        random.random(n) < 0.2,
    ]
    for kinds in (np.bool_, np.uint8, np.float64):
        tables = []
        for change in (np.asarray, laid):
            agent = cdq.QLearner(random_model(4, 3, seed=0), seed=0)
            agent.learn_from(*map(change, columns), next_masks=change(masks.astype(kinds)))
            tables.append(agent.table.digest())
        assert tables[0] == tables[1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vectors_of_any_layout_in_memory(layout: str) -> None:
    vectors = np.random.default_rng(0).uniform(-1, 1, (6, 4))
    rest = [0, 1, 0, 1, 0, 1], np.arange(6.0), LAYOUTS[layout](vectors), np.zeros(6, np.bool_)
    tables = []
    for given in (vectors, LAYOUTS[layout](vectors)):
        agent = cdq.QLearner("CartPole-v1", features=cdq.TileCoding(), seed=0)
        tables.append(agent.learn_from(given, *rest).table.digest())
    assert tables[0] == tables[1]
