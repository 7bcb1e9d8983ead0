"""cdq launch: local processes that learn together."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import click

from cdq.cli.parameters import argument, option
from cdq.errors import ConfigError

_MOST = 1024

Size = Annotated[int, option("-n", metavar="N", help="How many processes.")]
Program = Annotated[
    str, argument(metavar="PROGRAM", help="A Python script (NAME.py), or a program of the PATH.")
]
Arguments = Annotated[list[str] | None, argument(metavar="[ARGUMENTS]...", help="Of the program.")]


def launch(program: Program, arguments: Arguments = None, *, size: Size) -> None:
    """Run N processes of a program on this machine, which learn together.

    A learner with comm="auto", which is the default, is in each of them one
    worker of N. The first process that fails ends the others, and its exit
    status is that of the command. Ctrl-C and SIGTERM are passed on to all.

    [bold]Examples[/bold]

    cdq launch -n 4 train.py --my-option 3
    cdq launch -n 4 cdq train Taxi-v4 --steps 1e7
    """
    from cdq.comm.zmq.ranks.launch import launch as launch_processes

    if not 1 <= size <= _MOST:
        raise ConfigError(f"-n is {size}; it must be a number of processes from 1 to {_MOST}")
    logging.getLogger("cdq.hub").setLevel(logging.ERROR)  # that a rank ended is for this command to tell
    python = [sys.executable] if program.endswith(".py") else []
    failed = launch_processes([*python, program, *(arguments or [])], size)
    if failed is not None:
        print(f"cdq: rank {failed.rank} ended with status {failed.status}", file=sys.stderr)
        raise click.exceptions.Exit(failed.status)
