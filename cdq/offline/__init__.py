"""Logged transitions: read, checked and replayed.

- `columns`: Columns of logs as numbers: whole numbers may be floats or objects, and entries that are not read may be
  missing.
- `logged`: A log without an environment: a table of the states and actions that the log names is learnt.
- `logs`: Logged transitions: columns of NumPy, pandas or Minari in, checked and encoded.
- `names`: Names of the states and actions of a log, of any hashable kind: numbered, and to bytes and back without
  pickle.
- `replay`: Learning from logged transitions: each worker replays its part, and all merge as in any run.
"""

from cdq.offline.columns import masks
from cdq.offline.logged import LoggedTask
from cdq.offline.logs import Log, encoding_of_states, read_log, read_minari
from cdq.offline.names import Names
from cdq.offline.replay import Replays, steps_of

__all__ = [
    "Log",
    "LoggedTask",
    "Names",
    "Replays",
    "encoding_of_states",
    "masks",
    "read_log",
    "read_minari",
    "steps_of",
]
