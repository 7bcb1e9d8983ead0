from typing import Any, Final

from cdq.core.barrier import Barrier
from cdq.core.loops.windows import Windows
from cdq.core.table.rows import Law, Rows

ENDED: Final[int]
INTERRUPTED: Final[int]
NO_MEMORY: Final[int]
GROWN: Final[int]

def board_bytes(n_bytes: int) -> int: ...

class Rates:
    def __init__(self, rates: Any, knots: Any = None, decay: float = 0.0, bends: bool = False) -> None: ...
    def at(self, steps: int) -> float: ...

class Pace:
    def __init__(
        self,
        mass: float,
        floor: float,
        longest: float,
        exploration: Rates,
        step_size: Rates | None = None,
        clock_mass: float = 0.0,
        scale: float = 1.0,
    ) -> None: ...

class Seat:
    def __init__(
        self,
        rank: int,
        loop: Windows,
        rows: Rows,
        lanes: Any,
        lanes_before: Any,
        visits: Any,
        records: Any,
        tallies: Any,
        shared: Any = None,
    ) -> None: ...
    @staticmethod
    def elsewhere_of(rank: int, rows: Rows, shared: Any) -> Seat: ...
    @property
    def rank(self) -> int: ...
    @property
    def rounds(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def window(self) -> float: ...
    @property
    def asked(self) -> bool: ...
    def play(
        self,
        seats: list[Seat],
        barrier: Barrier | None,
        timeout: float,
        *,
        law: Law,
        rule: int,
        needs_mass: bool,
        pace: Pace,
        steps: int,
        window: float,
        target: int,
        bytes_sent: int,
        finish: Any,
        look_at: int,
        seconds: float = 0.0,
        steps_per_look: int = 0,
        most_rows: int = 1,
        unseen: bool = False,
        seen: int = 0,
        known: Any = None,
        counts: bool = False,
    ) -> int: ...
