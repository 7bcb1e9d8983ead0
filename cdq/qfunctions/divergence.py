"""Detection of a Q-function whose values grow without bound."""

from __future__ import annotations

from cdq.contracts import Floats, Loop
from cdq.core.table.qfunction import QFunction
from cdq.core.table.rows import Law
from cdq.errors import LearningDiverged


class DivergenceGuard:
    """A loop that raises an error when the values of its Q-function diverge.

    Parameters
    ----------
    loop : Loop
        The loop that learns.
    q : QFunction
        The Q-function that it learns.
    name : str
        Name of the environment, for the message.

    Attributes
    ----------
    loop : Loop
        The loop that learns.
    """

    def __init__(self, loop: Loop, q: QFunction, name: str) -> None:
        self.loop, self._q, self._name = loop, q, name
        self.reset = loop.reset

    def run(
        self, law: Law, sweeps: int, explore_first: float, explore_last: float, parts: Floats | None = None
    ) -> tuple[bool, int, int, float]:
        """Learn; raises `LearningDiverged`."""
        result = self.loop.run(law, sweeps, explore_first, explore_last, parts)
        self.check()
        return result

    def check(self) -> None:
        """Raise `LearningDiverged` if the values diverge."""
        if self._q.is_divergent:
            raise LearningDiverged(
                f"the weights learnt on {self._name} diverge; use a smaller step_size, a smaller gamma, or features "
                "that overlap less (tile coding with fewer tilings, a basis of lower order)"
            )
