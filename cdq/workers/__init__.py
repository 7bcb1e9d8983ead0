"""One worker, and one round: windows, contributions, merging, overlap.

- `contribution`: The contribution of a worker to a round, as its communicator sees it.
- `overlap`: Overlap: the merge of a window travels while the next window is learnt, and is applied one window late.
- `rounds`: One round as a transaction: contribution, communicator, staged table, agreement, swap.
- `windows`: Lengths of windows: fixed, or chosen after each round from merged data.
- `worker`: One worker: its lanes, its copy of the table, its random streams; it learns for a window at a time.
"""

from cdq.workers.contribution import SUMMARY, PeerTable, Rule, Summary, WorkerContribution, peer_bytes
from cdq.workers.overlap import Pipeline
from cdq.workers.rounds import GO_ON, STOP_AFTER, STOP_BEFORE, Interrupted, Round, Step, play
from cdq.workers.windows import LONGEST_WINDOW, AutoWindow, FixedWindow, Window, as_window, sweeps_of
from cdq.workers.worker import EVALUATION, Worker, streams

__all__ = [
    "EVALUATION",
    "GO_ON",
    "LONGEST_WINDOW",
    "STOP_AFTER",
    "STOP_BEFORE",
    "SUMMARY",
    "AutoWindow",
    "FixedWindow",
    "Interrupted",
    "PeerTable",
    "Pipeline",
    "Round",
    "Rule",
    "Step",
    "Summary",
    "Window",
    "Worker",
    "WorkerContribution",
    "as_window",
    "peer_bytes",
    "play",
    "streams",
    "sweeps_of",
]
