"""cdq join: be a worker of a hub's job."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from cdq.cli.completion import environments
from cdq.cli.options import HubUrl, KerasModel, KeysDirectory, Progress, keys_in, progress_by
from cdq.cli.parameters import argument, option

if TYPE_CHECKING:
    from cdq.training import EnvironmentTask

_SILENCE = 120.0

Timeout = Annotated[float, option(metavar="SECONDS", help="How long the hub may be silent, or not be there.")]
Env = Annotated[
    str | None,
    argument(
        metavar="[ENV]",
        help="The environment, where the hub names one of a module (module:Env-v0): that it may be imported.",
        shell_complete=environments,
    ),
]


def join(
    url: HubUrl,
    env: Env = None,
    *,
    network: KerasModel = None,
    keys: KeysDirectory = None,
    timeout: Timeout = _SILENCE,
    progress: Progress = 10.0,
) -> None:
    """Learn for a hub until its job is done; what to learn comes from the hub.

    A model comes with it. Another environment is made here, of the id and
    arguments that the hub names; of a fleet the one that nobody else steps.

    Start it as often as wanted, at any time, on any machine. Ctrl-C and
    SIGTERM end it after the window in hand; nothing breaks if it is killed.

    [bold]Examples[/bold]

    cdq join tcp://127.0.0.1:5555
    cdq join zmq+curve://hub.example.org:5555 --keys keys/worker
    cdq join tcp://127.0.0.1:5555 shop:Shop-v0
    """
    from cdq.comm.base import checked_timeout
    from cdq.comm.zmq.address import parse
    from cdq.job.join import take_part

    address, seconds, known = parse(url), checked_timeout(timeout), keys_in(keys)
    bar = progress_by(progress)
    print(f"learning for the hub at {address}, when it answers; Ctrl-C leaves", file=sys.stderr)
    make = partial(_made, env=env, network=network)
    learnt = take_part(str(address), timeout=seconds, keys=known, progress=bar, make=make)
    print(f"{learnt:,} steps were learnt here", file=sys.stderr)


def _made(about: Mapping[str, Any], *, env: str | None, network: str | None) -> EnvironmentTask:
    """Return the task of an environment that the hub describes; *env* and *network* are names that the user gives."""
    from cdq.learner.members import task_of  # here: it takes Gymnasium with it, and models need none

    return task_of(about, env, network)
