"""Environments of several agents: what each table learns, on every backend, and what is refused."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import cdq
from cdq.envs.blocks import BlockEncoder
from cdq.errors import ConfigError, EnvironmentFailure, FileError
from tests.envs.agents import Corridors, Equal, Lakes, Matrix, Turns

STEP = {"step_size": 0.1, "sync_every": 500}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other processes import this one's test modules, as a user's would be."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


class Seeded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A lake whose first reset has the seed that `Lakes` gives it."""

    def __init__(self, number: int) -> None:
        super().__init__(gymnasium.make("FrozenLake-v1"))
        self.number: int | None = number

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        seed, self.number = self.number, None
        return super().reset(seed=seed, options=options)


def lakes_in_lockstep(n: int = 8) -> SyncVectorEnv:
    return SyncVectorEnv([partial(Seeded, number) for number in range(n)])


@pytest.mark.parametrize("rule", ["q-learning", "expected-sarsa", "sarsa", "double-q"])
def test_a_shared_table_has_the_bits_of_as_many_environments(rule: str) -> None:
    shared = cdq.QLearner(Lakes, groups="shared", seed=3, rule=rule, **STEP).learn(16_000)
    lanes = cdq.QLearner(lakes_in_lockstep, seed=3, rule=rule, **STEP).learn(16_000)
    assert shared.tables["shared"].digest() == lanes.table.digest()
    assert shared.history[-1].episodes == lanes.history[-1].episodes > 100


class OneThere(Lakes):
    """Lakes of which one has an agent, and the others nobody."""

    def __init__(self, n: int, there: str) -> None:
        super().__init__(n)
        self.there = there

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        observations, _ = super().reset()
        return {self.there: observations[self.there]}, {}

    def step(self, actions: Any) -> Any:
        return tuple({self.there: part[self.there]} for part in super().step(actions))


def test_a_table_each_has_the_bits_of_agents_alone() -> None:
    together = cdq.QLearner(Lakes, seed=3, **STEP).learn(16_000)
    for name in ("n0", "n3", "n7"):
        alone = cdq.QLearner(partial(OneThere, 8, name), seed=3, **STEP).learn(16_000)
        assert alone.tables[name].digest() == together.tables[name].digest(), name
        others = [alone.tables[other] for other in alone.tables if other != name]
        assert not any(table.visits.any() for table in others)


def test_agents_with_spaces_of_their_own() -> None:
    agent = cdq.QLearner(Corridors, seed=1, exploration=0.3).learn(60_000)
    assert [table.shape for table in agent.tables.values()] == [(4, 2), (5, 3), (6, 4)]
    for name, length in (("n0", 4), ("n1", 5), ("n2", 6)):
        table = agent.tables[name]
        assert table.policy()[:-1].tolist() == [1] * (length - 1)
        assert table.values[-1].tolist() == [0.0] * table.n_actions, "nothing follows the end"
        np.testing.assert_allclose(table.values[0, 1], 0.99 ** (length - 2), atol=1e-6)
        assert agent.predict(0, name) == 4, "actions are numbered from 3"
    assert np.isneginf(agent.table.values[:4, 2:]).all()
    assert not agent.table.visits[:4, 2:].any()


def test_default_step_size_is_constant() -> None:
    assert cdq.QLearner(Corridors).settings.step_size == cdq.Constant(0.05)


def test_groups_share_a_table() -> None:
    agent = cdq.QLearner(Equal, groups={"pair": ["n0", "n2"]}, seed=0).learn(3000)
    assert list(agent.tables) == ["pair", "n1"]
    assert agent.predict(1, "n2") == agent.predict(1, "pair")
    assert agent.tables["n2"].digest() == agent.tables["n0"].digest() == agent.tables["pair"].digest()
    with pytest.raises(KeyError, match=r"unknown table 'n3'; known: n0, n1, n2, pair"):
        agent.tables["n3"]
    assert agent.tables["pair"].visits.sum() > agent.tables["n1"].visits.sum() > 0


def test_predictions_by_name() -> None:
    agent = cdq.QLearner(Corridors, seed=1, exploration=0.3).learn(30_000)
    assert agent.predict([0, 1, 2], "n1").tolist() == [4, 4, 4]
    assert agent.predict(0, "n2", [1, 0, 0, 0]) == agent.predict(0, "n2", action_mask=[1, 0, 0, 0]) == 3
    assert agent.action_values(0, "n0").shape == (2,)
    policy = agent.policy("n1")
    assert policy(2) == 4
    assert agent.predict(0, "n1", deterministic=False) in {3, 4, 5}
    with pytest.raises(ConfigError, match="whose observation is it"):
        agent.predict(0)
    with pytest.raises(ConfigError, match=r"unknown name 'n4'; known: n0, n1, n2"):
        agent.predict(0, "n4")
    with pytest.raises(ConfigError, match="Discrete"):
        agent.predict(4, "n0")


def test_a_name_where_there_are_no_agents() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0)
    with pytest.raises(ConfigError, match="one table, which has no name: leave 'n0' out"):
        agent.predict(0, "n0")
    assert agent.predict(0, [0, 1, 0, 0]) == 1, "a mask may still be the second argument"
    with pytest.raises(ConfigError, match=r"one table, which has no name; use table"):
        agent.tables  # noqa: B018


def test_evaluation_and_report_have_a_line_for_each() -> None:
    agent = cdq.QLearner(Corridors, seed=1, exploration=0.3).learn(30_000)
    found = agent.evaluate(20, seed=5)
    assert {name: (one.mean_return, one.mean_length) for name, one in found.items()} == {
        "n0": (1.0, 3.0),
        "n1": (1.0, 4.0),
        "n2": (1.0, 5.0),
    }
    assert found == agent.evaluate(20, seed=5)
    report = agent.report()
    assert report["mean_return"] == 1.0
    assert {name: one["mean_return"] for name, one in report["agents"].items()} == dict.fromkeys(found, 1.0)
    assert agent.learn(20_000, until=cdq.MeanReturn(0.9)).report()["mean_return"] == 1.0


def test_files_hold_all_tables(tmp_path: Path) -> None:
    agent = cdq.QLearner(Corridors, seed=1, groups={"long": ["n2"]}).learn(3000)
    agent.save(tmp_path / "agents.safetensors")
    back = cdq.QLearner.load(tmp_path / "agents.safetensors", Corridors)
    assert back.settings.groups == {"long": ["n2"]}
    for name, table in agent.tables.items():
        assert back.tables[name].digest() == table.digest()
    whole = cdq.QTable.load(tmp_path / "agents.safetensors")
    np.testing.assert_array_equal(whole.values, agent.table.values)
    assert cdq.QTable.load(tmp_path / "agents.safetensors", "long").digest() == agent.tables["n2"].digest()
    with pytest.raises(ConfigError, match="unknown table 'n2'; known: long, n0, n1"):
        cdq.QTable.load(tmp_path / "agents.safetensors", "n2")
    agent.tables["long"].save(tmp_path / "one.safetensors")
    with pytest.raises(ConfigError, match="holds one table, which has no name; leave 'long' out"):
        cdq.QTable.load(tmp_path / "one.safetensors", "long")
    with pytest.raises(cdq.errors.TableError, match="differ"):
        cdq.QLearner.load(tmp_path / "agents.safetensors", partial(Corridors, (4, 5, 7)))


@pytest.mark.parametrize("make", [Corridors, Turns])
@pytest.mark.parametrize("table", ["dense", "hash"])
def test_three_processes_have_the_same_bits_again(make: Any, table: str) -> None:
    runs = [cdq.QLearner(make, seed=2, workers=3, table=table, **STEP).learn(9000) for _ in range(2)]
    assert runs[0].table.digest() == runs[1].table.digest()
    assert runs[0].report(play=False)["workers_are"].startswith("processes")


def test_a_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"seed": 2, **STEP}
    cdq.QLearner(Corridors, checkpoint=tmp_path, **settings).learn(3000)
    resumed = cdq.QLearner.resume(tmp_path, Corridors).learn(3000)
    twice = cdq.QLearner(Corridors, **settings).learn(3000).learn(3000)
    assert resumed.table.digest() == twice.table.digest()


def test_hashed_tables_keep_agents_apart() -> None:
    agent = cdq.QLearner(Equal, seed=1, table="hash", exploration=0.3).learn(20_000)
    for table in agent.tables.values():
        assert table.keys is not None
        assert set(table.keys.tolist()) <= set(range(5))
        assert table.n_states >= 4
    assert agent.predict(2, "n1") == 4
    dense = cdq.QLearner(Equal, seed=1, exploration=0.3).learn(20_000)
    hashed, plain = agent.tables["n2"], dense.tables["n2"]
    assert hashed.keys is not None
    np.testing.assert_array_equal(hashed.values, plain.values[hashed.keys.astype(np.int64)])


# ---- turns


def learnt_by_hand(steps: int) -> dict[str, Any]:
    """Return the tables of `Turns` by the definition, where every agent always takes its first action."""
    env, values = Turns(goal=7), {name: np.zeros((10, 2)) for name in ("p0", "p1")}
    opened: dict[str, tuple[int, int]] = {}
    env.reset()
    turns = 0
    while True:
        agent = env.agent_selection
        observation, reward, over, _, _ = env.last()
        if agent in opened:
            at, action = opened.pop(agent)
            target = reward + (0.0 if over else 0.9 * values[agent][observation, :1].max())
            values[agent][at, action] += 0.5 * (target - values[agent][at, action])
        if over:
            env.step(None)
            if not env.agents:
                env.reset()
            continue
        if turns == steps:
            return values
        opened[agent] = (observation, 0)
        env.step(1)
        turns += 1


class FirstAction(Turns):
    """Turns in which the mask in an info allows the first action alone."""

    def last(self, observe: bool = True) -> Any:
        return (*super().last()[:4], {"action_mask": np.array([1, 0], np.int8)})


def test_a_transition_closes_at_the_next_turn_of_its_agent() -> None:
    agent = cdq.QLearner(FirstAction, seed=0, gamma=0.9, step_size=0.5, sync_every=100).learn(70)
    by_hand = learnt_by_hand(70)
    for name, values in by_hand.items():
        np.testing.assert_array_equal(agent.tables[name].values, values)
    assert agent.history[-1].episodes == 20
    assert agent.tables["p0"].visits.sum() + agent.tables["p1"].visits.sum() == 70


def test_turns_are_evaluated_by_agent() -> None:
    agent = cdq.QLearner(FirstAction, seed=0, gamma=0.9).learn(700)
    found = agent.evaluate(3)
    assert found["p0"][:3] == (4 + 30, 0.0, 4.0)
    assert found["p1"][:3] == (3 + 30, 0.0, 3.0), "what came before its first turn is nobody's doing"


# ---- agents that come and go


class Shifts(Corridors):
    """Agents of whom one leaves without a word at every fourth step of six, and comes back two steps later."""

    def __init__(self) -> None:
        super().__init__((50, 50, 50), limit=12)

    def step(self, actions: Any) -> Any:
        parts = super().step({**dict.fromkeys(self.agents, 3), **actions})
        gone = "n1" if self.steps % 6 in {4, 5} else None
        return tuple({name: value for name, value in part.items() if name != gone} for part in parts)


def test_absent_agents_make_no_transition() -> None:
    agent = cdq.QLearner(Shifts, seed=0, step_size=0.1).learn(36 * 5)
    visits = {name: int(table.visits.sum()) for name, table in agent.tables.items()}
    assert visits == {"n0": 12 * 5, "n1": 6 * 5, "n2": 12 * 5}


def test_the_last_step_of_an_agent_is_learnt_and_a_cut_bootstraps() -> None:
    cut = cdq.QLearner(
        partial(Corridors, (2, 3), 1), seed=0, initial_value=1.0, gamma=0.5, step_size=1.0
    ).learn(200)
    assert cut.tables["n0"].values.tolist() == [[0.5, 1.0], [1.0, 1.0]], (
        "right ends, left is cut off where it was"
    )


def test_a_given_environment_is_played_itself() -> None:
    env = Corridors()
    agent = cdq.QLearner(env, seed=1, exploration=0.3).learn(20_000)
    assert agent.evaluate(2)["n2"].mean_return == 1.0
    agent.close()
    assert isinstance(agent._task.encoder, BlockEncoder)


def test_a_matrix_game_of_one_state() -> None:
    agent = cdq.QLearner(Matrix, seed=0, gamma=0.0, exploration=0.3).learn(5000)
    assert agent.tables["row"].shape == (1, 3)


def test_a_file_imports_no_module(tmp_path: Path) -> None:
    name = "tests.envs.agents:Corridors"
    agent = cdq.QLearner(name, seed=1).learn(300)
    agent.save(tmp_path / "agents.safetensors")
    with pytest.raises(ConfigError, match="no module is imported because a file names it"):
        cdq.QLearner.load(tmp_path / "agents.safetensors")
    assert cdq.QLearner.load(tmp_path / "agents.safetensors", name).table.digest() == agent.table.digest()
    with pytest.raises(FileError):
        cdq.QLearner.load(tmp_path / "none.safetensors", name)


def test_a_given_environment_is_copied_for_other_workers() -> None:
    given, made = (cdq.QLearner(like, seed=1, workers=2).learn(2000) for like in (Corridors(), Corridors))
    assert given.table.digest() == made.table.digest()


def test_a_copy_learns_on_as_the_learner_does() -> None:
    agent = cdq.QLearner(Corridors, seed=1).learn(300)
    twin = copy.deepcopy(agent)
    assert twin.tables["n1"].digest() == agent.tables["n1"].digest()
    assert twin.learn(300).steps == 600


def test_another_environment_is_evaluated_by_agent() -> None:
    agent = cdq.QLearner(Corridors, seed=1, exploration=0.3).learn(30_000)
    found = agent.evaluate(3, env=partial(Corridors, limit=4))
    assert {name: one.mean_return for name, one in found.items()} == {"n0": 1.0, "n1": 1.0, "n2": 0.0}


class Numbered(Equal):
    """Agents whose names are numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.possible_agents = [0, 1, 2]  # type: ignore[assignment]
        self.lengths = dict.fromkeys(self.possible_agents, 5)


def test_names_may_be_numbers() -> None:
    agent = cdq.QLearner(Numbered, seed=0, exploration=0.3, groups={"both": ["0", "2"]}).learn(20_000)
    assert agent.predict(0, 1) == agent.predict(0, "1") == agent.predict(0, 2) == 4
    assert list(agent.tables) == ["both", "1"]


class Masked(Corridors):
    """Corridors in which the first agent must not go back, as its info says."""

    def step(self, actions: Any) -> Any:
        *parts, infos = super().step(actions)
        return (*parts, self._told(infos))

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        observations, infos = super().reset()
        return observations, self._told(infos)

    def _told(self, infos: Any) -> Any:
        return {**infos, "n0": {"action_mask": np.array([0, 1], np.int8)}} if "n0" in infos else infos


def test_masks_of_infos() -> None:
    heeding = cdq.QLearner(Masked, seed=0, exploration=0.5).learn(3000)
    assert heeding.tables["n0"].visits[:, 0].sum() == 0
    assert heeding.tables["n1"].visits[:, 0].sum() > 0
    blind = cdq.QLearner(Masked, seed=0, exploration=0.5, masks=False).learn(3000)
    assert blind.tables["n0"].visits[:, 0].sum() > 0
    with pytest.raises(EnvironmentFailure, match="n1: there is no action_mask in its observation or info"):
        cdq.QLearner(Masked, masks=True).learn(300)
