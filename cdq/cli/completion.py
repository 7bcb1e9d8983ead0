"""Completion in a shell, by click: commands, options, ids of environments and files."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from pathlib import Path

import click

from cdq.errors import CdqError, ConfigError, unknown_name

VARIABLE = "_CDQ_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
SHIPPED = (
    *(
        "Acrobot",
        "CartPole",
        "ConnectFour",
        "DeepSea",
        "Garnet",
        "GridWorld",
        "MountainCar",
        "Nim",
        "RiverSwim",
    ),
    *("Routing", "Signals", "TicTacToe"),
)
_CONTINUOUS = ("Pendulum", "MountainCarContinuous")  # their actions have no rows in a table
# Gymnasium is read, and not imported: a shell waits for the answer.
_REGISTERED = re.compile(r'id="([^"]+)",\s*entry_point="gymnasium\.envs\.(?:toy_text|classic_control)')


def complete(app: click.Command, instruction: str) -> int:
    """Print what a shell asks for by the variable `VARIABLE`: its script, or what completes a word.

    Raises
    ------
    ConfigError
        If the instruction is none.
    """
    from click.shell_completion import get_completion_class

    shell, _, task = instruction.partition("_")
    if shell not in SHELLS or task not in {"source", "complete"}:
        allowed = [f"{name}_source" for name in SHELLS]
        raise ConfigError(unknown_name(VARIABLE, instruction, allowed))
    with contextlib.suppress(
        CdqError
    ):  # nothing completes a line that is wrong, and the shell shows no messages
        known = get_completion_class(shell)
        assert known is not None
        asked = known(app, {}, "cdq", VARIABLE)
        print(asked.source() if task == "source" else asked.complete())
    return 0


def environments(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids of environments that begin with a text: those of this package, and tabular ones of Gymnasium's."""
    known = [*_of_gymnasium(), *(f"cdq/{name}-v0" for name in SHIPPED)]
    return [name for name in known if name.startswith(incomplete)]


def _of_gymnasium() -> list[str]:
    found = importlib.util.find_spec("gymnasium")
    if found is None or found.origin is None:
        return []
    try:
        source = Path(found.origin).with_name("envs").joinpath("__init__.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [name for name in _REGISTERED.findall(source) if not name.startswith(_CONTINUOUS)]


def asked_by_a_shell() -> str:
    """Return what a shell asks for; "" if none does."""
    return os.environ.get(VARIABLE, "")
