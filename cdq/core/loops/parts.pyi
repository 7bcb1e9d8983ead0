from typing import Any

def group(
    tallies: list[Any], counts: Any, ends: Any, cells: int, figures: Any, steps: Any, of: Any, starts: Any
) -> int: ...
