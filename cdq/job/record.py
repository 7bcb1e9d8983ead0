"""Record that the hub's part of learning keeps of its rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdq.comm.contribution import Received


@dataclass(frozen=True)
class Record:
    """Record that a service keeps of its rounds; by default none.

    Attributes
    ----------
    write : callable, optional
        Makes a round durable, before it counts: gets its line for the journal.
    store : callable, optional
        Stores the contributions to a round, by its number, before it counts.
    write_checkpoint : callable, optional
        Called with the service after a round at which a checkpoint is due, and after the last.
    is_crowded : callable
        Returns True if so much is stored that a checkpoint, which makes it superfluous, is due.
    """

    write: Callable[[Mapping[str, Any]], None] | None = None
    store: Callable[[int, Sequence[Received]], None] | None = None
    write_checkpoint: Callable[[Any], None] | None = None
    is_crowded: Callable[[], bool] = lambda: False


NO_RECORD = Record()
