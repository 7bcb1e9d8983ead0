"""A run that is stopped and resumed is the run that was not, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cdq
from tests import runs

SEEDS_EACH = 3  # killed at other times, of each way


@pytest.mark.parametrize("way", runs.WAYS)
def test_resumed_from_any_checkpoint_the_run_is_the_same(way: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    with runs.copied(tmp_path / "copies") as copies:
        agent = runs.begin(whole, way)
    assert len(copies) > 6
    if "until" in runs.WAYS[way]:
        assert agent.steps < 400_000
    for copy in (*copies[:2], copies[len(copies) // 2], copies[-2], copies[-1]):
        resumed = runs.resume(copy)
        assert resumed.steps == int(copy.name.partition("-")[2])
        resumed.learn()
        assert runs.differing(whole, copy) == [], f"{way}, resumed from {copy.name}"
        assert resumed.table.digest() == agent.table.digest()
        assert resumed.steps_left == 0


@pytest.mark.parametrize("way", runs.WAYS)
def test_killed_again_and_again_the_run_is_the_same(way: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    runs.begin(whole, way)
    program = [sys.executable, "-m", "tests.runs", "is_killed_until_finished"]
    environment = {**os.environ, "PYTHONPATH": str(Path(cdq.__file__).parents[1])}
    done = subprocess.run(
        [*program, str(tmp_path), way, "0", str(SEEDS_EACH)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == SEEDS_EACH
    for one in told:
        assert runs.differing(whole, tmp_path / str(one["seed"])) == [], one
    assert sum(one["kills"] for one in told) > 0
