"""Metrics of a hub in the text form of Prometheus, served to whoever scrapes them."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cdq._version import __version__
from cdq.errors import ConfigError
from cdq.job.web import Address, Answer, Site

if TYPE_CHECKING:
    from typing_extensions import Self

_log = logging.getLogger("cdq.hub")
_CONTENT = "text/plain; version=0.0.4; charset=utf-8"
_FRESH = 1.0  # seconds between two looks at the hub
_ALLOWED = (
    "allowed: PORT of this machine, or HOST:PORT with a numeric host, as in 127.0.0.1:9464 or [::1]:9464"
)
_STATES = ("learning", "delivered", "unreachable", "waiting")

Sample = tuple[dict[str, str], float]


def parse_address(text: str, insecure: bool = False) -> Address:
    """Return the address that *text* names.

    Parameters
    ----------
    text : str
        A port of this machine, or HOST:PORT with a numeric host.
    insecure : bool
        Allow addresses that other machines reach.

    Raises
    ------
    ConfigError
        If it is none, or other machines reach it and *insecure* is False.

    Examples
    --------
    >>> str(parse_address("9464")), parse_address("[::1]:80").port
    ('127.0.0.1:9464', 80)
    """
    host, _, port = text.rpartition(":")
    try:
        where = ipaddress.ip_address(host.strip("[]") or "127.0.0.1")
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    except ValueError:
        raise ConfigError(f"the address of metrics is {text!r}; {_ALLOWED}") from None
    if not 0 <= number < 1 << 16:
        raise ConfigError(f"the address of metrics is {text!r}; {_ALLOWED}")
    if not where.is_loopback and not insecure:
        raise ConfigError(
            f"metrics at {text} could be read from other machines by anybody; use 127.0.0.1, or say --insecure "
            "(insecure=True)"
        )
    return Address(str(where), number)


# ---- the text


def text_of(told: Mapping[str, Any]) -> str:
    """Return the status of a hub (`HubMachine.status`) in the text form of Prometheus."""
    return "".join(_family(*family) for family in _families(told))


def _families(told: Mapping[str, Any]) -> Iterator[tuple[str, str, str, list[Sample]]]:
    job, counts = told["service"], told["counts"]
    yield "job_info", "gauge", "The job, and the version of cdq.", _info(job)
    yield "steps_total", "counter", "Environment steps of all workers.", [({}, job["steps"])]
    yield "steps_target", "gauge", "Steps at which the job ends.", [({}, job["target"])]
    yield "steps_per_second", "gauge", "Steps a second, of the last seconds.", [({}, job["speed"])]
    yield "episodes_total", "counter", "Episodes that ended.", [({}, job["episodes"])]
    yield "rounds_total", "counter", "Rounds, or contributions without rounds.", [({}, job["rounds"])]
    yield "exchanged_bytes_total", "counter", "Bytes exchanged since the start.", [({}, job["bytes"])]
    yield "finished", "gauge", "1 once there is nothing more to learn.", [({}, float(job["finished"]))]
    yield "mean_return", "gauge", "Mean return of late, while exploring.", _known(job["mean_return"])
    yield "gap", "gauge", "Certified distance from optimal, as last measured.", _known(job["gap"])
    yield "workers", "gauge", "Workers by state.", _by_state(told)
    yield "workers_needed", "gauge", "Workers that a round needs.", [({}, told["least"])]
    yield "dropped_workers_total", "counter", "Workers that were given up.", [({}, counts.get("evicted", 0))]
    yield "messages_total", "counter", "Messages that came.", [({}, counts.get("frames", 0))]
    refused = [({"reason": name[8:]}, n) for name, n in counts.items() if name.startswith("refused ")]
    yield "refused_messages_total", "counter", "Messages that were refused, by reason.", refused
    yield "starts_total", "counter", "Starts of the hub on this job.", [({}, told["generation"])]
    yield from _families_of_workers(told)


def _families_of_workers(told: Mapping[str, Any]) -> Iterator[tuple[str, str, str, list[Sample]]]:
    speeds = told["service"]["speeds"]
    seen, steps, speed = list[Sample](), list[Sample](), list[Sample]()
    for worker in told["workers"]:
        labels = {"worker": str(worker["uid"]), "name": worker["name"], "host": worker["host"]}
        if worker["seen"] is not None:
            seen.append((labels, worker["seen"]))
        pace = speeds.get(worker["uid"])
        if pace is not None:
            steps.append((labels, pace["steps"]))
            speed.append((labels, pace["steps_per_second"]))
    yield "worker_seen_seconds", "gauge", "Seconds since a worker was heard of.", seen
    yield "worker_steps_total", "counter", "Steps of a worker since the start of the hub.", steps
    yield "worker_steps_per_second", "gauge", "Steps a second of a worker, of the last seconds.", speed


def _info(job: Mapping[str, Any]) -> list[Sample]:
    return [({"environment": str(job["environment"]), "version": __version__}, 1.0)]


def _known(value: float | None) -> list[Sample]:
    return [] if value is None else [({}, value)]


def _by_state(told: Mapping[str, Any]) -> list[Sample]:
    counts = {name: len(told[name]) for name in _STATES if name in told}
    idle = counts["delivered"] + len(set(told["unreachable"]) - set(told["delivered"]))
    counts["learning"] = len(told["members"]) - idle
    return [({"state": name}, counts[name]) for name in _STATES]


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP cdq_{name} {text}", f"# TYPE cdq_{name} {kind}"]
    for labels, value in samples:
        pairs = ",".join(f'{label}="{_escaped(of)}"' for label, of in labels.items())
        lines.append(f"cdq_{name}{'{' + pairs + '}' if pairs else ''} {float(value)!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


# ---- the endpoint


class Endpoint(Site):
    """Serves metrics while it is open.

    Parameters
    ----------
    address : Address
        Address to bind; a port of 0 is any that is free.

    Attributes
    ----------
    url : str
        URL of the metrics.

    Raises
    ------
    ConfigError
        If the address is taken.
    """

    def __init__(self, address: Address) -> None:
        self._text, self._next = b"", 0.0
        super().__init__(address, {"/metrics": lambda: Answer(_CONTENT, self._text)}, "metrics")

    def look(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Take over what *status* returns, once a second; from the thread whose state it is."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _FRESH
            self._text = text_of(status()).encode(errors="replace")

    def __enter__(self) -> Self:
        super().__enter__()
        _log.info("metrics at %s", self.url)
        return self
