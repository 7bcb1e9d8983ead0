"""`QLearner.from_log`: logs without an environment, whose states and actions have names."""

from __future__ import annotations

import copy
import pickle
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import cdq
import cdq.errors
from cdq.errors import ConfigError, FileError
from cdq.storage.files import read_tensors, write_tensors
from tests.reference.offline import replay
from tests.strategies import DTYPES

# A way home: walking takes 1 a step; the bus, at the shop alone, takes 3 and ends there.
WALK: dict[str, Any] = {
    "states": ["office", "shop", "park", "shop", "home"],
    "actions": ["walk", "walk", "walk", "bus", "sleep"],
    "rewards": [-1.0, -1.0, -1.0, -3.0, 0.0],
    "next_states": ["shop", "park", "home", "home", None],
    "terminated": [False, False, False, False, True],
}


def learnt(**changes: Any) -> cdq.QLearner:
    return cdq.QLearner.from_log(
        **{**WALK, "passes": 200, "seed": 0, "gamma": 1.0, "step_size": 0.5, **changes}
    )


def test_names_go_in_and_come_out() -> None:
    agent = learnt()
    assert [agent.predict(state) for state in ("office", "shop", "park", "home")] == [
        "walk",
        "walk",
        "walk",
        "sleep",
    ]
    assert agent.names is not None
    assert agent.names.states == ("office", "shop", "park", "home")
    assert agent.names.actions == ("walk", "bus", "sleep")
    assert agent.table.values[1].tolist() == pytest.approx([-2.0, -3.0, 0.0])
    assert agent.table.visits.tolist() == [[200, 0, 0], [200, 200, 0], [200, 0, 0], [0, 0, 200]]
    assert agent.steps == 1000
    assert len(agent.history) > 0


def test_actions_that_a_state_does_not_have_are_worth_nothing() -> None:
    """All rewards are negative: a pair that nobody tried would be the best of all."""
    agent = learnt(gamma=0.9)
    assert agent.predict("office") == "walk"
    np.testing.assert_allclose(agent.table.values[0, 0], -1 - 0.9 - 0.81, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_log_is_learnt_as_defined(workers: int, dtype: str) -> None:
    random, n = np.random.default_rng(0), 400
    states, actions, successors = (random.integers(0, high, n) for high in (9, 4, 9))
    rewards, ends = random.normal(size=n), random.random(n) < 0.2
    named = [f"state {i}" for i in range(9)], [("act", i) for i in range(4)]
    agent = cdq.QLearner.from_log(
        [named[0][i] for i in states],
        [named[1][i] for i in actions],
        rewards,
        [named[0][i] for i in successors],
        ends,
        passes=3,
        gamma=0.9,
        step_size=0.25,
        seed=0,
        workers=workers,
        dtype=dtype,
    )
    assert agent.names is not None
    rows = [agent.names.number_of("state", name) for name in named[0]]
    columns = [agent.names.number_of("action", name) for name in named[1]]
    visits = np.zeros((9, 4), int)
    np.add.at(visits, (states, actions), 3)
    assert agent.table.visits[np.ix_(rows, columns)].tolist() == visits.tolist()
    if workers == 1:
        values, counts, tried = np.zeros((9, 4)), np.zeros((9, 4), int), visits > 0
        log = zip(
            states.tolist(),
            actions.tolist(),
            rewards.tolist(),
            successors.tolist(),
            ends.tolist(),
            strict=True,
        )
        replay(values, counts, lambda count: 0.25, 0.9, [(*row, tried[row[3]].tolist()) for row in log] * 3)
        np.testing.assert_allclose(agent.table.values[np.ix_(rows, columns)], values, rtol=1e-4, atol=1e-4)


class Move(Enum):
    WALK, BUS, SLEEP = range(3)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: (name, len(name)),
        str.encode,
        frozenset,
        lambda name: sum(map(ord, name)),
        lambda name: sum(map(ord, name)) * 1.25,
        lambda name: (None if name == "office" else name, (1, (2.5,))),
        np.str_,
    ],
    ids=range(7),
)
def test_names_are_of_any_hashable_kind(rename: Any, tmp_path: Path) -> None:
    names = {name: rename(name) for name in ("office", "shop", "park", "home")}
    changes = {column: [names.get(name) for name in WALK[column]] for column in ("states", "next_states")}
    agent = learnt(**changes)
    agent.save(tmp_path / "agent")
    loaded = cdq.QLearner.load(tmp_path / "agent")
    for one in (agent, loaded):
        assert [one.predict(name) for name in names.values()] == ["walk", "walk", "walk", "sleep"]


def test_frames_arrays_and_categories_are_columns() -> None:
    frame = pandas.DataFrame(WALK)
    expected = learnt().table.digest()
    for kind in ("object", "category", "string"):
        columns = {name: frame[name].astype(kind) for name in ("states", "actions")}
        assert learnt(**columns).table.digest() == expected
    cells = np.array([[0, 0], [0, 1], [1, 1]])
    agent = cdq.QLearner.from_log(
        cells,
        np.array([1, 2, 1]),
        np.ones(3),
        pandas.DataFrame(np.roll(cells, -1, axis=0)),
        [0, 0, 1],
        seed=0,
    )
    assert agent.predict((0, 1)) == agent.predict(np.array([0, 1])) == 2


# ---- files and copies


def test_it_is_saved_loaded_and_goes_on(tmp_path: Path) -> None:
    agent = learnt()
    agent.save(tmp_path / "agent")
    assert b"pickle" not in (tmp_path / "agent").read_bytes()
    loaded = cdq.QLearner.load(tmp_path / "agent")
    for other in (loaded, copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))):
        assert other.table.digest() == agent.table.digest()
        assert other.names.states == agent.names.states
        assert repr(list(other.history)) == repr(list(agent.history))
        assert other.predict("shop") == "walk"
        other.learn_from(*WALK.values(), passes=5)
        assert other.steps == agent.steps + 25


def test_names_that_need_pickle_stay_in_memory(tmp_path: Path) -> None:
    agent = learnt(actions=[Move[name.upper()] for name in WALK["actions"]])
    assert agent.predict("shop") is Move.WALK
    with pytest.raises(ConfigError, match="a name of the type Move, which a file cannot hold"):
        agent.save(tmp_path / "agent")
    assert not list(tmp_path.iterdir())
    assert pickle.loads(pickle.dumps(agent)).predict("shop") is Move.WALK


def test_files_with_other_names_are_refused(tmp_path: Path) -> None:
    learnt().save(tmp_path / "agent")
    tensors, header = read_tensors(tmp_path / "agent")
    for data, error in (
        (b"{}", "cannot be read"),
        (b'{"states": ["a"], "actions": ["b"]}', "names, masks or features differ"),
    ):
        write_tensors(tmp_path / "wrong", {**tensors, "names": np.frombuffer(data, np.uint8)}, header)
        with pytest.raises((FileError, cdq.errors.TableError), match=error):
            cdq.QLearner.load(tmp_path / "wrong")


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"states": ["a"]}, "there are 1 states; allowed: 5"),
        ({"states": "office"}, "states are 'office'; allowed: a column"),
        ({"states": [[1], "a", "b", "c", "d"]}, "the state of transition 0 is .*cannot be hashed"),
        (
            {"states": ["a", float("nan"), "b", "c", "d"]},
            "the state of transition 1 is nan, which is missing",
        ),
        ({"actions": ["a"] * 6}, "there are 6 actions"),
        ({"next_states": [float("nan")] * 5}, "the next_state of transition 0 is nan, which is missing"),
        ({"rewards": [0, 1, float("nan"), 0, 0]}, "the reward of transition 2 is nan"),
        ({"terminated": ["False"] * 5}, "the terminated of transition 0 is 'False'"),
        ({name: [] for name in WALK}, "there are 0 names of states|no transitions"),
        ({"terminated": True}, r"terminated have shape \(\); allowed: one for each transition"),
        ({"terminated": [[0, 0, 0, 0, 1]]}, r"terminated have shape \(1, 5\)"),
        ({"terminated": None}, "the terminated of transition is None"),
        ({"checkpoint": "run"}, "a log is learnt without checkpoints: leave checkpoint out"),
        ({"passes": 0}, "passes is 0"),
        ({"passes": 10**400}, "passes is 1000"),
        ({"bins": 4}, "a log is learnt with a table of its states: leave out"),
        ({"table": "hash"}, "a log is learnt with a table of its states"),
        ({"features": cdq.TileCoding()}, "a log is learnt with a table of its states"),
        ({"stepping": "python"}, "a log is learnt with a table of its states"),
        ({"gamma": 2}, "gamma is 2"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_no_log_is_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        learnt(**changes)


def test_what_needs_an_environment_is_refused_in_words() -> None:
    agent = learnt()
    before = agent.table.digest()
    for call in (lambda: agent.learn(100), lambda: agent.evaluate(3), agent.report):
        with pytest.raises(
            ConfigError, match="a log has no environment to act in; learn more of it by learn_from"
        ):
            call()
    assert agent.table.digest() == before
    assert agent.steps == 1000


def test_later_batches_have_the_same_names() -> None:
    agent = learnt()
    before, tried = agent.table.digest(), agent._task.tried.copy()  # type: ignore[attr-defined]
    for column, wrong in (("states", "moon"), ("actions", "fly"), ("next_states", "moon")):
        kind = column.removesuffix("s")
        changed = {**WALK, column: [*WALK[column][:2], wrong, *WALK[column][3:]]}
        with pytest.raises(
            ConfigError, match=f"the {kind} of transition 2 is '{wrong}', which the log .*from_log"
        ):
            agent.learn_from(*changed.values())
    assert agent.table.digest() == before
    assert (agent._task.tried == tried).all()  # type: ignore[attr-defined]
    agent.learn_from(["office"], ["bus"], [5.0], ["home"], [True], passes=50)
    assert agent.predict("office") == "bus"
    with pytest.raises(ConfigError, match="'moon' is no state of the log"):
        agent.predict("moon")


def test_masks_of_ones_own_replace_what_was_tried() -> None:
    """The columns are those of `names.actions`."""
    agents = learnt(gamma=0.5, step_size=1.0), learnt(gamma=0.5, step_size=1.0)
    for agent, allowed in zip(agents, ([1, 1, 0], [0, 1, 0]), strict=True):
        agent.learn_from(["office"], ["walk"], [0.0], ["shop"], [False], next_masks=[allowed])
    worth = [agent.table.values[0, 0] for agent in agents]
    assert worth == [0.5 * max(agents[0].table.values[1, :2]), 0.5 * agents[0].table.values[1, 1]]


def test_a_table_to_begin_with() -> None:
    table = np.zeros((4, 3))
    table[1, 1] = 100.0
    agent = learnt(initial_table=table, step_size=1e-12)
    assert agent.predict("shop") == "bus"


def test_large_logs_of_one_worker() -> None:
    n = 300_000
    states = np.arange(n)
    agent = cdq.QLearner.from_log(
        states, states % 3, np.ones(n), np.roll(states, -1), np.arange(n) % 10 == 9, seed=0
    )
    assert agent.table.visits.sum() == agent.steps == n
    assert agent.predict(7) == 1


def test_all_of_a_learner_of_a_log_comes_back(tmp_path: Path) -> None:
    states, actions = ["home", ("shop", 3), 7], ["go", b"stay", None]
    agent = cdq.QLearner.from_log(
        states, actions, [1.0, 2.0, 0.5], [("shop", 3), 7, None], [False, False, True]
    )
    agent.save(tmp_path / "agent")
    loaded = cdq.QLearner.load(tmp_path / "agent")
    assert (loaded.names, loaded.history) == (agent.names, agent.history)
    assert hash(loaded.names) == hash(agent.names)
    assert loaded.table.digest() == agent.table.digest()
    assert (
        [loaded.predict(state) for state in states] == [agent.predict(state) for state in states] == actions
    )
    other = cdq.QLearner.from_log(states[::-1], actions, [1.0, 2.0, 0.5], states, [False, False, True])
    assert other.names != agent.names
    assert agent.names != (agent.names.states, agent.names.actions)
    assert other.learn_from(states, actions, [1.0, 2.0, 0.5], states, [False] * 3).history != agent.history
