"""Checkpoints whose content tells which they are, and processes that write them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import cdq
from cdq.storage.directory import CheckpointDirectory

# What each script of a second process begins with: D is the directory, `tensors(n)` tell by themselves if torn.
PREAMBLE = """
import os, signal, sys, time
import numpy as np
from cdq.storage.directory import CheckpointDirectory
D = CheckpointDirectory(sys.argv[1])
def tensors(n):
    return {"values": np.full((64, 8), float(n)), "visits": np.full((64, 8), n)}
"""


def tensors(steps: int) -> dict[str, Any]:
    return {"values": np.full((64, 8), float(steps)), "visits": np.full((64, 8), steps)}


def assert_whole(checkpoint: Any, steps: int) -> None:
    assert checkpoint.header["steps"] == steps
    assert checkpoint.path.name == f"checkpoint-{steps:020d}.safetensors"
    for name, tensor in tensors(steps).items():
        assert checkpoint.tensors[name].tobytes() == tensor.tobytes()


def names(directory: CheckpointDirectory) -> list[str]:
    return sorted(os.listdir(directory.path))


def write(directory: CheckpointDirectory, *steps: int) -> None:
    with directory.lock():
        for number in steps:
            directory.write(number, tensors(number), {"steps": number})


@contextmanager
def process(directory: CheckpointDirectory, script: str) -> Iterator[subprocess.Popen[str]]:
    """Start a second process; it is killed, if it lives, when the context ends."""
    started = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script, str(directory.path)],
        env={**os.environ, "PYTHONPATH": str(Path(cdq.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()
