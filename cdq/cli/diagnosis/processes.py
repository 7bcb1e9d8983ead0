"""Commands that are run with a deadline, after which none of their processes is left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

_GRACE = 5.0  # seconds; a launcher that is asked to end sweeps up after itself


class Answer(NamedTuple):
    """Answer of a command.

    Parameters
    ----------
    status : int or None
        Exit status of the command; None if it was ended at its deadline.
    output : str
        Standard output of the command, and then its standard error.
    """

    status: int | None
    output: str


def ask(command: Sequence[str], seconds: float) -> Answer:
    """Run a command in a session of its own, for *seconds* at most."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Answer(127, f"{command[0]}: {error.strerror or error}")
    with process:
        try:
            said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return Answer(None, "".join(_end(process)))
        except BaseException:
            _end(process)
            raise
    return Answer(process.returncode, "".join(said))


def _end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End a process and its group, by request and then by force; return the output."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):  # nobody of the group is left
            os.killpg(process.pid, number)
        try:
            return process.communicate(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            continue
    return "", ""  # somebody outside the group holds the pipes


def last_line(text: str) -> str:
    r"""Return the last line that holds a word.

    Examples
    --------
    >>> last_line("mpiexec: no such program\n-----\n")
    'mpiexec: no such program'
    """
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
    return lines[-1] if lines else ""
