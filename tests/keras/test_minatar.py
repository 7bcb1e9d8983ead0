"""The example of a convolution on MinAtar's pixels, with fewer steps."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.keras.test_processes import run
from tests.test_examples import EXAMPLES, KERAS


def test_the_example_learns(tmp_path: Path) -> None:
    """The random policy's mean return is 0.4; a tenth of the steps is too few for the page's."""
    result = run(tmp_path, sys.executable, str(EXAMPLES / KERAS), "1e5")
    assert result.returncode == 0, result.stderr
    steps, mean_return = re.findall(r"([\d,]+) steps: mean return (\S+) \+-", result.stdout)[0]
    assert steps == "100,032"
    assert float(mean_return) > 2.0
    assert len((EXAMPLES / KERAS).read_text(encoding="utf-8").splitlines()) <= 80
