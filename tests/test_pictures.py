"""The pictures of the pages: each is drawn as the page shows it, has its file, and is on a page."""

from __future__ import annotations

import html
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import cdq
from tests.shown import VARYING, masked

DOCS = Path(__file__).parents[1] / "docs"
PROGRAM = runpy.run_path(str(DOCS / "draw_pictures.py"))
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")
PAGES = PAGE + "".join(
    (DOCS / page).read_text(encoding="utf-8") for page in ("agents.md", "traffic.md", "routing.md")
)


def test_every_picture_has_its_file_and_its_place_on_the_page() -> None:
    files = sorted(PROGRAM["FILES"])
    assert {name for name in files if not (DOCS / "pictures" / name).exists()} == set()
    assert sorted(re.findall(r"{image} pictures/(\S+)$", PAGES, re.MULTILINE)) == files
    assert len(re.findall(r"^:alt: .{30,}$", PAGES, re.MULTILINE)) == len(files)


def test_pictures_are_small() -> None:
    sizes = {name: (DOCS / "pictures" / name).stat().st_size for name in PROGRAM["FILES"]}
    assert {name: size for name, size in sizes.items() if size > 120_000} == {}


@pytest.mark.parametrize("name", ["values.svg", "maze.svg", "visits.svg", "table.svg", "surface_3d.png"])
def test_a_picture_is_drawn_again(name: str, tmp_path: Path) -> None:
    PROGRAM["write"](name, tmp_path)
    assert (tmp_path / name).stat().st_size > 5_000


def report_lines(svg: str) -> list[str]:
    """Return the lines of a terminal's picture; what depends on the machine is masked."""
    rows: dict[str, str] = {}
    for place, words in re.findall(r'<text [^>]* y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        rows[place] = rows.get(place, "") + html.unescape(words).replace("\xa0", " ")
    return [masked(row, VARYING) for row in rows.values()]


def test_the_picture_of_the_report_is_what_the_command_prints() -> None:
    """`python -m docs.draw_report` draws it."""
    shown = report_lines((DOCS / "pictures/report.svg").read_text(encoding="utf-8"))
    assert len(shown) > 15
    assert report_lines(runpy.run_path(str(DOCS / "draw_report.py"))["draw"]()) == shown


def test_every_picture_is_on_a_page() -> None:
    files = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*") if path.suffix in {".svg", ".png"}}
    used = {
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"{image} (?:\.\./)?(\S+)$", page.read_text(), re.M)
    }
    assert used == files
    assert len(files) >= 25


def test_the_text_on_the_page_is_what_the_table_says() -> None:
    agent = cdq.QLearner("FrozenLake8x8-v1", workers=2, seed=0).learn(4_000_000)
    assert f"```text\n{agent.table.render()}\n```" in PAGE
    assert np.array_equal(PROGRAM["lake"]().table, agent.table)


def test_the_picture_of_the_page_of_a_run_is_small_and_has_its_place() -> None:
    """It is taken by docs/draw_watch.py, which needs a browser."""
    assert 10_000 < (DOCS / "pictures" / "watch.png").stat().st_size <= 120_000
    assert "{image} pictures/watch.png\n:alt: " in (DOCS / "watching.md").read_text(encoding="utf-8")
