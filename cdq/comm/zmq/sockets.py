"""The sockets of hub and peers, with the options that make them safe; pyzmq is imported here and on use."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import warnings
from pathlib import Path
from typing import Any

from cdq.comm.contribution import Received
from cdq.comm.zmq.address import CURVE, IPC, TCP, Address, check_directory, is_loopback, needs_ipv6
from cdq.comm.zmq.keys import Keys
from cdq.comm.zmq.library import load
from cdq.comm.zmq.wire import HEADER_BYTES
from cdq.errors import ConfigError

LINGER = 500  # milliseconds that the last message of a peer has to get away
_HEARTBEAT = 500  # milliseconds
# Milliseconds after which a connection is cut by which no message came, not even the answer to a heartbeat: they come
# one after the other, so the time that the longest takes must be in it. For the hub that follows from its limit.
_SILENCE, _LONG_SILENCE = 2000, 60_000
_SLOWEST = 1000  # bytes per millisecond
_HANDSHAKE = 2000
_QUEUE = 256  # messages to one connection, or pieces of large ones
_COPIED = 1 << 16  # bytes: what is shorter costs less to copy than to hold on to ZeroMQ's memory
_contexts: dict[int, Any] = {}  # by process: a fork must not use its parent's


def context() -> Any:
    """Return the context of this process: a forked one has its own."""
    process = os.getpid()
    if process not in _contexts:
        _contexts[process] = load().Context()
    return _contexts[process]


def content(frame: Any) -> Received:
    """Return the bytes of a frame of ZeroMQ, which can be read only."""
    whole: Received = frame.bytes if len(frame) < _COPIED else frame.buffer.toreadonly()
    return whole


def dealer(address: Address, keys: Keys | None) -> Any:
    """Return a socket that a peer reaches the hub by; it connects in the background, and again when it was cut off.

    Raises
    ------
    ConfigError
        If the address needs keys that are not there.
    """
    zmq = load()
    made = context().socket(zmq.DEALER)
    try:
        _guard(made, _LONG_SILENCE)  # the table may be long on its way
        made.linger = LINGER
        made.immediate = True  # messages wait for a connection, not for one that may come
        made.reconnect_ivl, made.reconnect_ivl_max = 20, 2000
        if address.scheme == CURVE:
            (keys or Keys.find()).be_client(made)
        made.ipv6 = needs_ipv6(address)
        _connect(made, address)
    except BaseException:
        made.close(0)
        raise
    return made


def _connect(made: Any, address: Address) -> None:
    try:
        made.connect(address.endpoint)
    except load().ZMQError as error:
        raise ConfigError(f"{address}: cannot be connected to: {error}; give the address of a hub") from None


def router(
    context: Any, address: Address, keys: Keys | None, limit: int | None, insecure: bool = False
) -> Any:
    """Return the socket of a hub, to be bound; raises the errors of `Hub`."""
    made = context.socket(load().ROUTER)
    try:
        silence = _LONG_SILENCE if limit is None else _SILENCE + limit // _SLOWEST
        _guard(made, min(silence, _LONG_SILENCE))
        made.linger = 0
        made.router_mandatory = True
        made.ipv6 = needs_ipv6(address)
        if limit is not None:
            made.maxmsgsize = limit + HEADER_BYTES + 64
        if address.scheme == CURVE:
            (keys or Keys.find()).be_server(made)
        _check_place(address, insecure)
    except BaseException:
        made.close(0)
        raise
    return made


def bind(made: Any, address: Address) -> None:
    """Bind the socket of a hub; raise `ConfigError` if the address is taken."""
    try:
        made.bind(address.endpoint)
    except load().ZMQError as error:
        raise ConfigError(f"{address}: cannot be bound: {error}; {_advice(error.errno)}") from None


def _advice(number: int) -> str:
    if number == errno.EADDRINUSE:
        return "is another hub there already?"
    if number == errno.EACCES:
        return "ports below 1024 are not for every user; take a higher one"
    return "give an address of this machine, or * for all that it has"


def _guard(made: Any, silence: int) -> None:
    made.sndhwm = _QUEUE
    # No limit on what came and is not read yet: ZeroMQ aborts the process when a peer that has reached it goes while a
    # heartbeat is due (libzmq issue 4841). Who sends a hub too much is cut by its guard.
    made.rcvhwm = 0
    # The peer is told a time (ttl) that it is to wait for us, which is its own to say: as long as anybody.
    made.heartbeat_ivl, made.heartbeat_timeout, made.heartbeat_ttl = _HEARTBEAT, silence, _LONG_SILENCE
    made.handshake_ivl = _HANDSHAKE


def _check_place(address: Address, insecure: bool) -> None:
    """Refuse places that are not safe, or taken."""
    if address.scheme == IPC:
        check_directory(address)
        _check_vacant(address)
    if address.scheme == TCP and not is_loopback(address):
        if not insecure:
            raise ConfigError(
                f"{address}: anybody who can reach it could take part, and read and change everything;"
                f" use {CURVE} and keys (cdq keygen), or insecure=True (--insecure) where that is wanted"
            )
        warnings.warn(
            f"{address} is insecure: anybody who reaches it can take part", RuntimeWarning, stacklevel=5
        )


def _check_vacant(address: Address) -> None:
    """Remove the file of a hub that has ended: ZeroMQ would take the file of a running hub, too."""
    path = Path(address.place)
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        except OSError:
            pass
    raise ConfigError(f"{address}: another hub is there already; end it, or use another path")
