"""Part of a file: what is read of it, how much, and files that are not what was written."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from cdq.errors import FileError
from cdq.storage import read_part, read_tensors, write_tensors

TENSORS = {
    "values": np.arange(400.0).reshape(100, 4),
    "few": np.arange(3, dtype=np.uint32),
    "none": np.zeros((7, 0)),
    "deep": np.arange(24, dtype=np.int64).reshape(4, 3, 2),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "table.safetensors"
    write_tensors(path, TENSORS, {"kind": "test"})
    return path


@pytest.mark.parametrize(("most", "taken"), [(0, 0), (31, 0), (32, 1), (1000, 31), (10**9, 100)])
def test_so_many_rows_are_read_as_fit(path: Path, most: int, taken: int) -> None:
    part = read_part(path, most)
    assert part.tensors["values"].tolist() == TENSORS["values"][:taken].tolist()
    assert part.rows == {"values": 100, "few": 3, "none": 7, "deep": 4}
    assert part.header == read_tensors(path)[1]
    assert all(tensor.nbytes <= most for tensor in part.tensors.values())


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    """The data are a hole of a terabyte, which nobody could read."""
    path = tmp_path / "large"
    write_tensors(path, {"values": np.zeros((1, 4))}, {"kind": "test"})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    head = data[8 : 8 + length].replace(b'"shape": [1, 4]', b'"shape": [34359738368, 4]')
    head = head.replace(b"[0, 32]", b"[0, 1099511627776]")
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + 2**40)
    part = read_part(path, 320)
    assert part.tensors["values"].shape == (10, 4)
    assert part.rows == {"values": 2**35}


def test_files_that_end_anywhere_are_refused_or_read(path: Path) -> None:
    whole = path.read_bytes()
    head = 8 + int.from_bytes(whole[:8], "little")
    for length in range(head + 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match="cannot read"):
            read_part(path, 1000)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"dtype": "F64"', b'"dtype": "X64"'),
        (b'"shape": [100, 4]', b'"shape": [-10, 4]'),
        (b'"shape": [100, 4]', b'"shape": [101, 4]'),
        (b'"shape": [100, 4]', b'"shape": "1004x" '),
        (b'"data_offsets": [0, ', b'"data_offsets": [9, '),
        (b'"cdq": ', b'"cdr": '),
        (b'\\"format\\": 1', b'\\"format\\": 9'),
        (b"{", b"["),
    ],
)
def test_damaged_heads_are_refused(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    with pytest.raises(FileError, match="cannot read"):
        read_part(path, 1000)


def test_links_and_directories_are_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_part(link, 10).header["kind"] == "test"
    with pytest.raises(FileError, match="it is a link"):
        read_part(link, 10, follow=False)
    with pytest.raises(FileError, match="Is a directory"):
        read_part(tmp_path, 10)
    with pytest.raises(FileError, match="No such file"):
        read_part(tmp_path / "nothing", 10)
