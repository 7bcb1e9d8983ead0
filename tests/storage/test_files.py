from __future__ import annotations

import errno
import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import cdq
from cdq.errors import FileError
from cdq.storage import files
from cdq.storage.files import (
    parse_tensors,
    read_tensors,
    replacing,
    require_kind,
    unfinished,
    write_tensors,
)

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
    for length in range(len(whole)):
        with pytest.raises(FileError, match="cannot read cut: "):
            parse_tensors(whole[:length], "cut")
    path.write_bytes(whole[:-1])
    with pytest.raises(FileError, match=f"cannot read {path}: "):
        read_tensors(path)


def test_longer_files_are_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 8)
    with pytest.raises(FileError, match="cannot read"):
        read_tensors(path)


@pytest.mark.parametrize("flip", [1 << bit for bit in range(8)] + [0xFF])
def test_altered_bytes_never_pass(path: Path, flip: int) -> None:
    whole = path.read_bytes()
    for offset in range(len(whole)):
        with pytest.raises(FileError, match="cannot read altered"):
            parse_tensors(alter(whole, offset, flip), "altered")


def alter(data: bytes, offset: int, flip: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ flip]) + data[offset + 1 :]


def test_white_space_between_words_of_the_head_says_nothing(path: Path) -> None:
    """The one alteration that may pass, of several bits: a space of the head that becomes a tab or a line's end."""
    whole, expected = path.read_bytes(), read_tensors(path)
    passed = 0
    for offset in (offset for offset in range(len(whole)) if whole[offset] == ord(" ")):
        for other in b"\t\n\r":
            try:
                found = parse_tensors(alter(whole, offset, ord(" ") ^ other), "altered")
            except FileError:
                continue
            assert same(found, expected), f"byte {offset}"
            passed += 1
    assert passed > 0


def same(left: Any, right: Any) -> bool:
    """Compare what was read, to the bit."""
    bits = [
        [(name, tensor.dtype, tensor.shape, tensor.tobytes()) for name, tensor in sorted(tensors.items())]
        for tensors, _ in (left, right)
    ]
    return bool(bits[0] == bits[1] and left[1] == right[1])


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
    with pytest.raises(FileError, match="is not of format 1, which this cdq reads; upgrade cdq"):
        read_tensors(path)


def test_directories_and_missing_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "missing" / "file", tmp_path / "pipe"):
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
        write_tensors(tmp_path / "new", TENSORS, HEADER)
    assert os.listdir(tmp_path) == []


class FillingDisk(io.FileIO):
    """A file on a disk that takes *room* more bytes; the write that meets the end takes a part."""

    room = 0

    def write(self, data: Any) -> int:
        taken = min(self.room, len(data))
        if taken == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= taken
        return super().write(data[:taken]) or 0


def test_a_disk_that_fills_at_any_byte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    opened = lambda name, mode: io.BufferedWriter(FillingDisk(name, mode), 16)  # noqa: E731
    monkeypatch.setattr(files, "open", opened, raising=False)
    for room in range(0, len(before), 31):
        monkeypatch.setattr(FillingDisk, "room", room)
        with pytest.raises(FileError, match=f"cannot write {path}: No space left"):
            write_tensors(path, TENSORS, HEADER)
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]
    monkeypatch.setattr(FillingDisk, "room", 2 * len(before))
    write_tensors(path, {"values": np.ones(3)}, HEADER)
    assert read_tensors(path)[0]["values"].tolist() == [1, 1, 1]


def test_replacing_takes_any_bytes(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"data")
        assert [leftover.name for leftover in unfinished(path.parent, "*.safetensors")] == [
            name for name in os.listdir(path.parent) if name != path.name
        ]
    assert path.read_bytes() == b"data"
    assert os.listdir(path.parent) == [path.name]


def test_tensors_of_every_kind_and_form(tmp_path: Path) -> None:
    written = {
        "empty": np.zeros((0, 3)),
        "scalar": np.array(2.5),
        "strided": np.arange(12)[::3],
        "turned": np.arange(6.0).reshape(2, 3).T,
        "big-endian": np.arange(3, dtype=">f4"),
        **{
            kind: np.array([0, 1], kind)
            for kind in ("?", "b", "B", "h", "H", "e", "i", "I", "f", "q", "Q", "d")
        },
    }
    write_tensors(tmp_path / "all", written, {})
    read, _ = read_tensors(tmp_path / "all")
    theirs = safetensors.numpy.load_file(tmp_path / "all")
    for name, tensor in written.items():
        assert read[name].shape == tensor.shape
        assert read[name].dtype == tensor.dtype.newbyteorder("<")
        assert read[name].tolist() == theirs[name].tolist() == tensor.tolist()
        assert read[name].flags.writeable


def test_writing_takes_no_second_copy_in_memory(tmp_path: Path) -> None:
    tensors = {"values": np.ones(2**20)}
    tracemalloc.start()
    write_tensors(tmp_path / "big", tensors, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20, "bytes, for 2**23 bytes of tensors"


def test_a_file_is_written_at_exit(tmp_path: Path) -> None:
    """No thread can be started then."""
    script = f"""
import atexit, numpy
from cdq.storage.files import write_tensors
atexit.register(write_tensors, {str(tmp_path / "last")!r}, {{"values": numpy.ones(2)}}, {{}})
"""
    run_script(script)
    assert read_tensors(tmp_path / "last")[0]["values"].tolist() == [1, 1]


def run_script(script: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path(cdq.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_directories_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot write .*: No such file or directory"):
        write_tensors(tmp_path / "missing" / "file", TENSORS, HEADER)


def test_files_have_the_permissions_that_the_user_gives_new_ones(path: Path) -> None:
    (path.parent / "plain").write_bytes(b"")
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode


@pytest.mark.parametrize("kind", ["a\x1b[2Jb", "a\nb", "a" * 10**6, ["a"] * 1000, None])
def test_a_kind_that_is_none_is_told_in_one_short_line(kind: Any) -> None:
    with pytest.raises(FileError) as caught:
        require_kind("lake.safetensors", {"kind": kind}, "table")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200
