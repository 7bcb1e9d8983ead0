"""Ranks of MPI learn several tasks as threads do, bit for bit."""

from __future__ import annotations

from functools import partial

import pytest

from tests.mpi import pool, tasks


@pytest.mark.parametrize("kind", tasks.TASKS)
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ranks_learn_what_threads_do(kind: str, overlap: bool, dtype: str) -> None:
    digests = pool.run(3, partial(tasks.learn_on, kind, dtype, overlap))
    assert set(digests) == {tasks.learn(kind, dtype, overlap, workers=3)}
