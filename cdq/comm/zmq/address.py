"""The three ways to reach a hub: a file that only its owner can open, listed keys, and plain on loopback."""

from __future__ import annotations

import ipaddress
import os
import stat
from pathlib import Path
from typing import NamedTuple

from cdq.errors import ConfigError

IPC, CURVE, TCP = "zmq+ipc", "zmq+curve", "zmq+tcp"
EXAMPLES = "zmq+ipc:///PATH, zmq+curve://HOST:PORT and zmq+tcp://127.0.0.1:PORT"
_LONGEST_PATH = 100  # a socket's address has 107 characters


class Address(NamedTuple):
    """Where a hub is.

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
        """What ZeroMQ calls it."""
        return f"ipc://{self.place}" if self.scheme == IPC else f"tcp://{self.place}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}"


def parse(url: str) -> Address:
    """Return the address that a URL stands for; ``tcp://`` is short for ``zmq+tcp://``, as ``ipc://`` and ``curve://``.

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
    """
    scheme, _, place = url.partition("://")
    scheme = scheme if scheme.startswith("zmq+") else f"zmq+{scheme}"
    if scheme not in {IPC, CURVE, TCP} or not place:
        raise ConfigError(f"{url!r} is no address of a hub; allowed are {EXAMPLES}")
    if scheme == IPC:
        if len(place.encode()) > _LONGEST_PATH or not place.startswith("/"):
            raise ConfigError(f"{url!r}: give an absolute path of at most {_LONGEST_PATH} bytes")
        return Address(scheme, place)
    host, _, port = place.rpartition(":")
    if not host or not (port.isdecimal() and int(port) < 65536):
        raise ConfigError(f"{url!r}: give a host and a port, as in {scheme}://127.0.0.1:5555")
    return Address(scheme, place)


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
        If others may enter it, or it is somebody else's.
    """
    folder = Path(address.place).parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{address}: {folder} belongs to user {found.st_uid}; use a directory of your own")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{address}: others may enter {folder} (mode {stat.S_IMODE(found.st_mode):o});"
            f" chmod 700 {folder}, or use another directory"
        )
