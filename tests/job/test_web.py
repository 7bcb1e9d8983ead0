"""The web server: what it serves, to whom, to how many, and for how long."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest

from cdq.errors import ConfigError
from cdq.job.web import Address, Answer, Site

ENDED = threading.Event()


def endless() -> Iterator[bytes]:
    """Yield a piece, and then beats without one."""
    yield b"piece\n"
    while not ENDED.wait(0.05):
        yield b""


@pytest.fixture
def site() -> Iterator[Site]:
    ENDED.clear()
    pages = {
        "/": lambda: Answer("text/plain", b"hello", {"X-More": "yes"}),
        "/stream": lambda: Answer("text/plain", endless()),
    }
    with Site(Address("127.0.0.1", 0), pages, "the page") as served:
        yield served
        ENDED.set()


def address_of(site: Site) -> tuple[str, int]:
    host, _, port = site.url.removeprefix("http://").removesuffix("/").rpartition(":")
    return host, int(port)


def ask(site: Site, path: str = "/", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*address_of(site), timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    return connection.getresponse()


def test_pages_have_headers_that_keep_other_sites_out(site: Site) -> None:
    answer = ask(site)
    assert (answer.status, answer.read()) == (200, b"hello")
    told = dict(answer.getheaders())
    assert told["X-More"] == "yes"
    assert told["Cache-Control"] == "no-store"
    assert told["X-Frame-Options"] == "DENY"
    assert told["X-Content-Type-Options"] == "nosniff"
    assert told["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in told


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"}, 200),  # a link elsewhere
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "empty"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "iframe"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another port of this machine
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost:80"}, 200),
        ({"Host": "[::1]:80"}, 200),
    ],
)
def test_pages_of_other_sites_get_nothing(site: Site, headers: dict[str, str], status: int) -> None:
    assert ask(site, **headers).status == status


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/etc/passwd", "//x", "/stream/", "/page.html", "http://127.0.0.1/etc"],
)
def test_there_are_no_files(site: Site, path: str) -> None:
    answer = ask(site, path)
    assert answer.status == 404
    assert b"there is / and /stream, and nothing else" in answer.read()


def test_a_stream_is_sent_as_it_comes(site: Site) -> None:
    answer = ask(site, "/stream")
    assert answer.read1() == b"piece\n"
    time.sleep(2.5)  # longer than a request may take
    ENDED.set()
    assert answer.read() == b""


def is_refused(site: Site) -> bool:
    try:
        return ask(site).status != 200
    except (ConnectionError, http.client.HTTPException):
        return True


def test_more_connections_than_there_is_room_for_are_hung_up_on_until_one_ends(site: Site) -> None:
    streams = [ask(site, "/stream") for _ in range(16)]
    assert [stream.read1() for stream in streams] == [b"piece\n"] * 16
    assert is_refused(site)
    streams.pop().close()
    until = time.monotonic() + 10
    while is_refused(site):
        assert time.monotonic() < until, "the place of a reader that has gone is not free"
        time.sleep(0.05)
    for stream in streams:
        stream.close()


def test_one_that_says_nothing_is_hung_up_on(site: Site) -> None:
    with socket.create_connection(address_of(site), timeout=20) as idle:
        assert idle.recv(1) == b""


def test_a_reader_that_takes_nothing_is_hung_up_on() -> None:
    ended = threading.Event()

    def flood() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * (1 << 20)
        finally:
            ended.set()

    pages = {"/": lambda: Answer("text/plain", flood())}
    with (
        Site(Address("127.0.0.1", 0), pages, "it") as served,
        socket.create_connection(address_of(served)) as slow,
    ):
        slow.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        assert ended.wait(30)


def test_a_port_that_is_taken_is_refused_and_one_is_free_again(site: Site) -> None:
    with pytest.raises(ConfigError, match="the page cannot be at 127.0.0.1:.*in use"):
        Site(Address(*address_of(site)), {"/": lambda: Answer("text/plain", b"")}, "the page")
    with Site(Address("::1", 0), {"/": lambda: Answer("text/plain", b"six")}, "it") as six:
        assert urllib.request.urlopen(six.url, timeout=10).read() == b"six"
        assert six.url.startswith("http://[::1]:")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(six.url, timeout=5)


def test_the_port_can_be_had_again_at_once() -> None:
    """Connections that the server ended keep it for a minute, unless that is said not to matter."""
    pages = {"/": lambda: Answer("text/plain", iter([b"all of it"]))}
    address = Address("127.0.0.1", 0)
    for _ in range(2):
        with Site(address, pages, "it") as served:
            address = Address(*address_of(served))
            assert ask(served).read() == b"all of it"
