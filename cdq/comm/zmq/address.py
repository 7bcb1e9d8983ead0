"""The three ways to reach a hub: a file that only its owner can open, listed keys, and plain on loopback."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cdq.errors import ConfigError

IPC, CURVE, TCP = "zmq+ipc", "zmq+curve", "zmq+tcp"
EXAMPLES = "zmq+ipc:///PATH, zmq+curve://HOST:PORT and zmq+tcp://127.0.0.1:PORT"
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_LONGEST_PATH = 100  # a socket's address has 107 characters
# Parents of temporary directories where that of the system, as batch systems and continuous integration set it in
# TMPDIR, leaves no room for a socket's address.
_SHORT_PARENTS = ("/tmp", "/var/tmp", "/dev/shm")


class Address(NamedTuple):
    """Address of a hub.

    Parameters
    ----------
    scheme : str
        `IPC`, `CURVE` or `TCP`.
    place : str
        A path, or a host and a port.
    """

    scheme: str
    place: str

    @property
    def endpoint(self) -> str:
        """The address as ZeroMQ writes it."""
        return f"ipc://{self.place}" if self.scheme == IPC else f"tcp://{self.place}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}"


def parse(url: str, bound: bool = False) -> Address:
    """Return the address that a URL stands for; ``tcp://`` is short for ``zmq+tcp://``, as ``ipc://`` and ``curve://``.

    Parameters
    ----------
    url : str
        URL as in the examples. An IPv6 address is in brackets.
    bound : bool
        True for an address to be bound by a hub, which may be on all interfaces (``*``) and on any port that is
        free (0).

    Raises
    ------
    ConfigError
        If it is none.

    Examples
    --------
    >>> parse("tcp://127.0.0.1:5555").endpoint
    'tcp://127.0.0.1:5555'
    >>> str(parse("zmq+ipc:///run/user/1000/cdq/hub"))
    'zmq+ipc:///run/user/1000/cdq/hub'
    >>> str(parse("curve://[::1]:5555"))
    'zmq+curve://[::1]:5555'
    """
    scheme, _, place = url.partition("://")
    scheme = scheme if scheme.startswith("zmq+") else f"zmq+{scheme}"
    if scheme not in {IPC, CURVE, TCP} or not place:
        raise ConfigError(f"{url!r} is no address of a hub; allowed are {EXAMPLES}")
    if scheme == IPC:
        if len(os.fsencode(place)) > _LONGEST_PATH or not place.startswith("/") or "\0" in place:
            raise ConfigError(f"{url!r}: give an absolute path of at most {_LONGEST_PATH} bytes")
        return Address(scheme, place)
    host, _, port = place.rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536 and _is_host(host)):
        raise ConfigError(
            f"{url!r}: give a host and a port, as in {scheme}://127.0.0.1:5555 or {scheme}://[::1]:5555"
        )
    if not bound and (host == "*" or int(port) == 0):
        raise ConfigError(f"{url!r} is for hubs; to reach one, give the host and the port where it is")
    return Address(scheme, place)


@contextmanager
def temporary_address() -> Iterator[str]:
    """Give the URL of a file in a new directory that only this user can open; the directory goes with the context."""
    with tempfile.TemporaryDirectory(prefix="cdq-", dir=_parent()) as folder:  # mode 0700
        yield f"{IPC}://{folder}/hub"


def _parent() -> str:
    """Return a directory for temporary ones, whose path is short enough for a socket's address."""
    usual = tempfile.gettempdir()
    room = len(os.fsencode(usual)) + len("/cdq-12345678/hub") <= _LONGEST_PATH
    return usual if room else next((name for name in _SHORT_PARENTS if os.access(name, os.W_OK)), usual)


def _is_host(host: str) -> bool:
    """Return whether this is a name, an IPv4 address, ``*``, or an IPv6 address in brackets."""
    if not (host.startswith("[") and host.endswith("]")):
        return host == "*" or _NAME.fullmatch(host) is not None
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True


def needs_ipv6(address: Address) -> bool:
    """Return whether only IPv6 leads there; names that have both kinds of addresses are reached by IPv4."""
    host = address.place.rpartition(":")[0]
    if address.scheme == IPC or host == "*":
        return False
    return host.startswith("[") or (not _resolves(host, socket.AF_INET) and _resolves(host, socket.AF_INET6))


def _resolves(host: str, family: socket.AddressFamily) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None, family, socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        return False


def is_loopback(address: Address) -> bool:
    """Return whether only processes of this machine can reach it."""
    host = address.place.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_directory(address: Address) -> None:
    """Make the directory of a path if it is not there; raise unless it is this user's alone.

    Raises
    ------
    ConfigError
        If others may enter it, it is somebody else's, or it cannot be made.
    """
    folder = Path(address.place).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise ConfigError(
            f"{address}: {folder} cannot be used: {error.strerror}; use a directory of your own"
        ) from None
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{address}: {folder} belongs to user {found.st_uid}; use a directory of your own")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{address}: others may enter {folder} (mode {stat.S_IMODE(found.st_mode):o});"
            f" chmod 700 {folder}, or use another directory"
        )
