"""The pictures of the pages: each is drawn as the page shows it, has its file, and is on a page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import cdq

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


def test_the_text_on_the_page_is_what_the_table_says() -> None:
    agent = cdq.QLearner("FrozenLake8x8-v1", workers=2, seed=0).learn(4_000_000)
    assert f"```text\n{agent.table.render()}\n```" in PAGE
    assert np.array_equal(PROGRAM["lake"]().table, agent.table)
