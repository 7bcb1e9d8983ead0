"""Fleets of environments with state and action sets of their own, on one table of keys and names."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError
from tests.mpi import jobs

STEPS = 9216
HOW: dict[str, Any] = {"sync_every": 512, "seed": 3, "gamma": 0.9}


def corridor(cells: str, up: bool) -> cdq.MDP:
    """A corridor of cells, by letters, whose last one pays 1; *up* is an action that stays where it is, and pays -1."""
    n = len(cells)
    moves = [np.eye(n, k=-1), np.eye(n, k=1), np.eye(n)][: 2 + up]
    moves[0][0, 0] = 1.0
    moves[1][-1, -1] = 1.0
    rewards = np.zeros((n, 2 + up))
    rewards[-2, 1] = 1.0
    if up:
        rewards[:, 2] = -1.0
    ends = np.zeros((len(moves), n, n))
    ends[:, :, -1] = 1.0
    return cdq.MDP.from_arrays(
        np.stack(moves), rewards, terminated=ends.astype(bool), start=np.eye(n)[0], time_limit=40
    )


# The cells a, b, c, d; b, c, d, e and c, b, f: the same letter is the same place.
CELLS = ("abcd", "bcde", "cbf")
MAZES = [corridor("abcd", up=False), corridor("bcde", up=True), corridor("cbf", up=False)]
ACTIONS = [["left", "right"], ["left", "right", "up"], ["left", "right"]]


KEYS = [cells.__getitem__ for cells in CELLS]


def fleet(**more: Any) -> cdq.QLearner:
    return cdq.QLearner(MAZES, key=KEYS, actions=ACTIONS, **{**HOW, **more})


def test_common_states_have_the_visits_of_all() -> None:
    """Rows come in the order in which their keys do: a, b, c, d, e, f."""
    agent = fleet(exploration=1.0).learn(STEPS)
    visits = agent.table.visits
    assert visits.shape == (6, 3)
    alone = [cdq.QLearner(maze, exploration=1.0, workers=1, **HOW).learn(STEPS // 3) for maze in MAZES]
    assert int(visits.sum()) == STEPS
    assert visits[0, :2].min() > 0
    assert visits[1, :2].sum() > max(
        own.table.visits[CELLS[k].index("b")].sum() for k, own in enumerate(alone)
    )
    assert (visits[[0, 5], 2] == 0).all()  # cells of environments without "up"
    assert visits[[1, 2, 3], 2].min() > 0  # b, c and d are cells of the one that has it


def test_what_an_environment_lacks_is_never_chosen_nor_valued() -> None:
    """Values that would be chosen, and would be in every maximum, are put where two environments have no action."""
    agent = fleet(exploration=0.0)
    agent._state.merged.values[:, 2] = 1e6
    agent.learn(STEPS)
    table = agent.table
    assert (table.visits[[0, 5], 2] == 0).all()
    assert table.values[[0, 5], :2].max() <= 1e6  # from b and c, where "up" is another environment's
    assert agent.predict(0, 0) in (0, 1)
    assert agent.predict(2, 2) in (0, 1)
    assert agent.action_values(0, 0).shape == (2,)
    assert agent.action_values(0, 1).shape == (3,)


def test_columns_that_an_environment_lacks_are_in_no_maximum() -> None:
    alike = [corridor("abcd", up=False), corridor("abcd", up=True)]
    names = [["left", "right"], ["left", "right", "up"]]
    agent = cdq.QLearner(alike, actions=names, merge=cdq.Personal(0.0), **HOW)
    agent._state.merged.values[4:8, 2] = 1e6  # worker 0's own table, in the column of "up"
    agent.learn(STEPS)
    assert agent.tables[0].values[:, :2].max() <= 1.0
    assert (agent.tables[0].values[:, 2] == -np.inf).all()
    assert (agent.tables[0].visits[:, 2] == 0).all()
    assert agent.tables[1].visits[:3, 2].min() > 0
    assert agent.predict(2, 0) == agent.predict(2, 1) == 1


def test_actions_have_the_numbers_of_their_environment() -> None:
    """The same corridor, with its actions the other way round."""
    one = corridor("abcd", up=False)
    other = cdq.MDP.from_arrays(
        np.stack(matrices_of(one)[::-1]),
        rewards_of(one)[:, ::-1],
        terminated=ends_of(one),
        start=one.start,
        time_limit=40,
    )
    agent = cdq.QLearner([one, other], actions=[["left", "right"], ["right", "left"]], **HOW).learn(STEPS)
    assert [agent.predict(cell, 0) for cell in range(3)] == [1, 1, 1]
    assert [agent.predict(cell, 1) for cell in range(3)] == [0, 0, 0]
    assert agent.predict([0, 1, 2], 1).tolist() == [0, 0, 0]
    assert agent.policy(1)([0, 1, 2]).tolist() == [0, 0, 0]
    assert {rank: round(found.mean_length) for rank, found in agent.evaluate(20).items()} == {0: 3, 1: 3}
    usual = cdq.QLearner([one, one], **HOW).learn(STEPS)
    assert agent.table.digest() == usual.table.digest()


def matrices_of(model: cdq.MDP) -> list[Any]:
    made = np.zeros((model.n_actions, model.n_states, model.n_states))
    for pair in range(model.n_pairs):
        state, action = divmod(pair, model.n_actions)
        for place in range(model.offsets[pair], model.offsets[pair + 1]):
            made[action, state, model.next_state[place]] += model.probability[place]
    return list(made)


def rewards_of(model: cdq.MDP) -> Any:
    return np.add.reduceat(model.reward * model.probability, model.offsets[:-1]).reshape(model.n_states, -1)


def ends_of(model: cdq.MDP) -> Any:
    ends = np.zeros((model.n_actions, model.n_states, model.n_states), bool)
    ends[:, :, -1] = True
    return ends


@pytest.mark.parametrize("merge", ["pooled", "mean", cdq.Personal(20.0)])
def test_threads_and_processes_come_to_the_same_bits(merge: Any) -> None:
    digests = {
        comm: fleet(comm=comm, merge=merge).learn(STEPS).table.digest() for comm in ("inprocess", "zmq")
    }
    assert len(set(digests.values())) == 1


@pytest.mark.parametrize("merge", ["pooled", cdq.Personal(20.0)])
def test_files_and_checkpoints_hold_rows_and_names(merge: Any, tmp_path: Path) -> None:
    """The function is asked once, for good: files need none."""
    agent = fleet(merge=merge, checkpoint=tmp_path / "run").learn(STEPS)
    agent.save(tmp_path / "fleet.cdq")
    digest = agent.table.digest()
    for other in (
        cdq.QLearner.load(tmp_path / "fleet.cdq", MAZES),
        copy.deepcopy(agent),
        cdq.QLearner.resume(tmp_path / "run", MAZES),
    ):
        assert other.table.digest() == digest
        assert other.predict(2, 1) == agent.predict(2, 1)
    assert (
        cdq.QLearner.resume(tmp_path / "run", MAZES).learn(STEPS).table.digest()
        == fleet(merge=merge).learn(STEPS).learn(STEPS).table.digest()
    )
    with pytest.raises(cdq.CdqError):
        cdq.QLearner.load(tmp_path / "fleet.cdq", MAZES[::-1])


def test_environments_of_gymnasium_by_their_cells() -> None:
    """Two lakes, of which one is a part of the other: cells are equal where they lie."""
    small = gymnasium.make("FrozenLake-v1", desc=["SF", "FG"], is_slippery=False)
    large = gymnasium.make("FrozenLake-v1", desc=["SFF", "FFF", "FFG"], is_slippery=False)
    places = iter(
        [(0, 0), (0, 1), (1, 0), (1, 1), *((row, column) for row in range(3) for column in range(3))]
    )
    agent = cdq.QLearner([small, large], key=lambda cell: next(places), table="hash", **HOW).learn(3 * STEPS)
    assert agent.table.values.shape == (9, 4)
    assert [round(found.mean_length) for found in agent.evaluate(20).values()] == [2, 4]
    report = agent.report()
    assert list(report["agents"]) == [0, 1]


def test_ranks_of_mpi_come_to_the_same_bits() -> None:
    ranks = jobs.run_job(3, [jobs.START, "tests.mpi.programs", "learns_mazes"], timeout=100.0)
    assert ranks.returncode == 0, ranks.stderr
    assert ranks.stdout.count(f"table {fleet().learn(STEPS).table.digest()}") == 3


# ---- refusals


@pytest.mark.parametrize(
    ("envs", "how", "said"),
    [
        (MAZES, {}, r"say which are the same: key="),
        (MAZES[::2], {}, r"environment 1 .* has other observations or actions"),
        (MAZES, {"key": lambda cell: cell}, "have 2, 3, 2 actions, and nothing says which are the same"),
        (MAZES, {"actions": ACTIONS}, "have 4, 4, 3 states, and nothing says which are the same"),
        (
            MAZES,
            {"key": lambda cell: 0, "actions": ACTIONS},
            "observations 0 and 1 of environment 0 .* the same key",
        ),
        (
            MAZES,
            {"key": lambda cell: [cell], "actions": ACTIONS},
            "the key of observation 0 of environment 0",
        ),
        (MAZES, {"key": lambda cell: 1 / (cell - 2), "actions": ACTIONS}, "the key of observation 2 of"),
        (MAZES, {"key": "cell"}, "allowed: a function of an observation"),
        (MAZES, {"key": KEYS[:2], "actions": ACTIONS}, "key has 2 functions, and there are 3 environments"),
        (MAZES, {"key": lambda cell: cell, "actions": ACTIONS[:2]}, "actions names 2, 3 actions"),
        (
            MAZES,
            {"key": lambda cell: cell, "actions": [["l", "r"]] * 3},
            "name all actions of each environment",
        ),
        (MAZES, {"actions": [["l", "l"], ["l", "r"], ["l", "r"]]}, "no two the same"),
        (MAZES, {"actions": ["lr", "lru", "lr"]}, "a list of names for each environment"),
        (MAZES[0], {"key": lambda cell: cell}, "key is for environments that differ"),
        (MAZES[0], {"actions": [["left", "right"]]}, "actions is for environments that differ"),
        (["CartPole-v1"] * 2, {"key": lambda cell: cell}, "for environments with a model"),
    ],
)
def test_sets_are_checked_before_work_starts(envs: Any, how: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cdq.QLearner(envs, **how)


def test_a_worker_is_named() -> None:
    with pytest.raises(ConfigError, match=r"as in predict\(observation, 0\)"):
        fleet().predict(0)
    with pytest.raises(ConfigError, match=r"as in predict\(observation, 0\)"):
        fleet().learn_from([0], [0], [0.0], [0], [True])
