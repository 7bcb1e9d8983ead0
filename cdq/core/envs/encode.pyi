from typing import Any

from typing_extensions import Self

class Part:
    width: int

class Scalar(Part):
    def __init__(self) -> None: ...

class Array(Part):
    def __new__(cls, width: int) -> Self: ...

class Sequence(Part):
    def __new__(cls, parts: tuple[Part, ...]) -> Self: ...

class Mapping(Part):
    def __new__(cls, keys: tuple[str, ...], parts: tuple[Part, ...]) -> Self: ...

class Encoding:
    part: Part
    name: str
    real: bool
    hashed: bool
    width: int
    n_actions: int
    def __init__(
        self,
        part: Part,
        low: Any,
        high: Any,
        *,
        hashed: bool,
        name: str,
        observation_key: str | None = None,
        mask_key: str | None = None,
        n_actions: int = 0,
    ) -> None: ...
    def of(self, observation: Any) -> Any: ...
    def mask_of(self, observation: Any) -> list[int]: ...
