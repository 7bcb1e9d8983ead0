"""Environments of several agents that are refused, before anything is learnt, or fail while they are learnt."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import gymnasium
import pytest

import cdq
from cdq.errors import ConfigError, EnvironmentFailure, UnsupportedEnvironment
from tests.envs.agents import Corridors, Turns


@pytest.mark.parametrize(
    ("make", "arguments", "words"),
    [
        (Corridors, {"groups": "shared"}, "'n0' and 'n1' of 'shared' differ in their spaces"),
        (Corridors, {"groups": {"g": ["n1", "n2"]}}, "'n1' and 'n2' of 'g' differ"),
        (
            Corridors,
            {"groups": {"g": ["n9"]}},
            "group 'g' has 'n9', who is no agent; the agents are n0, n1, n2",
        ),
        (Corridors, {"groups": {"g": ["n0"], "h": ["n0"]}}, "'n0' is in the groups 'g' and 'h'"),
        (Corridors, {"groups": {"g": ["n0", "n0"]}}, "'n0' is in the groups 'g' and 'g'"),
        (Corridors, {"groups": {"n1": ["n0"]}}, "has the name of an agent that is not in it"),
        (Corridors, {"groups": {}}, "groups is {}"),
        (Corridors, {"groups": {"g": []}}, "groups is"),
        (Corridors, {"groups": {"g": "n0"}}, "groups is"),
        (Corridors, {"groups": "all"}, "groups is 'all'; allowed: 'own', 'shared'"),
        (Corridors, {"num_envs": 2}, "leave num_envs out"),
        (Corridors, {"bins": 4}, "bins does not go with"),
        (Corridors, {"features": cdq.TileCoding()}, "leave features out"),
        (Corridors, {"stepping": "model"}, "leave stepping out"),
        ("FrozenLake-v1", {"groups": "shared"}, "FrozenLake-v1 has no agents; leave groups out"),
        (lambda: Corridors(()), {}, "possible_agents is empty"),
    ],
)
def test_refused(make: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, UnsupportedEnvironment), match=words):
        cdq.QLearner(make, **arguments)


class Vectors(Corridors):
    """Agents whose observations have no number."""

    def observation_space(self, agent: str) -> Any:
        return gymnasium.spaces.Box(0.0, 1.0, (2,))


class Moves(Corridors):
    """Agents who act by real numbers."""

    def action_space(self, agent: str) -> Any:
        return gymnasium.spaces.Box(0.0, 1.0, (2,))


class Unnamed(Corridors):
    """Agents that are no list."""

    def __init__(self, listed: Any) -> None:
        super().__init__()
        self.possible_agents = listed


class Spaceless(Corridors):
    """Agents of whom one has no space."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def action_space(self, agent: str) -> Any:
        if agent == "n1":
            raise self.error
        return super().action_space(agent)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(Unnamed, None), "corridors: possible_agents is None; allowed: a list of names"),
        (partial(Unnamed, "n0"), "corridors: possible_agents is 'n0'; allowed: a list of names"),
        (partial(Unnamed, 3), "corridors: possible_agents is 3; allowed: a list of names"),
        (partial(Spaceless, KeyError("n1")), "agent 'n1': its spaces cannot be had: KeyError: 'n1'"),
        (
            partial(Spaceless, NotImplementedError()),
            "agent 'n1': its spaces cannot be had: NotImplementedError",
        ),
    ],
)
def test_agents_that_cannot_be_asked(make: Any, words: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=words):
        cdq.QLearner(make)


@pytest.mark.parametrize(
    "tasks",
    [
        cdq.Goals([1]),
        cdq.Goals("all"),
        cdq.Rewards(["a"], lambda s, a, r, s2: r[:, None]),
        cdq.Weights([[1.0]], lambda s, a, r, s2: r[:, None]),
    ],
)
@pytest.mark.parametrize("make", [Corridors, Turns, "cdq/Signals-v0", "cdq/Routing-v0"])
def test_several_tasks_are_of_one_table(make: Any, tasks: Any) -> None:
    with pytest.raises(ConfigError, match=r"tasks are of one table, and .* has several; leave tasks out"):
        cdq.QLearner(make, tasks=tasks)


@pytest.mark.parametrize(
    ("make", "words"), [(Vectors, "n0: observations in Box"), (Moves, "agent 'n0': continuous")]
)
def test_spaces_that_cannot_be_learnt(make: Any, words: str) -> None:
    with pytest.raises(UnsupportedEnvironment, match=words):
        cdq.QLearner(make)


def test_a_log_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"a log does not say which .*; learn the log of each agent by itself"
    ):
        cdq.QLearner(Corridors).learn_from([0], [0], [0.0], [0], [False])


def answering(change: Any) -> Any:
    """Return a class of corridors whose answers are changed."""

    class Changed(Corridors):
        def step(self, actions: Any) -> Any:
            return change(*super().step(actions))

    return Changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda o, r, e, c, i: (o, r, e, c), "allowed: a tuple of five dictionaries"),
        (lambda o, r, e, c, i: ([1], r, e, c, i), r"the observations are \[1\], list"),
        (lambda o, r, e, c, i: (o, {**r, "n1": "much"}, e, c, i), "n1: the reward is 'much'"),
        (lambda o, r, e, c, i: (o, r, {**e, "n2": 0.5}, c, i), "n2: terminated is 0.5"),
        (lambda o, r, e, c, i: ({**o, "n1": 99}, r, e, c, i), "n1: the observation 99 is not in"),
        (
            lambda o, r, e, c, i: ({**o, "stranger": 0}, r, e, c, i),
            "agent 'stranger', who is none of possible_agents",
        ),
        (
            lambda o, r, e, c, i: (o, {"n0": 0.0, "n2": 0.0}, e, c, i),
            "n1: there is an observation of it, and no",
        ),
        (
            lambda o, r, e, c, i: ({"n0": 0, "n1": 0}, r, e, c, i),
            "n2: there is a reward of it, and no observation",
        ),
        (lambda o, r, e, c, i: (o, r, e, c, {"n0": {"discount": 7}}), "n0: the discount in the info is 7"),
    ],
)
def test_answers_that_cannot_be_learnt_name_the_agent(change: Any, words: str) -> None:
    agent = cdq.QLearner(answering(change), seed=0)
    with pytest.raises(EnvironmentFailure, match=words):
        agent.learn(100)
    assert not agent.table.visits.any()


class Unmovable(Turns):
    """Turns in which nobody leaves whose episode ended."""

    def step(self, action: int | None) -> None:
        if action is not None:
            super().step(action)


class NoList(Turns):
    """Turns without a list of agents."""

    @property
    def agents(self) -> Any:
        raise AttributeError("no list of agents")

    @agents.setter
    def agents(self, value: Any) -> None:
        pass


class Stranger(Turns):
    """Turns in which somebody's turn comes who is not known."""

    def step(self, action: int | None) -> None:
        super().step(action)
        self.agent_selection = "nobody"


class Raising(Corridors):
    """Corridors that raise."""

    def step(self, actions: Any) -> Any:
        raise RuntimeError("the bridge is up")


class Unlisted(Corridors):
    """Corridors that list somebody who is not known, once all others ended."""

    def step(self, actions: Any) -> Any:
        parts = super().step(actions)
        self.agents = self.agents or ["nobody"]
        return parts


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Unmovable, r"its episode has ended, and step\(None\) does not remove it from agents"),
        (NoList, "no list of agents"),
        (Stranger, "the turn of agent 'nobody', who is none of possible_agents"),
        (Raising, "step raised RuntimeError: the bridge is up"),
        (Unlisted, "agents has 'nobody', who is none of possible_agents"),
    ],
)
def test_environments_that_break_the_rules(make: Any, words: str) -> None:
    with pytest.raises(EnvironmentFailure, match=words):
        cdq.QLearner(make, seed=0).learn(3000)


def test_what_makes_the_same_twice() -> None:
    env = Corridors()
    agent = cdq.QLearner(lambda: env, seed=0).learn(300)
    with pytest.raises(ConfigError, match="returned the same environment twice"):
        agent.evaluate(2)


def test_agents_that_are_not_listed() -> None:
    class Silent:
        agents: ClassVar = ["a"]

        def observation_space(self, agent: str) -> Any:
            return gymnasium.spaces.Discrete(2)

        def step(self, actions: Any) -> Any:
            raise AssertionError

    with pytest.raises(UnsupportedEnvironment, match="has several agents and no possible_agents"):
        cdq.QLearner(Silent)
