"""Put the tables that a benchmark prints into a page, each in place of the table below the same title.

python -m tests.benchmarks.scaling | python -m tests.benchmarks.into_page docs/scaling.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.tables import put, tables


def main() -> None:
    """Read what was printed from standard input, and print it again."""
    path, printed = Path(sys.argv[1]), ""
    for line in sys.stdin:
        print(line, end="", flush=True)
        printed += line
    page = path.read_text(encoding="utf-8")
    for table in tables(printed):
        new = put(page, table)
        if new is None:
            print(f"no table in {path} is titled: {table.title}", file=sys.stderr)
        page = new or page
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
