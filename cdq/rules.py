"""Update rules: the targets towards which values move, by name.

"q-learning"
    r + discount max_b Q(s', b). Merging makes one table of the workers' steps, as `cdq.merges` says.
"expected-sarsa"
    r + discount sum_b pi(b | s') Q(s', b), pi being the epsilon-greedy policy of the sweep. A worker's targets are of
    its own table, so that the merged value is one of the mixture of the workers' policies, which are one policy up to
    a window. "pooled" reads the step sizes that visits spent, which are those of Q-learning.
"sarsa"
    r + discount Q(s', b), b being the action of the next sweep, chosen on the table of this one. Merging is that of
    "expected-sarsa". A window begins with fresh choices, of the merged table.
"double-q"
    r + discount Q_B(s', argmax_b Q_A(s', b)) for table A, or the same for B, by a coin. Merging treats the columns of
    both tables alike, each by the visits, step sizes and clock of its own: "pooled" reads the mass of a pair in one
    table, about half of what Q-learning spends on the pair. Its step size is 0.05 by default: with steps near 1 each
    table takes over single values of the other one.

A rule has a number and a case in the header `cdq/core/table/rules.h`, and a line in `RULES` here. Loops, tables, files,
communicators and the command line take it from there.
"""

from __future__ import annotations

from typing import NamedTuple

from cdq.errors import ConfigError


class UpdateRule(NamedTuple):
    """An update rule, as tables and loops know it.

    Attributes
    ----------
    name : str
        Name by which users, files and messages call it.
    number : int
        Number in the core's header.
    tables : int
        Tables of values that it learns; their columns stand side by side.
    acts_ahead : bool
        True if a target takes the action that is made next, which a log does not tell.
    step_size : float, optional
        Step size by default, of a rule that the usual one, which begins near 1, leads astray.
    """

    name: str
    number: int
    tables: int = 1
    acts_ahead: bool = False
    step_size: float | None = None


RULES = {
    rule.name: rule
    for rule in (
        UpdateRule("q-learning", 0),
        UpdateRule("expected-sarsa", 1),
        UpdateRule("sarsa", 2, acts_ahead=True),
        UpdateRule("double-q", 3, tables=2, step_size=0.05),
    )
}
Q_LEARNING = RULES["q-learning"]


def as_rule(name: object) -> UpdateRule:
    """Return the update rule of a name.

    Raises
    ------
    ConfigError
        If there is none of that name.

    Examples
    --------
    >>> as_rule("double-q").tables
    2
    """
    rule = RULES.get(name) if isinstance(name, str) else None
    if rule is None:
        raise ConfigError(f"rule is {name!r}; allowed: {', '.join(map(repr, RULES))}")
    return rule
