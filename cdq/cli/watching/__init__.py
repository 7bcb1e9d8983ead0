"""A page in the browser on a run: what it shows, and how it gets there.

- `board`: The page and its stream of events: a reader gets each part of the picture when that has changed.
- `directory`: A run as its directory of checkpoints has it: the newest one, who writes there, a hub's last rounds.
- `job`: A job as its hub tells of it: figures, curves, table and workers, also while the hub is gone.
- `model`: Model of a run that is looked at, for the grid of its table.
- `rounds`: Last rounds of a hub, by its journal: their steps, their speed, and the workers that brought something.
- `workers`: Workers of a job as one who looks on has seen them join, learn, be lost and come back.
"""

from cdq.cli.watching.board import Board
from cdq.cli.watching.directory import DirectoryWatch
from cdq.cli.watching.job import JobWatch

__all__ = ["Board", "DirectoryWatch", "JobWatch"]
