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
from cdq.storage.files import read_tensors, write_tensors

GOLDEN = Path(__file__).parents[1] / "golden" / "learner-format1.safetensors"


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
    "a name that stands twice": signed('{"format": 2, "format": 1}'),
    "a name that stands twice, deep within": signed('{"format": 1, "settings": [{"gamma": 1, "gamma": 2}]}'),
    "a header with NaN": signed('{"format": 1, "window": NaN}'),
    "a header with an infinity": signed('{"format": 1, "window": -Infinity}'),
    "a number of 400 digits": signed('{"format": 1, "steps": 1' + "0" * 400 + "}"),
    "a header of 9 MB": signed('{"format": 1, "notes": "' + "x" * 9_000_000 + '"}'),
    "bytes after the end": with_head(heads(entry(0, 8)), b"\0" * 9),
    "an end that is text": with_head(
        b'{"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, "8"]}}', b"\0" * 8
    ),
    "an end that is a list": with_head(
        b'{"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, [8]]}}', b"\0" * 8
    ),
    "an end that is NaN": with_head(
        b'{"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, NaN]}}', b"\0" * 8
    ),
    "no offsets": with_head(b'{"a": {"dtype": "F64", "shape": [1]}}', b"\0" * 8),
    "a tensor that is a number": with_head(b'{"a": 1}'),
    "nothing": b"",
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


def test_a_size_that_the_head_does_not_give_is_not_read(tmp_path: Path) -> None:
    """A file of 40 GB without blocks, whose head tells of 8 bytes."""
    path = tmp_path / "sparse"
    path.write_bytes(with_head(heads(entry(0, 8)), b"\0" * 8))
    with open(path, "r+b") as file:
        file.truncate(40 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        FileError, match=r"it has 42,949,672,960 bytes where its head says \d+; use another copy"
    ):
        read_tensors(path)
    with open(path, "r+b") as file:
        file.write((2**33).to_bytes(8, "little"))  # nor is a head that is too long
    with pytest.raises(FileError, match="no safetensors file"):
        read_tensors(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "KiB more at the peak"


def test_what_does_not_fit_into_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> bytes:
        raise MemoryError

    path = tmp_path / "large"
    path.write_bytes(with_head(heads(entry(0, 8)), b"\0" * 8))
    monkeypatch.setattr("cdq.storage.files._require_length", exhausted)
    with pytest.raises(FileError, match="do not fit into the memory"):
        read_tensors(path)


def test_a_header_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="the header has .* bytes; allowed"):
        write_tensors(tmp_path / "table", {}, {"notes": "x" * (1 << 23)})
    assert list(tmp_path.iterdir()) == []


def test_links_to_files_that_a_user_names_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(GOLDEN)
    assert read_tensors(tmp_path / "link")[1]["steps"] == 20_000
    with pytest.raises(FileError, match="it is a link"):
        read_tensors(tmp_path / "link", follow=False)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FileError, match="Too many levels"):
        read_tensors(tmp_path / "loop")
    with pytest.raises(FileError, match="null byte"):
        read_tensors(str(tmp_path / "a\0b"))


@pytest.mark.parametrize(
    "more",
    [{"settings": {"dtype": "\ud800"}}, {"environment": ["a", {"\udfff": 1}]}, {"kind": "\udc00\ud800"}],
)
def test_half_a_character_is_refused(more: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(signed(json.dumps({"format": 1, "kind": "learner", **more})))
    with pytest.raises(FileError, match="half a character, a lone surrogate"):
        read_tensors(path)
    with pytest.raises(FileError, match="lone surrogate"):
        cdq.QLearner.load(path)


def test_a_character_of_two_escapes_is_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(signed(json.dumps({"format": 1, "kind": "\U0001f600"})))
    assert read_tensors(path)[1]["kind"] == "\U0001f600"
