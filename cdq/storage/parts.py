"""Part of a large file: its header and the first rows of each tensor, for whoever only looks at it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.errors import FileError
from cdq.storage.files import LONGEST_HEAD, TYPES, header_of, open_regular

_DTYPES = {name: dtype for dtype, name in TYPES.items()}


class Part(NamedTuple):
    """Part of a file.

    Attributes
    ----------
    tensors : dict of str to ndarray
        First rows of each tensor.
    header : dict
        Header of the file.
    rows : dict of str to int
        Number of rows of each whole tensor.
    """

    tensors: dict[str, npt.NDArray[Any]]
    header: dict[str, Any]
    rows: dict[str, int]


def read_part(path: Path, most: int, *, follow: bool = True) -> Part:
    """Return the header of a file that `write_tensors` wrote, and as many first rows of each tensor as fit.

    The checksum is that of the whole file and is not compared: what is read is to be looked at, and nothing more.

    Parameters
    ----------
    path : Path
        Path of the file.
    most : int
        Bytes that are read of each tensor at most.
    follow : bool
        False: refuse a link.

    Raises
    ------
    FileError
        If it cannot be read, or is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from cdq.storage import write_tensors
    >>> with tempfile.TemporaryDirectory() as name:
    ...     write_tensors(Path(name, "table"), {"values": np.arange(8.0).reshape(4, 2)}, {"kind": "example"})
    ...     part = read_part(Path(name, "table"), most=40)
    >>> part.tensors["values"].tolist(), part.rows
    ([[0.0, 1.0], [2.0, 3.0]], {'values': 4})
    """
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY, follow=follow), "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size, most)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = error.strerror or error if isinstance(error, OSError) else f"its head is damaged: {error!r}"
        raise FileError(f"cannot read {path}: {why}") from None


def _read(file: BinaryIO, size: int, most: int) -> Part:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, LONGEST_HEAD):
        raise FileError("it is too short, or no safetensors file; use another copy")
    entries = json.loads(file.read(length))
    header = header_of(entries.pop("__metadata__"))
    tensors, rows = {}, {}
    for name, entry in entries.items():
        tensors[name], rows[name] = _tensor(file, entry, 8 + length, size, most)
    return Part(tensors, header, rows)


def _tensor(
    file: BinaryIO, entry: dict[str, Any], base: int, size: int, most: int
) -> tuple[npt.NDArray[Any], int]:
    """Return the first rows of a tensor, and how many there are."""
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), [int(n) for n in entry["shape"]]
    begin, end = (int(offset) for offset in entry["data_offsets"])
    if not shape or min(shape) < 0 or not 0 <= begin <= end <= size - base:
        raise ValueError(f"a tensor of shape {shape} from {begin} to {end}")
    row = math.prod(shape[1:]) * dtype.itemsize
    if end - begin != shape[0] * row:
        raise ValueError(f"a tensor of shape {shape} in {end - begin} bytes")
    taken = min(shape[0], most // row) if row else 0
    file.seek(base + begin)
    data = file.read(taken * row)
    if len(data) < taken * row:
        raise FileError("it ends too soon; use another copy")
    return np.frombuffer(data, dtype).reshape(taken, *shape[1:]), shape[0]
