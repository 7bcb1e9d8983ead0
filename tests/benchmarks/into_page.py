"""Put the tables that a benchmark prints into a page, each in place of the table below the same title.

python -m tests.benchmarks.scaling | python tests/benchmarks/into_page.py docs/scaling.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TABLE = re.compile(r"^(?P<title>[^|\n].*)\n\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)


def replace(page: str, printed: str) -> tuple[str, list[str]]:
    """Return the page with the printed tables, and the titles of those that have no place in it."""
    missing = []
    for table in TABLE.finditer(printed):
        title = re.escape(table["title"])
        page, n = re.subn(rf"(?m)^{title}\n\n(\|.*\n)+", lambda _, new=table[0]: new, page)  # type: ignore[misc]
        if not n:
            missing.append(table["title"])
    return page, missing


def main() -> None:
    """Read what was printed from standard input, and print it again."""
    page, printed = Path(sys.argv[1]), ""
    for line in sys.stdin:
        print(line, end="", flush=True)
        printed += line
    text, missing = replace(page.read_text(encoding="utf-8"), printed)
    page.write_text(text, encoding="utf-8")
    for title in missing:
        print(f"no table in {page} is titled: {title}", file=sys.stderr)


if __name__ == "__main__":
    main()
