"""Make the links and pictures of a page absolute, in place: a package index shows the page and has no other file.

python .ci/absolute_links.py README.md https://github.com/OWNER/NAME COMMIT
"""

import re
import sys
from pathlib import Path


def absolute(text: str, home: str, commit: str) -> str:
    """Return a page with links into the repository at a commit, and pictures by their raw files."""
    text = re.sub(r"(!\[[^\]]*\]\()(?!\w+:|#)", rf"\g<1>{home}/raw/{commit}/", text)
    return re.sub(
        r"((?<!!)\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\]\()(?!\w+:|#)", rf"\g<1>{home}/blob/{commit}/", text
    )


if __name__ == "__main__":
    page, home, commit = sys.argv[1:]
    Path(page).write_text(absolute(Path(page).read_text(encoding="utf-8"), home, commit), encoding="utf-8")
