from collections.abc import Sequence
from typing import Any, Final

from typing_extensions import Self

DONE: Final[int]
BROKEN: Final[int]
TIMED_OUT: Final[int]

class Barrier:
    @property
    def size(self) -> int: ...
    def __new__(
        cls, size: int, memory: Any = None, crowded: bool | None = None, ends: Sequence[int] = ()
    ) -> Self: ...
    def wait(self, rank: int, timeout: float) -> int: ...
    def break_(self) -> None: ...
    def missing(self) -> list[int]: ...

def barrier_bytes(size: int) -> int: ...
