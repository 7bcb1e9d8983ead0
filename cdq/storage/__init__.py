"""Safe files, and directories of checkpoints.

- `directory`: The checkpoints of a run: a directory that one process writes, in which the newest whole file counts.
- `files`: Files: tensors with a JSON header and a checksum, written so that a crash leaves the old file or the new
  one.
"""

from cdq.storage.directory import Checkpoint, CheckpointDirectory
from cdq.storage.files import (
    Tensors,
    check_replaceable,
    open_regular,
    open_to_read,
    pack_tensors,
    parse_tensors,
    read_tensors,
    replacing,
    require_kind,
    strict_json,
    write_tensors,
)

__all__ = [
    "Checkpoint",
    "CheckpointDirectory",
    "Tensors",
    "check_replaceable",
    "open_regular",
    "open_to_read",
    "pack_tensors",
    "parse_tensors",
    "read_tensors",
    "replacing",
    "require_kind",
    "strict_json",
    "write_tensors",
]
