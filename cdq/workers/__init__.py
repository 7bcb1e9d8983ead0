"""One worker, and one round: windows, contributions, merging, overlap.

- `contribution`: The contribution of a worker to a round, as its communicator sees it.
- `network`: The contribution of a worker that trains a network: a checksum, or its parameters and moments, to be
  averaged.
- `overlap`: Overlap: the merge of a window travels while the next window is learnt, and is applied one window late.
- `rounds`: One round as a transaction: contribution, communicator, staged table, agreement, swap.
- `stretches`: Stretches: rounds that are played one after another in compiled code, as nobody looks in between.
- `tallies`: Tallies: figures of the episodes that end in a window, in parts of the window one after another; records
  of rounds.
- `worker`: One worker: its lanes, its copy of the table, its random streams; it learns for a window at a time.
"""

from cdq.workers.contribution import LARGEST_SUMMARY, PeerTable, Rule, Summary, WorkerContribution, peer_bytes
from cdq.workers.network import NETWORK_HEAD, NetworkContribution, mean_of
from cdq.workers.overlap import Pipeline
from cdq.workers.rounds import (
    GO_ON,
    STOP_AFTER,
    STOP_BEFORE,
    Apart,
    Interrupted,
    Round,
    Step,
    play,
)
from cdq.workers.stretches import Look, Stretch, Stretches
from cdq.workers.tallies import (
    MOST_ROUNDS,
    MOST_TALLIES,
    PART_BYTES,
    RECORD,
    TALLY_WIDTH,
    Tallies,
    are_possible,
    parts_of,
    require_tallies,
    tallies_in,
)
from cdq.workers.worker import EVALUATION, PREDICTION, Worker, streams

__all__ = [
    "EVALUATION",
    "GO_ON",
    "LARGEST_SUMMARY",
    "MOST_ROUNDS",
    "MOST_TALLIES",
    "NETWORK_HEAD",
    "PART_BYTES",
    "PREDICTION",
    "RECORD",
    "STOP_AFTER",
    "STOP_BEFORE",
    "TALLY_WIDTH",
    "Apart",
    "Interrupted",
    "Look",
    "NetworkContribution",
    "PeerTable",
    "Pipeline",
    "Round",
    "Rule",
    "Step",
    "Stretch",
    "Stretches",
    "Summary",
    "Tallies",
    "Worker",
    "WorkerContribution",
    "are_possible",
    "mean_of",
    "parts_of",
    "peer_bytes",
    "play",
    "require_tallies",
    "streams",
    "tallies_in",
]
