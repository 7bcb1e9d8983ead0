"""Several tasks on a communicator: what each rank of a pool's job learns."""

from __future__ import annotations

from typing import Any

import numpy as np

import cdq
from cdq.comm.base import Communicator


def pay(states: Any, actions: Any, rewards: Any, next_states: Any) -> Any:
    """Return two numbers of each transition."""
    return np.stack([rewards, (actions == 0) * -1.0], axis=1)


TASKS: dict[str, Any] = {
    "goals": cdq.Goals([14, 10, 3]),
    "rewards": cdq.Rewards(["home", "no left"], pay),
    "features": cdq.Weights([[1.0, 0.1], [0.5, 1.0], [1.0, 0.0]], pay),
}


def learn(kind: str, dtype: str, overlap: bool, comm: Communicator | None = None, workers: int = 1) -> str:
    """Learn, as a rank or with threads; return the digest of the table."""
    how: dict[str, Any] = {"workers": workers, "comm": "inprocess"} if comm is None else {"comm": comm}
    agent = cdq.QLearner(
        "FrozenLake-v1", tasks=TASKS[kind], seed=3, dtype=dtype, overlap=overlap, sync_every=160, **how
    )
    return agent.learn(20_000, verbose=0).table.digest()


def learn_on(kind: str, dtype: str, overlap: bool, comm: Communicator) -> str:
    """Learn as a rank."""
    return learn(kind, dtype, overlap, comm)
