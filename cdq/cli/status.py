"""cdq status: the state of a hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from cdq.cli.options import HubUrl, JsonPath, KeysDirectory, check_writable, keys_in
from cdq.cli.parameters import option

_REFUSED = "refused "

Timeout = Annotated[float, option(metavar="SECONDS", help="How long the hub may take to answer.")]


def status(
    url: HubUrl, *, keys: KeysDirectory = None, timeout: Timeout = 10.0, json_path: JsonPath = None
) -> None:
    """Show what a hub is doing: members, rounds, speed, bytes, and what it refused and why.

    [bold]Example[/bold]

    cdq status tcp://127.0.0.1:5555
    """
    from cdq.cli.render import console_for_people, show_figures, write_json
    from cdq.comm.base import checked_timeout
    from cdq.job.membership.connection import status as ask

    check_writable(json_path)
    told = ask(url, checked_timeout(timeout), keys_in(keys))
    write_json(json_path, told)
    show_figures(console_for_people(json_path), figures(told))


def figures(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the state that a hub sent, as names and texts.

    Examples
    --------
    >>> figures({"size": 2, "ranks": [0], "counts": {"frames": 3, "refused STALE": 1}})
    [('ranks', '1 of 2 are here: 0'), ('messages', '3'), ('refused', 'STALE 1')]
    """
    counts = told["counts"]
    refused = {name.removeprefix(_REFUSED): n for name, n in counts.items() if name.startswith(_REFUSED)}
    return [
        *(_of_ranks(told) if "size" in told else _of_a_job(told)),
        ("messages", f"{counts.get('frames', 0):,}"),
        ("refused", ", ".join(f"{name} {n:,}" for name, n in sorted(refused.items())) or "nothing"),
    ]


def _of_ranks(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    ranks = told["ranks"]
    return [("ranks", f"{len(ranks)} of {told['size']} are here: {_listed(ranks)}")]


def _of_a_job(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    from cdq.cli.render import quantity

    job, counts = told["service"], told["counts"]
    return [
        ("environment", str(job["environment"])),
        ("steps", f"{job['steps']:,} of {job['target']:,}"),
        ("speed", f"{quantity(job['steps_per_second'])} steps/s"),
        ("rounds", f"{job['rounds']:,}, {job['bytes']:,} bytes exchanged"),
        ("members", _listed(told["members"])),
        ("delivered", _listed(told["delivered"])),
        ("unreachable", _listed(told["unreachable"])),
        ("waiting", _listed(told["waiting"])),
        ("epoch", f"{told['epoch']} of start {told['generation']} of the hub"),
        ("dropped", f"{counts.get('evicted', 0):,}"),
        ("staleness", f"{job['staleness']:,} contributions at most"),
    ]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
