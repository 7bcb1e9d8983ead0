"""A web server for readers on this machine: read-only, and bounded in connections, time and memory."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, NamedTuple

from cdq.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

_PATIENCE = 2.0  # seconds in which a request must have come and its answer be taken; of a stream, each piece
_CONNECTIONS = 16  # at once; one more is hung up on
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Address(NamedTuple):
    """Address of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Answer(NamedTuple):
    """Answer to a request.

    Attributes
    ----------
    content : str
        Type of the content.
    body : bytes or iterator of bytes
        The content, or the pieces of a stream, which are sent as they come; at an empty one, too, it is seen whether
        the reader has gone.
    headers : mapping of str to str
        Headers beside those that each answer has.
    """

    content: str
    body: bytes | Iterator[bytes]
    headers: Mapping[str, str] = {}


class Site:
    """Serves some pages while it is open: to 16 connections at once, none slower than two seconds.

    Parameters
    ----------
    address : Address
        Address to bind; a port of 0 is any that is free.
    pages : mapping of str to callable
        Functions that answer, by path.
    name : str
        Name of what is served, for messages.

    Attributes
    ----------
    url : str
        URL of the first page.

    Raises
    ------
    ConfigError
        If the address is taken.
    """

    def __init__(self, address: Address, pages: Mapping[str, Callable[[], Answer]], name: str) -> None:
        try:
            self._server = _Server(address, pages)
        except OSError as error:
            raise ConfigError(f"{name} cannot be at {address}: {error.strerror or error}") from None
        port = int(self._server.server_address[1])
        self.url = f"http://{address._replace(port=port)}{next(iter(pages))}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="cdq-web", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2 * _PATIENCE)


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 8

    def __init__(self, address: Address, pages: Mapping[str, Callable[[], Answer]]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self.pages = pages
        self._room = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for the host's name."""
        # Else connections that have ended keep the port from the next one for a minute.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if there is room for one more."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that leaves is no event."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET of the pages that there are, and refuses everything else."""

    server: _Server
    server_version, sys_version = "cdq", ""
    timeout = _PATIENCE

    def setup(self) -> None:
        """Hang up on whoever takes too long: one byte a second would keep a thread for ever."""
        super().setup()
        self._hang_up = threading.Timer(_PATIENCE, _hang_up_on, (self.connection,))
        self._hang_up.daemon = True
        self._hang_up.start()

    def finish(self) -> None:
        """End the answer."""
        self._hang_up.cancel()
        super().finish()

    def do_GET(self) -> None:
        """Send a page."""
        if not _is_numeric(self.headers.get("Host", "")):
            # A page elsewhere may own the name, and read what is sent to it.
            self.send_error(403, "the host must be an address, not a name")
            return
        if _is_of_another_site(self.headers):
            self.send_error(403, "pages of other sites get nothing")
            return
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(404, f"there is {' and '.join(self.server.pages)}, and nothing else")
            return
        self._send(page())

    def _send(self, answer: Answer) -> None:
        whole = isinstance(answer.body, bytes)
        self.send_response(200)
        for name, value in {"Content-Type": answer.content, **_HEADERS, **answer.headers}.items():
            self.send_header(name, value)
        if isinstance(answer.body, bytes):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if not whole:
            self._hang_up.cancel()  # from now on each piece has its own time
        for piece in [answer.body] if isinstance(answer.body, bytes) else answer.body:
            if _has_gone(self.connection):
                return
            self.wfile.write(piece)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def _hang_up_on(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is gone
        connection.shutdown(socket.SHUT_RDWR)


def _has_gone(connection: socket.socket) -> bool:
    """Return whether the reader of an answer has hung up."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    return bool(waiting.poll(0)) and not connection.recv(1, socket.MSG_PEEK)


def _is_of_another_site(headers: Any) -> bool:
    """Return whether a browser says that a page of another site asks, for more than to lead its reader here."""
    site = headers.get("Sec-Fetch-Site", "none")
    return site not in {"none", "same-origin"} and headers.get("Sec-Fetch-Dest") != "document"


def _is_numeric(host: str) -> bool:
    """Return whether a header names an address, or this machine as such."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name == "localhost"
    return True
