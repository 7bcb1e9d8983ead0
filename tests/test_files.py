from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from cdq import files
from cdq.errors import FileError
from cdq.files import read_tensors, write_atomically, write_tensors

TENSORS = {
    "values": np.arange(12.0).reshape(4, 3),
    "visits": np.arange(12).reshape(4, 3),
    "clock": np.arange(12, dtype=np.uint32).reshape(4, 3),
}
HEADER = {"kind": "test", "settings": {"gamma": 0.9, "name": "é"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "table.safetensors"
    write_tensors(path, TENSORS, HEADER)
    return path


def test_tensors_and_header_are_read_back(path: Path) -> None:
    tensors, header = read_tensors(path)
    assert header == {"format": 1, "cdq": files.__version__, **HEADER}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].tolist() == tensor.tolist()
    assert read_tensors(str(path))[1] == header


def test_others_can_read_the_file(path: Path) -> None:
    assert safetensors.numpy.load_file(path)["visits"].tolist() == TENSORS["visits"].tolist()


# ---- files that are not what was written


def test_truncated_files_are_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in [*range(0, 40), *range(40, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match="cannot read|altered|not written by cdq"):
            read_tensors(path)


def test_longer_files_are_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 8)
    with pytest.raises(FileError, match="cannot read"):
        read_tensors(path)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80, 0xFF])
def test_altered_bytes_never_pass(path: Path, flip: int) -> None:
    """A byte of the padding between header and data may change: it says nothing."""
    whole = path.read_bytes()
    expected = read_tensors(path)
    for offset in range(flip % 7, len(whole), 7):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ flip]) + whole[offset + 1 :])
        try:
            tensors, header = read_tensors(path)
        except FileError:
            continue
        assert header == expected[1]
        for name, tensor in expected[0].items():
            assert tensors[name].dtype == tensor.dtype
            assert tensors[name].shape == tensor.shape
            assert tensors[name].tobytes() == tensor.tobytes()


def rewrite_header(path: Path, change: Any) -> None:
    """Change the file's own JSON header, leaving its data and checksum."""
    whole = path.read_bytes()
    (size,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + size :])


def test_another_shape_of_the_same_bytes_is_an_alteration(path: Path) -> None:
    rewrite_header(path, lambda header: header["values"].update(shape=[3, 4]))
    with pytest.raises(FileError, match="altered"):
        read_tensors(path)


def test_another_type_of_the_same_bytes_is_an_alteration(path: Path) -> None:
    rewrite_header(path, lambda header: header["values"].update(dtype="I64"))
    with pytest.raises(FileError, match="altered"):
        read_tensors(path)


def test_another_name_is_an_alteration(path: Path) -> None:
    rewrite_header(path, lambda header: header.update(vals=header.pop("values")))
    with pytest.raises(FileError, match="altered"):
        read_tensors(path)


def test_a_missing_tensor_is_an_alteration(path: Path) -> None:
    tensors = {name: tensor for name, tensor in TENSORS.items() if name != "clock"}
    metadata = safetensors.safe_open(path, framework="np").metadata()
    safetensors.numpy.save_file(tensors, path, metadata)
    with pytest.raises(FileError, match="altered"):
        read_tensors(path)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no", b"\x93NUMPY", b"{}", b"\0" * 100, os.urandom(500)])
def test_other_files_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(FileError, match=f"cannot read {path}|not written by cdq"):
        read_tensors(path)


def test_safetensors_of_others_are_refused(path: Path) -> None:
    safetensors.numpy.save_file(TENSORS, path)
    with pytest.raises(FileError, match="was not written by cdq"):
        read_tensors(path)


def test_newer_formats_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files, "FORMAT", 2)
        write_tensors(path, TENSORS, HEADER)
    with pytest.raises(FileError, match="has format 2; this cdq reads 1: upgrade cdq"):
        read_tensors(path)


def test_directories_and_missing_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", tmp_path / "missing" / "file"):
        with pytest.raises(FileError, match="cannot read"):
            read_tensors(path)


# ---- writing


def fail(number: int) -> Any:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return failing


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "No space left"), (errno.EIO, "Input/output")]
)
def test_failed_writing_leaves_the_old_file_and_no_other(
    path: Path, name: str, number: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail(number))
        with pytest.raises(FileError, match=f"cannot write {path}: {message}"):
            write_tensors(path, {"values": np.ones(5)}, HEADER)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupt_leaves_the_old_file_and_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_tensors(path, {"values": np.ones(5)}, HEADER)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_was_not_there_is_not_there_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", fail(errno.ENOSPC))
    with pytest.raises(FileError):
        write_atomically(tmp_path / "new", b"data")
    assert os.listdir(tmp_path) == []


def test_the_new_file_replaces_the_old(path: Path) -> None:
    write_atomically(path, b"data")
    assert path.read_bytes() == b"data"
    assert os.listdir(path.parent) == [path.name]


def test_directories_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot write .*: No such file or directory"):
        write_tensors(tmp_path / "missing" / "file", TENSORS, HEADER)


def test_files_have_the_permissions_that_the_user_gives_new_ones(path: Path) -> None:
    (path.parent / "plain").write_bytes(b"")
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode
