"""Run the examples in a folder of their own, and keep the picture that each draws: ``python -m docs.draw_examples``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
TARGET = Path(__file__).with_name("pictures") / "examples"
FORMATS = (".svg", ".png")


def draw(example: Path) -> None:
    """Run an example and keep its picture; the video is left to those who have moviepy."""
    with tempfile.TemporaryDirectory() as folder:
        rc = Path(folder) / "matplotlibrc"
        rc.write_text("svg.hashsalt: cdq\n")
        environment = {**os.environ, "MATPLOTLIBRC": str(rc), "SOURCE_DATE_EPOCH": "0"}
        subprocess.run([sys.executable, str(example)], cwd=folder, env=environment, check=True)
        for path in Path(folder).iterdir():
            if path.suffix in FORMATS:
                shutil.copy(path, TARGET / path.name)


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.stem for path in EXAMPLES.glob("*.py"))
    TARGET.mkdir(exist_ok=True)
    for name in names:
        draw(EXAMPLES / f"{name}.py")
