from typing import Any

def group(
    tallies: Any, counts: Any, ends: Any, cells: int, figures: Any, steps: Any, of: Any, starts: Any
) -> int: ...
