"""Draws the report of the README's first command as a terminal shows it: python -m docs.draw_report."""

from __future__ import annotations

import io
import re
from pathlib import Path
from unittest import mock

from rich.console import Console

from cdq.cli import main

COMMAND = ["train", "FrozenLake-v1", "--workers", "2", "--seed", "0"]
TARGET = Path(__file__).parent / "pictures" / "report.svg"


def draw() -> str:
    """Return the picture; its speed is that of this machine."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(f"$ cdq {' '.join(COMMAND)}", highlight=False)
    with mock.patch("cdq.cli.render.console_for_people", return_value=console):
        main(COMMAND)
    svg = console.export_svg(title="cdq", unique_id="report")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # fonts are fetched from nowhere


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
