"""Update rules by name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import cdq
from cdq import rules
from cdq.errors import ConfigError


def test_each_rule_has_a_number_of_its_own() -> None:
    assert [rule.number for rule in rules.RULES.values()] == list(range(len(rules.RULES)))
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
