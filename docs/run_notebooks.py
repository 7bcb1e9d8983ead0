"""Run the notebooks and keep their outputs: ``python -m docs.run_notebooks``. The tests run them too, and compare."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a fresh run in a folder, without the progress of long cells."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=200, record_timing=False, resources={"metadata": {"path": str(folder)}}
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_progress(output)]
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    return notebook


def is_progress(output: nbformat.NotebookNode) -> bool:
    """Return whether an output is a bar, which a slow machine shows and a fast one does not."""
    return "steps/s" in str(output.get("data", ""))


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run(path, Path(folder)), path)
