"""cdq join: be a worker of a hub's job."""

from __future__ import annotations

import sys
from typing import Annotated

from cdq.cli.options import HubUrl, KeysDirectory, Progress, keys_in, progress_by
from cdq.cli.parameters import option

_SILENCE = 120.0

Timeout = Annotated[float, option(metavar="SECONDS", help="How long the hub may be silent, or not be there.")]


def join(
    url: HubUrl, *, keys: KeysDirectory = None, timeout: Timeout = _SILENCE, progress: Progress = 10.0
) -> None:
    """Learn for a hub until its job is done; what to learn comes from the hub.

    Start it as often as wanted, at any time, on any machine. Ctrl-C and
    SIGTERM end it after the window in hand; nothing breaks if it is killed.

    [bold]Examples[/bold]

    cdq join tcp://127.0.0.1:5555
    cdq join zmq+curve://hub.example.org:5555 --keys keys/worker
    """
    from cdq.comm.base import checked_timeout
    from cdq.comm.zmq.address import parse
    from cdq.job.join import take_part

    address, seconds, known = parse(url), checked_timeout(timeout), keys_in(keys)
    bar = progress_by(progress)
    print(f"learning for the hub at {address}, when it answers; Ctrl-C leaves", file=sys.stderr)
    learnt = take_part(str(address), timeout=seconds, keys=known, progress=bar)
    print(f"{learnt:,} steps were learnt here", file=sys.stderr)
