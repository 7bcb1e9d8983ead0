"""The command line. A user's mistake is one line on standard error and exit status 2, never a traceback."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cdq import __version__
from cdq.cli.bench import bench
from cdq.cli.doctor import doctor
from cdq.cli.evaluate import evaluate
from cdq.cli.hub import hub
from cdq.cli.join import join
from cdq.cli.keys import keygen, keys
from cdq.cli.launch import launch
from cdq.cli.options import Command
from cdq.cli.output import ReaderGone, printable, standard_streams
from cdq.cli.plot import plot
from cdq.cli.replay import replay
from cdq.cli.solve import solve
from cdq.cli.status import status
from cdq.cli.train import train
from cdq.comm.launchers import started_by
from cdq.comm.zmq.ranks.communicator import RANK_VARIABLE
from cdq.errors import CdqError, ConfigError, PeerLost, unknown_name

# The last is that of a program which SIGPIPE ends: shells expect it of one whose reader has gone.
_MISTAKE, _INTERRUPTED, _READER_GONE = 2, 130, 141
_OTHERS_FIRST = 2.0  # seconds


class _Commands(typer.core.TyperGroup):
    """A group of commands that lists them all when it does not know one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that *args* begin with, and what follows it."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise ConfigError(unknown_name("command", args[0], self.commands))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (train, evaluate, solve, plot, bench, hub, join, status, replay, keygen):
    app.command(no_args_is_help=True, cls=Command)(_command)
# What follows the program is the program's.
app.command(no_args_is_help=True, context_settings={"allow_interspersed_args": False})(launch)
app.add_typer(keys, name="keys", cls=_Commands)
app.command(cls=Command)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cdq {__version__}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _cdq(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn action values with several workers in compiled loops, and say how far from optimal they are.

    Try: cdq train FrozenLake-v1 --workers 2
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    It is 2 for a user's mistake or a file that cannot be written, standard output among them; 130 after Ctrl-C; 141
    where whoever read the output has gone.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments of the command line; default: those of the process.
    """
    try:
        with standard_streams():
            return _run(arguments)
    except ReaderGone:
        return _READER_GONE
    except CdqError as error:  # of the last lines of output
        return _fail(str(error))


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command line; return the exit status."""
    try:
        status = typer.main.get_command(app).main(arguments, prog_name="cdq", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _fail(_usage_message(error))
    except CdqError as error:
        _let_others_speak(error)
        return _fail(str(error))
    except MemoryError:
        return _fail("there is not enough memory; use a smaller table, fewer workers or smaller files")
    except OSError as error:
        return _fail(
            f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        )
    except KeyboardInterrupt:
        return _INTERRUPTED
    return int(status or 0)


def _let_others_speak(error: CdqError) -> None:
    """Wait where another rank has more to say: when it has said it, and ended, the launcher ends all others.

    Ranks that fail alike say so once, from rank 0; one that lost another leaves the word to that one.
    """
    rank = _rank()
    if rank is not None and (rank > 0 or isinstance(error, PeerLost)):
        time.sleep(_OTHERS_FIRST)


def _rank() -> int | None:
    """Return which of the processes this one is that mpiexec, srun or cdq launch started; None if none did."""
    launch = started_by()
    if launch is not None:
        return launch.rank
    rank = os.environ.get(RANK_VARIABLE, "")
    return int(rank) if rank.isdecimal() else None


def _fail(message: str) -> int:
    print(f"cdq: {printable(' '.join(message.split()))}", file=sys.stderr)
    return _MISTAKE


def _usage_message(error: Any) -> str:
    """Return the fault of the arguments in words; for an unknown option, the known options too."""
    if hasattr(error, "possibilities") and error.ctx is not None:
        names = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]
        return unknown_name("option", error.option_name, [name for name in names if name.startswith("--")])
    message = str(error.format_message())
    if (
        not message and error.ctx is not None
    ):  # no arguments: the help, which stands above, is all that is said
        name = error.ctx.command_path
        kind = "a command" if hasattr(error.ctx.command, "commands") else "arguments"
        return f"{name} needs {kind}; {name} --help lists what there is"
    return message
