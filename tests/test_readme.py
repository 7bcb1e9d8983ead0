"""The README as a package index shows it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME, COMMIT = "https://example.org/cdq", "abc123"
absolute = runpy.run_path(str(ROOT / ".ci" / "absolute_links.py"))["absolute"]
TARGET = re.compile(r"\]\(([^)]+)\)")


def test_links_of_all_kinds_become_absolute() -> None:
    page = "[a](docs/a.md#b), ![c](docs/c.svg), [![d](d.svg)](e.md), [f](https://f.org), [g](#h)"
    assert absolute(page, HOME, COMMIT) == (
        f"[a]({HOME}/blob/{COMMIT}/docs/a.md#b), ![c]({HOME}/raw/{COMMIT}/docs/c.svg), "
        f"[![d]({HOME}/raw/{COMMIT}/d.svg)]({HOME}/blob/{COMMIT}/e.md), [f](https://f.org), [g](#h)"
    )


def test_the_readme_has_no_link_that_an_index_cannot_follow() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = TARGET.findall(absolute(text, HOME, COMMIT))
    assert len(targets) == len(TARGET.findall(text)) > 10
    assert [target for target in targets if not target.startswith("https://")] == []


def test_the_readme_shows_a_picture_that_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = [target for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text) if ":" not in target]
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
