"""The notebooks: a run of today gives the outputs that they are shown with."""

from __future__ import annotations

import base64
import io
import os
import re
import runpy
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from matplotlib import image

import cdq
from tests.shown import ROOT

FOLDER = ROOT / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
run = runpy.run_path(str(ROOT / "docs" / "run_notebooks.py"))["run"]
markdown = runpy.run_path(str(ROOT / "docs" / "notebooks.py"))["markdown"]


def texts(output: Any) -> str:
    """Return what an output says, but for seconds; a table of HTML is compared by its words and numbers."""
    data = output.get("data", {})
    html = re.sub(r"<style.*?</style>", "", data.get("text/html", ""), flags=re.DOTALL)
    words = " ".join(re.findall(r">([^<]+)<", html))
    return output.get("text", data.get("text/plain", "")) + re.sub(r"seconds\s+[\d.]+", "seconds", words)


def picture(output: Any) -> np.ndarray:
    return image.imread(io.BytesIO(base64.b64decode(output["data"]["image/png"])))


def check_picture(shown: np.ndarray, drawn: np.ndarray) -> None:
    """Compare pictures up to what versions of matplotlib do otherwise: some pixels at the edges."""
    rows, columns, _ = np.minimum(shown.shape, drawn.shape)
    assert np.abs(np.subtract(shown.shape, drawn.shape)).max() <= 8
    assert np.abs(shown[:rows, :columns] - drawn[:rows, :columns]).mean() < 0.03


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_shows_what_it_does(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(cdq.__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # pictures in cells, as in Jupyter
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shown, now = nbformat.read(path, as_version=4), run(path, tmp_path)
    compared = 0
    for cell, again in zip(shown.cells, now.cells, strict=True):
        for before, after in zip(cell.get("outputs", []), again.get("outputs", []), strict=True):
            assert texts(before) == texts(after)
            if "image/png" in before.get("data", {}):
                check_picture(picture(before), picture(after))
            compared += 1
    assert compared >= 5


def test_notebooks_are_pages_with_their_outputs() -> None:
    """Every picture has a text in its place, and every notebook is on one page."""
    for path in NOTEBOOKS:
        page = markdown(path)
        pictures = re.findall(r'<img alt="([^"]*)" src="data:image/png;base64,\w', page)
        assert pictures
        assert all(len(alt) > 30 for alt in pictures)
    named = [
        text
        for page in (ROOT / "docs").glob("*.md")
        for text in re.findall(r"{notebook} (\S+)", page.read_text())
    ]
    assert sorted(named) == [f"../examples/notebooks/{path.name}" for path in NOTEBOOKS]


def test_the_first_picture_takes_three_lines() -> None:
    first = next(
        cell for cell in nbformat.read(FOLDER / "start_to_plot.ipynb", 4).cells if cell.cell_type == "code"
    )
    assert len([line for line in first.source.splitlines() if line]) == 3
    assert "image/png" in first.outputs[0].data
