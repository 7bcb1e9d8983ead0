"""Metrics of a hub, read by the parser of Prometheus' own client, and by clients that do what they should not."""

from __future__ import annotations

import http.client
import json
import math
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdq.errors import ConfigError
from cdq.job import Hosting
from cdq.job.metrics import Address, Endpoint, parse_address, text_of

WORKERS = [
    {"uid": 0, "name": "north", "host": "node-1", "state": "delivered", "seen": 0.2},
    {"uid": 2, "name": 'a "quoted"\\ name', "host": "two\nlines", "state": "unreachable", "seen": None},
]
TOLD: dict[str, Any] = {
    "run": "00ff",
    "generation": 3,
    "epoch": 7,
    "version": 40,
    "members": [0, 1, 2],
    "delivered": [0],
    "unreachable": [2],
    "waiting": [5],
    "workers": WORKERS,
    "least": 2,
    "counts": {"frames": 90, "bytes": 12345, "evicted": 1, "refused STALE": 4, "refused a key": 2},
    "service": {
        "environment": "Taxi-v4",
        "steps": 2500,
        "target": 10_000,
        "finished": False,
        "rounds": 40,
        "bytes": 99,
        "staleness": 0,
        "steps_per_second": 100.0,
        "speed": 125.5,
        "seconds": 25.0,
        "episodes": 17,
        "mean_return": -3.25,
        "gap": None,
        "speeds": {0: {"steps": 900, "steps_per_second": 60.5}},
    },
}


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return the samples by name and labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in {"counter", "gauge"}
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {})
            found[sample.name][labels] = sample.value
    return found


def test_the_text_is_what_prometheus_reads() -> None:
    found = parsed(text_of(TOLD))
    single = {name: next(iter(values.values())) for name, values in found.items() if list(values) == [()]}
    assert single == {
        "cdq_steps_total": 2500,
        "cdq_steps_target": 10_000,
        "cdq_steps_per_second": 125.5,
        "cdq_episodes_total": 17,
        "cdq_rounds_total": 40,
        "cdq_exchanged_bytes_total": 99,
        "cdq_finished": 0,
        "cdq_mean_return": -3.25,
        "cdq_workers_needed": 2,
        "cdq_dropped_workers_total": 1,
        "cdq_messages_total": 90,
        "cdq_starts_total": 3,
    }
    states = {labels[0][1]: value for labels, value in found["cdq_workers"].items()}
    assert states == {"learning": 1, "delivered": 1, "unreachable": 1, "waiting": 1}
    reasons = {labels[0][1]: value for labels, value in found["cdq_refused_messages_total"].items()}
    assert reasons == {"STALE": 4, "a key": 2}
    north = (("host", "node-1"), ("name", "north"), ("worker", "0"))
    assert found["cdq_worker_seen_seconds"] == {north: 0.2}
    assert found["cdq_worker_steps_total"] == {north: 900}
    assert found["cdq_worker_steps_per_second"] == {north: 60.5}
    assert "cdq_gap" not in found  # it was not measured


def test_no_name_ends_the_hub(endpoint: Endpoint) -> None:
    endpoint._next = 0.0
    endpoint.look(lambda: {**TOLD, "workers": [{**WORKERS[0], "name": "z\udcff", "host": "\ud800"}]})
    with urllib.request.urlopen(endpoint.url, timeout=10) as answer:
        assert answer.status == 200


def test_names_are_escaped() -> None:
    told = {**TOLD, "workers": [{**WORKERS[1], "seen": 1.0}]}
    ((labels, value),) = parsed(text_of(told))["cdq_worker_seen_seconds"].items()
    assert dict(labels) == {"worker": "2", "name": 'a "quoted"\\ name', "host": "two\nlines"}
    assert value == 1.0


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("127.0.0.2:0", ("127.0.0.2", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == Address(*address)


@pytest.mark.parametrize(
    "text",
    ["", "host:9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "1:2:3", "127.0.0.1:८"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the address of metrics is .*; allowed: PORT"):
        parse_address(text)


@pytest.mark.parametrize("text", ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464"])
def test_other_machines_read_metrics_only_where_that_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="could be read from other machines by anybody"):
        parse_address(text)
    assert parse_address(text, insecure=True).port == 9464
    with pytest.raises(ConfigError, match="could be read from other machines"):
        Hosting("tcp://127.0.0.1:5555", metrics=text)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(parse_address("0")) as served:
        served.look(lambda: TOLD)
        yield served


def where(endpoint: Endpoint) -> tuple[str, int]:
    host, _, port = endpoint.url.removeprefix("http://").removesuffix("/metrics").rpartition(":")
    return host, int(port)


def test_metrics_are_scraped(endpoint: Endpoint) -> None:
    with urllib.request.urlopen(endpoint.url, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert parsed(answer.read().decode()) == parsed(text_of(TOLD))


def test_the_hub_is_looked_at_once_a_second(endpoint: Endpoint) -> None:
    endpoint.look(lambda: pytest.fail("it was looked at just now"))
    endpoint._next = 0.0
    endpoint.look(lambda: {**TOLD, "generation": 4})
    with urllib.request.urlopen(endpoint.url, timeout=10) as answer:
        assert "cdq_starts_total 4.0" in answer.read().decode()


@pytest.mark.parametrize(
    ("method", "path", "host", "status"),
    [
        ("GET", "/metrics?x=1", "127.0.0.1:1", 200),
        ("GET", "/metrics", "localhost:1", 200),
        ("GET", "/metrics", "[::1]:1", 200),
        ("GET", "/", "127.0.0.1", 404),
        ("GET", "/../etc/passwd", "127.0.0.1", 404),
        ("GET", "/metrics", "evil.example:80", 403),
        ("GET", "/metrics", "", 403),
        ("POST", "/metrics", "127.0.0.1", 501),
        ("DELETE", "/metrics", "127.0.0.1", 501),
    ],
)
def test_it_is_read_and_nothing_else(
    endpoint: Endpoint, method: str, path: str, host: str, status: int
) -> None:
    connection = http.client.HTTPConnection(*where(endpoint), timeout=10)
    connection.request(method, path, headers={"Host": host})
    assert connection.getresponse().status == status
    connection.close()


def test_a_client_that_says_nothing_keeps_nobody_waiting_for_long(endpoint: Endpoint) -> None:
    with socket.create_connection(where(endpoint)) as idle:
        idle.sendall(b"GET /metr")
        with urllib.request.urlopen(endpoint.url, timeout=30) as answer:
            assert answer.status == 200


def go_on(slow: socket.socket, seconds: float) -> None:
    """Send a header every now and then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        slow.sendall(b"X: y\r\n")
        time.sleep(0.2)


def test_a_client_that_says_a_little_for_ever_is_hung_up_on(endpoint: Endpoint) -> None:
    with socket.create_connection(where(endpoint)) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            go_on(slow, 30.0)
    with urllib.request.urlopen(endpoint.url, timeout=30) as answer:
        assert answer.status == 200


def test_an_address_that_is_taken_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(ConfigError, match="metrics cannot be at 127.0.0.1:.*in use"):
        Endpoint(Address(*where(endpoint)))


def test_the_port_is_free_after_it() -> None:
    with Endpoint(parse_address("0")) as served:
        host, port = where(served)
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5)


def test_what_a_hub_tells_is_json_without_nan() -> None:
    from cdq.job.pace import learnt
    from cdq.training import History, Row

    history = History()
    assert json.dumps(learnt(history), allow_nan=False)
    history.append(Row(100, 2.0, math.nan, 0, 1, 0, 0.5))
    history.append(Row(200, 4.0, math.nan, 0, 2, 0, math.nan))
    assert learnt(history) == {
        "steps_per_second": 50.0,
        "seconds": 4.0,
        "bytes": 0,
        "episodes": 0,
        "mean_return": None,
        "gap": 0.5,
    }
