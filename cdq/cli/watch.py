"""cdq watch: a run in the browser."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cdq.cli.options import KeysDirectory, keys_in
from cdq.cli.output import printable
from cdq.cli.parameters import argument, option
from cdq.errors import ConfigError

if TYPE_CHECKING:
    from cdq.cli.watching import DirectoryWatch, JobWatch

_PAUSE = 1.0  # seconds between two looks

Source = Annotated[
    str, argument(metavar="DIR|URL", help="A directory that --checkpoint names, or the address of a hub.")
]
Port = Annotated[int, option(metavar="N", help="Port of the page.", show_default="any that is free")]
Env = Annotated[
    str | None,
    option(
        metavar="ENV",
        help="With DIR: the environment, where it is of a module (module:Env-v0).",
        show_default="what the checkpoint names",
    ),
]
Timeout = Annotated[float, option(metavar="SECONDS", help="How long the hub may take to answer at first.")]
Open = Annotated[bool, option("--open", help="Open the page in the browser.")]


def watch(
    source: Source,
    *,
    port: Port = 0,
    keys: KeysDirectory = None,
    env: Env = None,
    timeout: Timeout = 10.0,
    open_page: Open = False,
) -> None:
    """Show a run on a page for the browser of this machine, as it goes on or afterwards, until Ctrl-C.

    A directory of checkpoints has the figures, the curves and the table; a
    hub tells of its workers, too, as they join, are lost and come back. The page
    changes nothing, and nothing on it is loaded from elsewhere.

    [bold]Examples[/bold]

    cdq watch runs/lake
    cdq watch tcp://127.0.0.1:5555 --port 8000
    cdq watch zmq+curve://hub.example:5555 --keys keys/worker
    """
    with contextlib.suppress(KeyboardInterrupt):  # also while it is not shown yet
        _show(source, port, _watch_of(source, keys, env, timeout), open_page=open_page)


def _show(source: str, port: int, watched: DirectoryWatch | JobWatch, *, open_page: bool) -> None:
    from cdq.cli.watching import Board
    from cdq.errors.checks import whole
    from cdq.job.web import Address, Site

    address, board = Address("127.0.0.1", whole("--port", port, 0, (1 << 16) - 1)), Board()
    board.show(watched.look())
    with Site(address, board.pages(), "the page") as site, contextlib.closing(board):
        print(f"{printable(source)} is shown at {site.url} until Ctrl-C", flush=True)
        if open_page:
            _open(site.url)
        while True:
            time.sleep(_PAUSE)
            board.show(watched.look())


def _watch_of(source: str, keys: Path | None, env: str | None, timeout: float) -> DirectoryWatch | JobWatch:
    """Return what looks at a directory or a hub."""
    from cdq.cli.watching import DirectoryWatch, JobWatch
    from cdq.comm.base import checked_timeout
    from cdq.comm.zmq.address import parse

    seconds = checked_timeout(timeout)
    if "://" not in source:
        if keys is not None:
            raise ConfigError("--keys are those for a hub; leave them out for a directory")
        return DirectoryWatch(Path(source), env)
    if env is not None:
        raise ConfigError("--env belongs to a directory; a hub knows its environment")
    return JobWatch(str(parse(source)), seconds, keys_in(keys))


def _open(url: str) -> None:
    import webbrowser

    webbrowser.open(url)
