"""Files: tensors with a JSON header and a checksum, written so that a crash leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from cdq._version import __version__
from cdq.errors import FileError
from cdq.errors.checks import shown

FORMAT = 1
Tensors = Mapping[str, npt.NDArray[Any]]

# Bytes of the JSON in a file that is its header, and of all that stands before the data.
_LONGEST_HEADER, LONGEST_HEAD = 1 << 23, 20 << 20
# Numbers of a header that are larger than this fit nothing that a header counts.
_LARGEST = 1 << 1000

# Ways to read each kind of file: a hint for who took the wrong one.
_READERS = {
    "table": "read it with cdq.QTable.load",
    "learner": "read it with cdq.QLearner.load",
    "checkpoint": "give its directory to cdq.QLearner.resume, or cdq train --resume DIR --save FILE",
    "model": "read it with cdq.MDP.load",
    "solution": "read it with cdq.Solution.load",
}

# NumPy's names of the types, and safetensors'. Little-endian, as the format is.
TYPES = {
    "|b1": "BOOL",
    "|u1": "U8",
    "|i1": "I8",
    "<u2": "U16",
    "<i2": "I16",
    "<f2": "F16",
    "<u4": "U32",
    "<i4": "I32",
    "<f4": "F32",
    "<u8": "U64",
    "<i8": "I64",
    "<f8": "F64",
}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file in place of *path*: a reader, or a crash at any moment, sees the old one or the whole new one.

    Raises
    ------
    FileError
        If the disk is full or the directory cannot be written; nothing is left behind.
    """
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as file:  # not by tempfile, whose files are the owner's alone
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def check_replaceable(path: Path) -> None:
    """Raise now what `replacing` would raise after the work whose result is to be written to *path*.

    Raises
    ------
    FileError
        If something else than a regular file is there, or no file can be made beside it.
    """
    try:
        if path.exists() and not path.is_file():
            kind = "a directory, " if path.is_dir() else ""
            raise FileError(f"cannot write {path}: it is {kind}not a regular file; name one")
        if not path.parent.is_dir():
            raise FileError(f"cannot write {path}: there is no directory {path.parent}")
        temporary = _temporary(path)
        with open(
            temporary, "xb"
        ):  # the only proof: permissions, quotas, names too long, file systems read-only
            os.unlink(temporary)
    except FileError:
        raise
    except (OSError, ValueError) as error:
        raise FileError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None


def _temporary(path: Path) -> Path:
    """Return a name beside *path* that nobody else has."""
    return path.parent / f".{path.name}.{secrets.token_hex(8)}"


def open_regular(path: str | os.PathLike[str], flags: int, *, follow: bool) -> int:
    """Return a descriptor of a regular file: no device, pipe or directory, which might have no end or never open.

    Parameters
    ----------
    path : path
        Path of the file.
    flags : int
        Flags of `os.open`.
    follow : bool
        False: refuse a link. Where cdq itself chose the name, as in a checkpoint directory, a link is somebody
        else's, and what it leads to must be neither read nor changed.

    Raises
    ------
    FileError
        If it cannot be opened or is something else; says what, without the path.
    """
    flags |= os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if not follow and os.path.islink(path):
            raise FileError("it is a link, which is not followed here; put the file itself there") from None
        raise FileError(error.strerror or str(error)) from None
    except ValueError as error:  # a null byte in the name
        raise FileError(str(error)) from None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor
    os.close(descriptor)
    raise FileError("Is a directory" if stat.S_ISDIR(status.st_mode) else "it is not a regular file")


def open_to_read(path: Path, *, follow: bool) -> BinaryIO:
    """Return a regular file, open to be read; see `open_regular`.

    Raises
    ------
    FileError
        If it cannot be; names it.
    """
    try:
        return os.fdopen(open_regular(path, os.O_RDONLY, follow=follow), "rb")
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None


def unfinished(directory: Path, pattern: str) -> list[Path]:
    """Return what killed writers left in place of files whose names match *pattern*."""
    return sorted(directory.glob(f".{pattern}.*"))


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":  # a rename is durable once its directory is
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_tensors(path: str | os.PathLike[str], tensors: Tensors, header: Mapping[str, Any]) -> None:
    """Write *tensors* and *header* (a JSON object) to a safetensors file.

    Contiguous tensors are not copied; they must not change meanwhile.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    arrays, text = _prepared(tensors, header)
    with replacing(Path(path)) as file, ThreadPoolExecutor(1) as pool:
        checksum = _begin_checksum(pool, text, arrays)
        file.write(_head(arrays, text, "0" * 64))
        for name in _order(arrays):
            file.write(arrays[name].data)
        # The disk takes the data in while they are hashed, and the head, of the same length, again at last: the
        # time of the slower of both. Hashed before, a file of 320 MiB took 2.1 times as long as dd, now 1.0 to 1.2.
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        file.write(_head(arrays, text, checksum()))


def pack_tensors(tensors: Tensors, header: Mapping[str, Any]) -> bytes:
    """Return the bytes of the file that `write_tensors` writes; `parse_tensors` reads them."""
    arrays, text = _prepared(tensors, header)
    data = [arrays[name].tobytes() for name in _order(arrays)]
    return b"".join([_head(arrays, text, _checksum(text, arrays)), *data])


def _prepared(tensors: Tensors, header: Mapping[str, Any]) -> tuple[Tensors, str]:
    arrays = {
        name: np.asarray(tensor, tensor.dtype.newbyteorder("<"), order="C")
        for name, tensor in tensors.items()
    }
    text = json.dumps({"format": FORMAT, "cdq": __version__, **header}, sort_keys=True, allow_nan=False)
    if len(text) > _LONGEST_HEADER:
        raise FileError(f"the header has {len(text):,} bytes; allowed: {_LONGEST_HEADER:,}")
    return arrays, text


def _begin_checksum(pool: ThreadPoolExecutor, text: str, tensors: Tensors) -> Callable[[], str]:
    try:
        return pool.submit(_checksum, text, tensors).result
    except RuntimeError:  # in functions called at the interpreter's exit no thread can be started
        return partial(_checksum, text, tensors)


def _order(tensors: Tensors) -> list[str]:
    """Return the names in the order of the data: the widest type first, which aligns them all."""
    return sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))


def _head(tensors: Tensors, text: str, checksum: str) -> bytes:
    """Return the bytes before the data: https://github.com/huggingface/safetensors#format."""
    entries: dict[str, Any] = {"__metadata__": {"cdq": text, "sha256": checksum}}
    end = 0
    for name in _order(tensors):
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        dtype = TYPES[tensor.dtype.str]
        entries[name] = {"dtype": dtype, "shape": tensor.shape, "data_offsets": [begin, end]}
    head = json.dumps(entries).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head


def read_tensors(
    path: str | os.PathLike[str], *, follow: bool = True
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Return the tensors and the header of a file that `write_tensors` wrote.

    Parameters
    ----------
    path : path
        Path of the file.
    follow : bool
        False: refuse a link.

    Raises
    ------
    FileError
        If it is missing, is no such file, was truncated or altered, or is of a newer format.
    """
    return parse_tensors(read_file(path, follow=follow), str(path))


def read_file(path: str | os.PathLike[str], *, follow: bool = True) -> bytes:
    """Return the bytes of a file for `parse_tensors`; they are read once its head says that they are as many.

    Raises
    ------
    FileError
        If it cannot be read, is no regular file, or is shorter or longer than it says.
    """
    try:
        # Read, not mapped: where the disk fails, a read is an error and a mapped page the end of the process.
        with os.fdopen(open_regular(path, os.O_RDONLY, follow=follow), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _require_length(file.read(8), file, size)
    except MemoryError:
        raise FileError(f"cannot read {path}: its {size:,} bytes do not fit into the memory") from None
    except OSError as error:
        more = f"; of checkpoints, {_READERS['checkpoint']}" if os.path.isdir(path) else ""
        raise FileError(f"cannot read {path}: {error.strerror or error}{more}") from None


def _require_length(start: bytes, file: BinaryIO, size: int) -> bytes:
    """Return a whole file that begins with *start* if its head, which is read first, gives it this *size*."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, LONGEST_HEAD):
        raise FileError("it is too short, or no safetensors file; use another copy")
    head = file.read(length)
    try:
        entries = json.loads(head)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(f"its head is damaged ({type(error).__name__}); use another copy") from None
    if expected != size:
        raise FileError(f"it has {size:,} bytes where its head says {expected!r:.30}; use another copy")
    return b"".join([start, head, file.read(size - 8 - length)])


def require_kind(path: object, header: Mapping[str, Any], kind: str) -> None:
    """Raise `FileError` unless a file, which *path* names, is of the given kind."""
    found = header.get("kind")
    if found != kind:
        told = shown(found).strip("'")  # whatever a file says, it is one short line
        raise FileError(
            f"{path} holds a {told}, not a {kind}; {_READERS.get(str(found), 'use another file')}"
        )


def parse_tensors(data: bytes, name: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Return what `read_tensors` returns, for the bytes of a file; errors call it *name*.

    Raises
    ------
    FileError
        If the bytes are no such file's, were truncated or altered, or are of a newer format.
    """
    try:
        tensors = safetensors.numpy.load(data)
        head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return tensors, _header(tensors, head.get("__metadata__", {}))
    except (safetensors.SafetensorError, ValueError, KeyError, RecursionError, FileError) as error:
        raise FileError(f"cannot read {name}: {error}") from None


def _header(tensors: Tensors, metadata: Mapping[str, str]) -> dict[str, Any]:
    if "cdq" in metadata and metadata.get("sha256") != _checksum(metadata["cdq"], tensors):
        raise FileError("it was altered (its checksum differs); use another copy")
    return header_of(metadata)


def header_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the header that the metadata of a file hold; raise `FileError` or `ValueError` if they hold none."""
    if "cdq" not in metadata:
        raise FileError("it was not written by cdq; use another file")
    if len(metadata["cdq"]) > _LONGEST_HEADER:
        raise FileError(f"its header is longer than {_LONGEST_HEADER:,} bytes; use another copy")
    header = strict_json(metadata["cdq"])
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FileError(f"it is not of format {FORMAT}, which this cdq reads; upgrade cdq")
    return header


def strict_json(text: str | bytes) -> Any:
    """Return what JSON says, read strictly: no name twice, no NaN or infinity, no half character, no huge number.

    Raises
    ------
    ValueError
        If it is not JSON, or not so.
    RecursionError
        If it is nested too deeply.

    Examples
    --------
    >>> strict_json('{"steps": 5}')
    {'steps': 5}
    """
    found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number, parse_int=_integer)
    escape = b"\\ud" if isinstance(text, bytes) else "\\ud"
    if escape in text.lower():  # type: ignore[operator]  # of the same type
        _require_characters(found)
    return found


def _require_characters(found: Any) -> None:
    """Raise `ValueError` if a text is none that can be printed: half of a character that takes two escapes."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a character, a lone surrogate") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) > _LARGEST:
        raise ValueError(f"a number has {len(text)} digits")
    return number


def _checksum(text: str, tensors: Tensors) -> str:
    """Return the SHA-256 of the header's text and, in the order of names, each tensor's name, type, shape, bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.data)
    return digest.hexdigest()
