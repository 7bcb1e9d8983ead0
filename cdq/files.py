"""Files: tensors with a JSON header and a checksum, written so that a crash leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from cdq._version import __version__
from cdq.errors import FileError

FORMAT = 1
Tensors = Mapping[str, npt.NDArray[Any]]


def write_atomically(path: Path, data: bytes) -> None:
    """Write *data* to *path*: a reader, or a crash at any moment, sees the old file or the whole new one.

    Raises
    ------
    FileError
        If the disk is full or the directory cannot be written; nothing is left behind.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        with open(temporary, "xb") as file:  # not by tempfile, whose files are the owner's alone
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _sync_directory(directory: Path) -> None:
    if os.name == "posix":  # a rename is durable once its directory is
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_tensors(path: str | os.PathLike[str], tensors: Tensors, header: Mapping[str, Any]) -> None:
    """Write *tensors* and *header* (a JSON object) to a safetensors file.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    text = json.dumps({"format": FORMAT, "cdq": __version__, **header}, sort_keys=True, allow_nan=False)
    metadata = {"cdq": text, "sha256": _checksum(text, arrays)}
    write_atomically(Path(path), safetensors.numpy.save(arrays, metadata))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Return the tensors and the header of a file that `write_tensors` wrote.

    Raises
    ------
    FileError
        If it is missing, is no such file, was truncated or altered, or is of a newer format.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise FileError(f"cannot read {path}: {error}") from None
    if "cdq" not in metadata or metadata.get("sha256") != _checksum(metadata["cdq"], tensors):
        what = "was altered (its checksum differs)" if "cdq" in metadata else "was not written by cdq"
        raise FileError(f"{path} {what}; use another copy")
    header = json.loads(metadata["cdq"])
    if header.get("format") != FORMAT:
        raise FileError(f"{path} has format {header.get('format')}; this cdq reads {FORMAT}: upgrade cdq")
    return tensors, header


def _checksum(text: str, tensors: Tensors) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
