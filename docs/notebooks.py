"""Notebooks as pages of the site: a page that names one in a block ``{notebook}`` shows its cells and outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

BLOCK = re.compile(r"^```\{notebook\} (\S+)\n```$", re.MULTILINE)
FENCE = "``````"  # longer than any that a cell has


def fenced(kind: str, text: str) -> str:
    """Return a block of text."""
    return f"{FENCE}{kind}\n{text.rstrip()}\n{FENCE}"


def outputs(cell: dict[str, Any]) -> Iterator[str]:
    """Yield the outputs of a cell: pictures and tables as a notebook shows them, else text."""
    alt = cell["metadata"].get("alt", "")
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            source = f"data:image/png;base64,{data['image/png'].strip()}"
            yield fenced("{raw} html", f'<p><img alt="{alt}" src="{source}"></p>')
        elif "text/html" in data:
            yield fenced("{raw} html", f'<div class="cell-output">{"".join(data["text/html"])}</div>')
        else:
            yield fenced("text", "".join(output.get("text", data.get("text/plain", ""))))


def markdown(path: Path) -> str:
    """Return a notebook as the source of a page."""
    parts = list[str]()
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            parts += [fenced("python", source), *outputs(cell)]
        else:
            parts.append(source)
    return "\n\n".join(parts)


def read(app: Sphinx, name: str, source: list[str]) -> None:
    """Put notebooks in the place of the blocks that name them."""
    page = Path(app.env.doc2path(name))

    def notebook(found: re.Match[str]) -> str:
        path = (page.parent / found[1]).resolve()
        app.env.note_dependency(str(path), docname=name)
        return markdown(path)

    source[0] = BLOCK.sub(notebook, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the reader."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
