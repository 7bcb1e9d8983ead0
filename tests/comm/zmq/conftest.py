from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.comm.zmq import pool


@pytest.fixture(scope="package", autouse=True)
def rank_processes() -> Iterator[None]:
    """End the processes that tests have started."""
    yield
    pool.close()
