from typing import Any

class Part:
    width: int

class Scalar(Part):
    def __init__(self) -> None: ...

class Array(Part):
    def __init__(self, width: int) -> None: ...

class Sequence(Part):
    def __init__(self, parts: tuple[Part, ...]) -> None: ...

class Mapping(Part):
    def __init__(self, keys: tuple[str, ...], parts: tuple[Part, ...]) -> None: ...

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
