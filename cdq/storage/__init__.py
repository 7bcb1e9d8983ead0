"""Safe files, and directories of checkpoints.

- `columns`: Columns of figures: as a CSV file, and as a frame of pandas.
- `directory`: The checkpoints of a run: a directory that one process writes, in which the newest whole file counts.
- `files`: Files: tensors with a JSON header and a checksum, written so that a crash leaves the old file or the new
  one.
- `html`: Small tables and pictures in HTML, for notebooks: nothing is loaded, and every text is escaped.
- `parts`: Part of a large file: its header and the first rows of each tensor, for whoever only looks at it.
"""

from cdq.storage.columns import Columns, in_digits, to_pandas, write_csv
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
from cdq.storage.parts import Part, read_part

__all__ = [
    "Checkpoint",
    "CheckpointDirectory",
    "Columns",
    "Part",
    "Tensors",
    "check_replaceable",
    "in_digits",
    "open_regular",
    "open_to_read",
    "pack_tensors",
    "parse_tensors",
    "read_part",
    "read_tensors",
    "replacing",
    "require_kind",
    "strict_json",
    "to_pandas",
    "write_csv",
    "write_tensors",
]
