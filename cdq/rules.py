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
`Hysteretic`, "hysteretic(0.01)" as text
    The target of Q-learning, and a step size of its own for values that fall. Merging must not read the step sizes
    that visits spent, as they follow from the clock, and a visit may have spent the other one: "pooled", "importance"
    and "affine" are refused with several workers. "visits" weighs workers by what they saw; with beta 0, in a problem
    without chance, "max" is the table of all their steps.

A rule has a number and a case in the header `cdq/core/table/rules.h`, and a line in `RULES` here. Loops, tables, files,
communicators and the command line take it from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from cdq.errors import ConfigError
from cdq.errors.checks import real


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
    beta : float or None
        Step size of errors below 0, where that is not the step size of all.
    step_size : float, optional
        Step size by default, of a rule that the usual one, which begins near 1, leads astray.
    """

    name: str
    number: int
    tables: int = 1
    acts_ahead: bool = False
    beta: float | None = None
    step_size: float | None = None

    @property
    def spends_by_clock(self) -> bool:
        """True if the step size of a visit follows from the pair's clock alone."""
        return self.beta is None


@dataclass(frozen=True)
class Hysteretic:
    """Q-learning that forgets slowly what is good: errors below 0 have a step size of their own.

    Q(s, a) += alpha e where e = r + discount max_b Q(s', b) - Q(s, a) is 0 or more, else beta e. Agents with one reward
    and a table each do not punish an action for what another one did by exploration. Matignon, Laurent and Le
    Fort-Piat (2007); with beta 0 it is the distributed Q-learning of Lauer and Riedmiller (2000), which is right only
    where nothing is left to chance: it takes luck for value.

    Parameters
    ----------
    beta : float
        Step size of errors below 0, from 0 to 1; usually a tenth of `step_size`.

    Raises
    ------
    ConfigError
        If *beta* is not allowed.

    Examples
    --------
    >>> Hysteretic(0.01)
    Hysteretic(beta=0.01)
    """

    beta: float

    def __post_init__(self) -> None:
        beta = real("beta of Hysteretic", self.beta, "a number from 0 to 1", 0.0, 1.0)
        object.__setattr__(self, "beta", beta)


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
_HYSTERETIC = 4  # number of the rule that has no name without a number
_WRITTEN = re.compile(r"hysteretic(?:\((?P<inside>[^()]*)\)|:(?P<after>[^()]*))")


def as_rule(name: object) -> UpdateRule:
    """Return the update rule of a name, or of a `Hysteretic`, whose text is "hysteretic(0.01)" or "hysteretic:0.01".

    Raises
    ------
    ConfigError
        If there is none.

    Examples
    --------
    >>> as_rule("double-q").tables
    2
    """
    known = name
    if isinstance(name, str):
        written = _WRITTEN.fullmatch(name.strip())
        known = RULES.get(name) if written is None else _read(name, written["inside"] or written["after"])
    if isinstance(known, Hysteretic):
        return UpdateRule(f"hysteretic({known.beta!r})", _HYSTERETIC, beta=known.beta)
    if not isinstance(known, UpdateRule):
        raise ConfigError(
            f"rule is {name!r}; allowed: {', '.join(map(repr, RULES))}, or 'hysteretic:BETA' (cdq.Hysteretic)"
        )
    return known


def _read(text: str, number: str | None) -> Hysteretic:
    try:
        beta = float(number or "")
    except ValueError:
        raise ConfigError(f"rule is {text!r}; write it as hysteretic(0.01)") from None
    return Hysteretic(beta)
