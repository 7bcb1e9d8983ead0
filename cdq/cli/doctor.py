"""cdq doctor: a report of this installation and machine, for when there is trouble."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cdq.cli.options import JsonPath, check_writable

if TYPE_CHECKING:
    from cdq.cli.diagnosis import Check

_FAILED = 1


def doctor(*, json_path: JsonPath = None) -> None:
    """Print what a report of trouble needs, and let two ranks merge by every backend that is installed.

    Where a backend fails, says what is wrong and what to do. Exit status 1 if
    one that is installed does not work.

    [bold]Example[/bold]

    cdq doctor --json doctor.json
    """
    from cdq.cli.diagnosis import checks, facts
    from cdq.cli.render import console_for_people, show_figures, write_json

    check_writable(json_path)
    found, results = facts(), checks()
    works = all(check.state != "failed" for check in results)
    write_json(json_path, {"facts": found, "checks": [asdict(check) for check in results], "ok": works})
    console = console_for_people(json_path)
    show_figures(console, found.items())
    console.print("\n  A merge of two ranks", style="bold")
    show_figures(console, [(check.backend, _verdict(check)) for check in results])
    if not works:
        raise click.exceptions.Exit(_FAILED)


def _verdict(check: Check) -> str:
    if check.seconds is not None:
        return f"{check.state}, {check.seconds * 1e6:,.0f} µs a round"
    lines = [": ".join(filter(None, [check.state, check.problem]))]
    if check.remedy:
        lines.append(f"To do: {check.remedy}")
    return "\n".join(lines)
