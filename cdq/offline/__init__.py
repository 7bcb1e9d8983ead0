"""Logged transitions: read, checked and replayed.

- `columns`: Columns of logs as numbers: whole ones may be floats or objects, and what is never read may be missing.
- `logged`: A log without an environment: what is learnt of it is a table of the states and actions that it names.
- `logs`: Logged transitions: columns of NumPy, pandas or Minari in, checked and encoded.
- `names`: Names of the states and actions of a log, of any hashable kind: numbered, and to bytes and back without
  pickle.
- `replay`: Learning from logged transitions: each worker replays its part, and all merge as ever.
"""

from cdq.offline.columns import masks
from cdq.offline.logged import LoggedSubject
from cdq.offline.logs import Log, encoding_of_states, read_log, read_minari
from cdq.offline.names import Names
from cdq.offline.replay import Replays, steps_of

__all__ = [
    "Log",
    "LoggedSubject",
    "Names",
    "Replays",
    "encoding_of_states",
    "masks",
    "read_log",
    "read_minari",
    "steps_of",
]
