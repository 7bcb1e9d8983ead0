"""The beginning of a job: what it holds, and an error where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdq.errors import CdqError, FileError
from cdq.job.replay import replay
from cdq.job.store import NAME, write_beginning
from cdq.storage.files import read_tensors, write_tensors
from cdq.training import Row
from tests.job.jobs import Hub, journal_in


def test_a_beginning_that_lacks_something_is_not_repeated(tmp_path: Path) -> None:
    hub = Hub(workers=1)
    write_beginning(tmp_path, hub.learner._state, hub.service)
    with journal_in(tmp_path):
        assert replay(tmp_path).digest() == hub.digest  # no round was learnt
    tensors, header = read_tensors(tmp_path / NAME)
    for name in ("settings", "environment", "sizes", "time_limit", "name", "rounds", "steps", "window"):
        write_tensors(tmp_path / NAME, tensors, {key: header[key] for key in header if key != name})
        with pytest.raises(FileError, match=f"{NAME} lacks"):
            replay(tmp_path)
    for name in tensors.keys() - {f"history.{column}" for column in Row._fields[7:]}:  # those came later
        write_tensors(tmp_path / NAME, {key: tensors[key] for key in tensors if key != name}, header)
        with pytest.raises(FileError, match=f"{NAME} lacks"):
            replay(tmp_path)
    write_tensors(tmp_path / NAME, tensors, {**header, "settings": {**header["settings"], "window": 5}})
    with pytest.raises(FileError, match=f"{NAME} lacks what a learner is made with"):
        replay(tmp_path)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "complex128", "object", "x", ""])
def test_a_beginning_with_values_of_another_type_is_not_repeated(dtype: str, tmp_path: Path) -> None:
    """Memory would be laid out for values of another size than those that are written there."""
    hub = Hub(workers=1)
    write_beginning(tmp_path, hub.learner._state, hub.service)
    tensors, header = read_tensors(tmp_path / NAME)
    write_tensors(tmp_path / NAME, tensors, {**header, "settings": {**header["settings"], "dtype": dtype}})
    with journal_in(tmp_path), pytest.raises(CdqError, match=f"{NAME} lacks what the job learnt|dtype is "):
        replay(tmp_path)
