"""A process that is a rank beside the one that started it: ``python -m cdq.rank URL RANK SIZE TIMEOUT SIGN``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from cdq.choice import make_subject, make_table
from cdq.comm.base import Communicator
from cdq.comm.registry import connect
from cdq.comm.zmq.communicator import RANK_VARIABLE
from cdq.envs.opening import Recipe
from cdq.errors import CdqError, CommError
from cdq.files import parse_tensors
from cdq.interrupts import Requests
from cdq.job.join import PARENT, end_with_parent
from cdq.keeping import Checkpoints
from cdq.merges import resolve
from cdq.monitor import watch_nothing
from cdq.run import Run
from cdq.settings import arguments_of, make_settings
from cdq.state import State
from cdq.team import Team
from cdq.training import Progress

_BEGIN = "what rank 0 said"


def take_part(comm: Communicator) -> None:
    """Learn what rank 0 says, until its call of `learn` ends."""
    tensors, header = parse_tensors(bytes(comm.broadcast(b"", 0)), _BEGIN)
    arguments: dict[str, Any] = {**arguments_of(_BEGIN, header, None), "comm": comm, "workers": None}
    settings = make_settings(**arguments)
    subject, settings = make_subject(Recipe(header["recipe"]), settings)
    state = State(make_table(subject, settings, alone=False), Progress(0, 0.0))
    state.restore(_BEGIN, tensors, header, subject)
    requests = Requests()
    team = Team(subject, state, settings, requests.stop)
    if "lanes" in tensors:
        team.lanes[comm.rank] = tensors["lanes"][comm.rank - 1]
    rule = resolve(settings.merge)
    Run(subject, settings, rule, state, team, comm, Checkpoints(None, None), requests, watch_nothing).learn(
        lambda: None
    )
    team.take_back(comm)


def main() -> None:
    """Take part as the command line says."""
    url, rank, size, timeout, sign = sys.argv[1:]
    end_with_parent(os.environ[PARENT])
    os.environ[RANK_VARIABLE] = rank
    Path(sign).touch()
    try:
        with connect(url, int(size), float(timeout))[0] as comm:
            take_part(comm)
    except CommError as error:
        raise SystemExit(1) from error  # where it began, it is said
    except CdqError as error:
        raise SystemExit(f"cdq: rank {rank}: {error}") from None


if __name__ == "__main__":
    main()
