"""A hub with an honest worker bears strangers: in short what ``python -m tests.benchmarks.strangers`` does."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pytest

from tests.benchmarks.strangers import bear

LIMIT = 64.0  # MB by which the hub's memory may grow


@pytest.mark.parametrize("curve", [False, True])
def test_g12_all_of_them(curve: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="cdq-") as folder:
        told = bear(argparse.Namespace(curve=curve, scale=0.005, states=0, only=""), Path(folder))
    assert len(told) >= 8
    assert max(grown for _, grown, _ in told.values()) < LIMIT


@pytest.mark.parametrize("curve", [False, True])
def test_g12_many_welcomes_of_a_large_model_that_nobody_reads(curve: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="cdq-") as folder:
        told = bear(argparse.Namespace(curve=curve, scale=0.1, states=30_000, only="not read"), Path(folder))
    assert told["peers that do not read"][1] < LIMIT
