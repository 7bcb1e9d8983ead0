"""cdq status: the state of a hub."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

from cdq.cli.options import HubUrl, JsonPath, KeysDirectory, check_writable, keys_in
from cdq.cli.output import printable
from cdq.cli.parameters import option
from cdq.cli.troubles import troubles
from cdq.errors import CommError, CommTimeout, ConfigError

_REFUSED = "refused "
_PAUSE = 2.0  # seconds between two looks
_CLEAR = "\x1b[H\x1b[2J"

Timeout = Annotated[float, option(metavar="SECONDS", help="How long the hub may take to answer.")]
Watch = Annotated[bool, option("--watch", help="Look again every two seconds, until the job is done.")]


def status(
    url: HubUrl,
    *,
    keys: KeysDirectory = None,
    timeout: Timeout = 10.0,
    watch: Watch = False,
    json_path: JsonPath = None,
) -> None:
    """Show what a hub is doing: the job, its speed, the time left, its workers, and what is wrong.

    [bold]Examples[/bold]

    cdq status tcp://127.0.0.1:5555
    cdq status tcp://127.0.0.1:5555 --watch
    """
    from cdq.cli.render import write_json
    from cdq.comm.base import checked_timeout
    from cdq.job.membership.connection import status as ask
    from cdq.training import is_for_a_person

    if watch and json_path is not None:
        raise ConfigError(
            "--watch shows one state after another, and --json is for one: leave one of them out"
        )
    check_writable(json_path)
    seconds, known = checked_timeout(timeout), keys_in(keys)
    told = ask(url, seconds, known)
    write_json(json_path, told)
    _show(told, json_path)
    while watch and not _is_done(told):
        time.sleep(_PAUSE)
        try:
            told = ask(url, seconds, known)
        except CommTimeout:
            if not may_be_done(told):
                raise
            return
        if is_for_a_person(sys.stdout):
            sys.stdout.write(_CLEAR)
        _show(told, json_path)


def _show(told: Mapping[str, Any], json_path: Any) -> None:
    from cdq.cli.render import console_for_people, show_figures, show_hints

    try:
        shown, wrong = figures(told), troubles(told)
    except KeyError as missing:
        raise CommError(
            f"the hub does not tell its {missing}: it has another cdq; use the same one"
        ) from None
    console = console_for_people(json_path)
    show_figures(console, shown)
    show_hints(console, wrong)


def _is_done(told: Mapping[str, Any]) -> bool:
    return bool(told.get("service", {}).get("finished"))


def may_be_done(told: Mapping[str, Any]) -> bool:
    """Return True if a hub that does not answer any more may have ended since, its job done."""
    if "service" not in told:
        return True
    job = told["service"]
    due = float(job["target"] - job["steps"])
    return due <= 4 * _PAUSE * float(max(job["speed"], job["steps_per_second"]))


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
        ("environment", printable(str(job["environment"]))),
        ("steps", f"{job['steps']:,} of {job['target']:,} ({_share(job)})"),
        ("speed", f"{quantity(job['speed'])} steps/s, {quantity(job['steps_per_second'])} on average"),
        ("time left", _left(job)),
        *_learnt(job),
        ("rounds", f"{job['rounds']:,}, {job['bytes']:,} bytes exchanged"),
        ("workers", _workers(told)),
        *((f"worker {worker['uid']}", _worker(worker, job["speeds"])) for worker in told["workers"]),
        ("epoch", f"{told['epoch']} of start {told['generation']} of the hub"),
        ("dropped", f"{counts.get('evicted', 0):,}"),
        ("staleness", f"{job['staleness']:,} contributions at most"),
    ]


def _share(job: Mapping[str, Any]) -> str:
    return f"{min(job['steps'] / job['target'], 1.0):.0%}" if job["target"] else "100%"


def _left(job: Mapping[str, Any]) -> str:
    left = max(job["target"] - job["steps"], 0)
    if job["finished"] or not left:
        return "none, the job is done"
    if not job["speed"]:
        return "not known, as nothing was learnt in the last seconds"
    from cdq.training import duration

    return duration(left / job["speed"])


def _learnt(job: Mapping[str, Any]) -> list[tuple[str, str]]:
    from cdq.storage import in_digits

    known = [
        ("mean return", job["mean_return"], 4, "{}, exploring"),
        ("gap", job["gap"], 2, "at most {}, as last measured"),
    ]
    return [
        (name, text.format(in_digits(value, digits)))
        for name, value, digits, text in known
        if value is not None
    ]


def _workers(told: Mapping[str, Any]) -> str:
    away = len(told["unreachable"])
    lost = f"{away} cannot be reached, " if away else ""
    return (
        f"{len(told['members']) - away} learn, {lost}{told['least']} are needed, {len(told['waiting'])} wait"
    )


def _worker(worker: Mapping[str, Any], speeds: Mapping[str, Any]) -> str:
    from cdq.cli.render import quantity

    pace = speeds.get(str(worker["uid"]))
    said = (worker["name"], worker["host"] and f"on {worker['host']}")
    who = [" ".join(printable(text).splitlines()) for text in said if text]
    brought = f"{quantity(pace['steps_per_second'])} steps/s" if pace else "nothing brought yet"
    parts = [
        " ".join(who) or "no name",
        worker["state"],
        None
        if pace and worker["state"] == "unreachable"
        else brought,  # a mean of seconds in which it was there
        "not heard yet" if worker["seen"] is None else f"seen {worker['seen']:.1f} s ago",
    ]
    return ", ".join(part for part in parts if part)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
