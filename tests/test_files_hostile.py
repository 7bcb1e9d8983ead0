from __future__ import annotations

import hashlib
import json
import resource
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

import cdq
from cdq.errors import FileError
from cdq.files import read_tensors

GOLDEN = Path(__file__).parent / "golden" / "learner-format1.safetensors"


def test_files_of_format_1_are_read() -> None:
    tensors, header = read_tensors(GOLDEN)
    assert (header["format"], header["cdq"], header["kind"], header["steps"]) == (
        1,
        "0.1.0",
        "learner",
        20_000,
    )
    assert {name: (tensor.dtype.str, tensor.shape) for name, tensor in tensors.items()} == {
        "values": ("<f8", (16, 4)),
        "visits": ("<i8", (16, 4)),
        "clock": ("<u4", (16, 4)),
    }
    table = cdq.QTable(tensors["values"], tensors["visits"])
    assert table.digest() == "f491ab708e7b17a3dc5742a428650552e9cfb471fc7552407c6a6ddc5c726585"
    assert table.visits.sum() == 20_000


def with_head(head: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return (len(head) if length is None else length).to_bytes(8, "little") + head + data


def signed(text: str) -> bytes:
    """Return a file without tensors whose checksum holds, with *text* for its header."""
    metadata = {"cdq": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return safetensors.numpy.save({}, metadata)


def entry(begin: int, end: int, **changes: Any) -> dict[str, Any]:
    return {"dtype": "F64", "shape": [(end - begin) // 8], "data_offsets": [begin, end], **changes}


def heads(*entries: dict[str, Any]) -> bytes:
    return json.dumps({f"tensor{i}": value for i, value in enumerate(entries)}).encode()


HOSTILE = {
    "a head of 2^63 bytes": with_head(b"{}", length=2**63),
    "a head of a terabyte": with_head(b"{}", length=2**40),
    "a head one byte too long": with_head(b"{}", length=3),
    "a head that is a list": with_head(b"[]"),
    "a deep head": with_head(b'{"a":' * 100_000),
    "a deep list": with_head(b"[" * 100_000),
    "tensors that overlap": with_head(heads(entry(0, 16), entry(8, 24)), b"\0" * 24),
    "one place for two tensors": with_head(heads(entry(0, 16), entry(0, 16)), b"\0" * 16),
    "a hole": with_head(heads(entry(0, 8), entry(16, 24)), b"\0" * 24),
    "a tensor beyond the end": with_head(heads(entry(0, 2**40)), b"\0" * 24),
    "a tensor that ends before it begins": with_head(heads(entry(16, 0)), b"\0" * 24),
    "a tensor before the data": with_head(heads(entry(-8, 8)), b"\0" * 24),
    "a shape that overflows": with_head(heads(entry(0, 8, shape=[2**33, 2**33])), b"\0" * 8),
    "a shape that is larger": with_head(heads(entry(0, 8, shape=[2**40])), b"\0" * 8),
    "a shape below zero": with_head(heads(entry(0, 8, shape=[-1])), b"\0" * 8),
    "an unknown type": with_head(heads(entry(0, 8, dtype="PICKLE")), b"\0" * 8),
    "a type NumPy lacks": with_head(heads(entry(0, 8, dtype="BF16", shape=[4])), b"\0" * 8),
    "metadata that are no text": with_head(b'{"__metadata__": {"cdq": 1}}'),
    "a header that is no JSON": signed("import os"),
    "a header that is a list": signed("[1]"),
    "a header without a format": signed("{}"),
    "a deep header": signed("[" * 200_000),
    "a number of a million digits": signed("1" * 1_000_000),
    "a header of another format": signed('{"format": "1"}'),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused_and_take_no_memory(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "hostile").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FileError, match=f"cannot read {tmp_path / 'hostile'}: "):
        read_tensors(tmp_path / "hostile")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "KiB more at the peak"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/null"])
def test_devices_are_no_files(device: str) -> None:
    with pytest.raises(FileError, match=f"cannot read {device}: "):
        read_tensors(device)
