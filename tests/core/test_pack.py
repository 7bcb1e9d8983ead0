"""Slices of contributions, packed into memory that is given."""

from __future__ import annotations

import numpy as np
import pytest

from cdq.core.merge import merge as core
from tests.strategies import make_worker, random_model, touch


@pytest.mark.parametrize("pairs", [[2, 9], [*range(11)]], ids=["sparse", "dense"])
def test_contributions_are_packed_into_memory_that_is_given(pairs: list[int]) -> None:
    """Nothing that was in it before travels, as padding would."""
    worker = make_worker(random_model(6, 2, seed=0), dtype="float32")
    touch(worker, pairs)
    listed = np.array(pairs, np.uint32)
    packed = core.pack(worker.rows, listed, 0, 11, b"summary.")
    assert packed.startswith(b"summary.")
    most = core.most_packed_bytes(worker.rows, 1)[0]
    assert len(packed) <= 8 + most
    for filling in (0, 255):
        memory = bytearray([filling]) * (8 + most)
        out = core.pack(worker.rows, listed, 0, 11, b"summary.", memory)
        assert bytes(out) == packed == memory[: len(packed)]
    with pytest.raises(
        ValueError, match=f"a slice takes {len(packed)} bytes, there is room for {len(packed) - 1}"
    ):
        core.pack(worker.rows, listed, 0, 11, b"summary.", bytearray(len(packed) - 1))
