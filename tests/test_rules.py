"""Update rules by name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import cdq
from cdq import rules
from cdq.errors import ConfigError
from cdq.job import Hosting


def test_each_rule_has_a_number_of_its_own() -> None:
    every = [*rules.RULES.values(), rules.as_rule(cdq.Hysteretic(0.1))]
    assert len({rule.number for rule in every}) == len(every)
    assert rules.RULES["q-learning"] is rules.Q_LEARNING


@pytest.mark.parametrize("name", rules.RULES)
def test_a_rule_is_found_by_its_name(name: str) -> None:
    assert rules.as_rule(name).name == name


@pytest.mark.parametrize("name", ["Q-learning", "", None, 0, ["sarsa"], b"sarsa"])
def test_anything_else_is_refused_with_what_is_allowed(name: Any) -> None:
    with pytest.raises(ConfigError, match="allowed: 'q-learning', 'expected-sarsa', 'sarsa', 'double-q'"):
        rules.as_rule(name)


@pytest.mark.parametrize("name", rules.RULES)
def test_each_rule_is_documented(name: str) -> None:
    """The module says of each what merging does with it, the learner what it moves values towards."""
    assert f'\n"{name}"\n' in (rules.__doc__ or "")
    assert f'"{name}"' in (inspect.getdoc(cdq.QLearner) or "")


@pytest.mark.parametrize("text", ["hysteretic(0.01)", "hysteretic:0.01", " hysteretic( 1e-2 ) "])
def test_the_hysteretic_rule_is_written_with_its_step_size(text: str) -> None:
    assert rules.as_rule(text) == rules.as_rule(cdq.Hysteretic(0.01))
    assert rules.as_rule(rules.as_rule(text).name) == rules.as_rule(text)


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan"), "0.1", None, True])
def test_a_step_size_that_is_none(beta: Any) -> None:
    with pytest.raises(ConfigError, match="beta of Hysteretic is .*; allowed: a number from 0 to 1"):
        cdq.Hysteretic(beta)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hysteretic", "rule is 'hysteretic'; allowed: 'q-learning'"),
        ("hysteretic()", r"write it as hysteretic\(0.01\)"),
        ("hysteretic(a)", r"write it as hysteretic\(0.01\)"),
        ("hysteretic(0.1", r"rule is 'hysteretic\(0.1'; allowed: 'q-learning'"),
        ("hysteretic(2)", "beta of Hysteretic is 2.0; allowed: a number from 0 to 1"),
        ("hysteretic:-0.1", "beta of Hysteretic is -0.1; allowed: a number from 0 to 1"),
    ],
)
def test_a_text_that_says_none(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        rules.as_rule(text)


def test_merging_does_not_read_step_sizes_that_were_not_spent() -> None:
    hysteretic = {"rule": cdq.Hysteretic(0.1), "workers": 2}
    for merge in ("pooled", "importance", "affine"):
        with pytest.raises(ConfigError, match=f"merge='{merge}' weighs visits by .* give merge='visits'"):
            cdq.QLearner("FrozenLake-v1", merge=merge, **hysteretic)
    with pytest.raises(ConfigError, match="overlap weighs visits"):
        cdq.QLearner("FrozenLake-v1", merge="visits", overlap=True, **hysteretic)
    with pytest.raises(ConfigError, match="is for tables, and features are learnt"):
        cdq.QLearner("CartPole-v1", rule=cdq.Hysteretic(0.1))
    with pytest.raises(ConfigError, match="merge='pooled' weighs visits"):
        cdq.QLearner("FrozenLake-v1", rule=cdq.Hysteretic(0.1), comm="zmq")  # others may join
    hosted = cdq.QLearner("FrozenLake-v1", rule=cdq.Hysteretic(0.1), comm="zmq", merge="visits")
    with pytest.raises(ConfigError, match="an asynchronous hub weighs visits"):
        hosted.learn(100, hosting=Hosting("tcp://127.0.0.1:0", asynchronous=True))
    agent = cdq.QLearner("FrozenLake-v1", merge="visits", seed=0, **hysteretic).learn(2000)
    assert agent.settings.rule.name == "hysteretic(0.1)"
    assert cdq.QLearner("FrozenLake-v1", rule=cdq.Hysteretic(0.1)).settings.merge == "pooled"
