"""The command line. A user's mistake is one line on standard error and exit status 2, never a traceback."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click
import rich_click

from cdq import __version__
from cdq.cli.completion import asked_by_a_shell, complete
from cdq.cli.output import ReaderGone, printable, standard_streams
from cdq.cli.parameters import Command, command
from cdq.errors import CdqError, ConfigError, PeerLost, unknown_name

# The last is that of a program which SIGPIPE ends: shells expect it of one whose reader has gone.
_MISTAKE, _INTERRUPTED, _READER_GONE = 2, 130, 141
_OTHERS_FIRST = 2.0  # seconds


class _Commands(rich_click.RichGroup):
    """A group of commands that imports one when it is called, and lists them all when it does not know one.

    Parameters
    ----------
    loaders : mapping
        Name of each command, and the function that returns it.
    settings : Any
        Settings of `click.Group`.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], click.Command]], **settings: Any) -> None:
        super().__init__(no_args_is_help=True, **settings)
        self._loaders = loaders

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(self._loaders)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command."""
        return self._loaders[cmd_name]() if cmd_name in self._loaders else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that *args* begin with, and what follows it."""
        if args and not args[0].startswith("-") and args[0] not in self._loaders:
            raise ConfigError(unknown_name("command", args[0], self._loaders))
        return super().resolve_command(ctx, args)


def _load(module: str, name: str, cls: type[click.Command] = Command, **settings: Any) -> click.Command:
    return command(getattr(importlib.import_module(f"cdq.cli.{module}"), name), cls, **settings)


def _print_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if wanted:
        print(f"cdq {__version__}")
        context.exit()


_HELP = """Learn action values with several workers in compiled loops, and say how far from optimal they are.

Try: cdq train FrozenLake-v1 --workers 2
"""
_ALONE = ("train", "evaluate", "play", "solve", "plot", "bench", "hub", "join", "status", "watch", "replay")
_KEYS = {"allow": partial(_load, "keys", "allow", no_args_is_help=True)}
app = _Commands(
    {
        **{name: partial(_load, name, name, no_args_is_help=True) for name in _ALONE},
        "keygen": partial(_load, "keys", "keygen", no_args_is_help=True),
        "launch": partial(
            _load,
            "launch",
            "launch",
            rich_click.RichCommand,
            no_args_is_help=True,
            context_settings={"allow_interspersed_args": False},  # what follows the program is the program's
        ),
        "doctor": partial(_load, "doctor", "doctor"),
        "keys": partial(_Commands, _KEYS, name="keys", help="Say who may join a hub."),
    },
    name="cdq",
    help=_HELP,
    params=[
        rich_click.RichOption(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        )
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
_HELP_STYLE = {
    "text_markup": "rich",
    "show_arguments": True,
    "text_paragraph_linebreaks": "\n\n",
    "padding_helptext_first_line": (0, 0, 1, 0),
}


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
        status = _invoke(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except click.ClickException as error:
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
    return status


def _invoke(arguments: list[str]) -> int:
    """Call the command that arguments name; return its exit status. `click` itself would hide Ctrl-C and errors."""
    if asked := asked_by_a_shell():
        return complete(app, asked)
    try:
        with app.make_context("cdq", arguments, rich_help_config=_help_style()) as context:
            app.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _help_style() -> dict[str, Any]:
    """Return the style of help; ``NO_COLOR`` takes bold letters from it, too, as from everything that is shown."""
    return {**_HELP_STYLE, "force_terminal": False} if os.environ.get("NO_COLOR") else _HELP_STYLE


def _let_others_speak(error: CdqError) -> None:
    """Wait where another rank has more to say: when it has said it, and ended, the launcher ends all others.

    Ranks that fail alike say so once, from rank 0; one that lost another leaves the word to that one.
    """
    rank = _rank()
    if rank is not None and (rank > 0 or isinstance(error, PeerLost)):
        time.sleep(_OTHERS_FIRST)


def _rank() -> int | None:
    """Return which of the processes this one is that a launcher or cdq launch started; None if none did."""
    from cdq.comm.rendezvous import launched_rank
    from cdq.comm.zmq.ranks.communicator import RANK_VARIABLE

    launched = launched_rank()
    if launched is not None:
        return launched
    rank = os.environ.get(RANK_VARIABLE, "")
    return int(rank) if rank.isdecimal() else None


def _fail(message: str) -> int:
    print(f"cdq: {printable(' '.join(message.split()))}", file=sys.stderr)
    return _MISTAKE


def _usage_message(error: click.ClickException) -> str:
    """Return the fault of the arguments in words; for an unknown option, the known options too."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.message)
        assert error.ctx is not None
        kind = "a command" if isinstance(error.ctx.command, click.Group) else "arguments"
        return f"{error.ctx.command_path} needs {kind}; {error.ctx.command_path} --help lists what there is"
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        names = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]
        return unknown_name("option", error.option_name, [name for name in names if name.startswith("--")])
    return error.format_message()
