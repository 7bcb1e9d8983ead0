"""Peers that mean harm, each for a bounded number of messages, against a hub on loopback; plain and by CURVE."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cdq.comm.zmq.address import CURVE, parse
from cdq.comm.zmq.keys import Keys
from cdq.comm.zmq.library import load
from cdq.comm.zmq.wire import Frame, Kind, encode
from cdq.job.handshake import hello
from tests.comm.zmq.test_wire import golden, mutated

_RESET = struct.pack("ii", 1, 0)
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01"
PLAIN = GREETING + b"NULL".ljust(20, b"\0") + bytes(32)
CIPHERED = GREETING + b"CURVE".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big")
HELLO = b"\x05HELLO\x01\0" + bytes(72) + random.Random(2).randbytes(120)  # of CURVE
LONG_AGO = b"\x01\0\x02\0x"  # ZMTP 1.0: no name, and a message
BROWSER = b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n"


def command(data: bytes) -> bytes:
    """Return a command of ZMTP 3."""
    return bytes([4, len(data)]) + data


def message(data: bytes) -> bytes:
    """Return a message of ZMTP 3 in one part."""
    return bytes([0, len(data)]) + data if len(data) < 256 else b"\2" + len(data).to_bytes(8, "big") + data


PING = command(b"\x04PING\0\0ctx")


def connect(url: str, room: int = 0) -> socket.socket:
    """Return a TCP connection to a hub, which may take little at a time."""
    host, _, port = parse(url).place.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    raw = socket.socket(family, socket.SOCK_STREAM)
    if room:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    raw.settimeout(10.0)
    raw.connect((host.strip("[]"), int(port)))
    return raw


def reset(raw: socket.socket) -> None:
    """Close a connection as who vanishes does."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    raw.close()


def shake_hands(raw: socket.socket, kind: bytes = b"DEALER") -> None:
    """Become a DEALER, or another socket, without a key."""
    raw.sendall(PLAIN)
    raw.recv(64, socket.MSG_WAITALL)
    raw.sendall(command(READY + kind))


def connects(url: str, count: int, seed: int = 0) -> None:
    """Open and close connections, some with a few bytes between."""
    chance = random.Random(seed)
    begun = (
        b"",
        b"",
        PLAIN[:10],
        PLAIN,
        PLAIN + command(READY + b"DEALER"),
        LONG_AGO,
        BROWSER,
        CIPHERED,
        chance.randbytes(99),
    )
    for number in range(count):
        raw = connect(url)
        with contextlib.suppress(OSError):
            raw.sendall(chance.choice(begun))
        reset(raw) if number % 2 else raw.close()


def raw_bytes(url: str, count: int, seed: int = 0) -> None:
    """Send what is almost ZMTP: whole conversations, with some bytes changed."""
    chance = random.Random(seed)
    frames = [encode(golden(kind)) for kind in Kind]
    greeting = CIPHERED + command(HELLO) if parse(url).scheme == CURVE else PLAIN + command(READY + b"DEALER")
    sent = 0
    while sent < count:
        several = b"".join(
            message(mutated(chance.choice(frames), chance)) for _ in range(chance.randrange(1, 40))
        )
        said = bytearray(greeting + several + PING)
        for _ in range(chance.randrange(3)):
            said[chance.randrange(len(said))] = chance.randrange(256)
        raw = connect(url)
        with contextlib.suppress(OSError):
            raw.sendall(said)
            sent += 20
        reset(raw) if chance.random() < 0.5 else raw.close()


def dealer(url: str, keys: Keys | None) -> Any:
    """Return a socket that is let in."""
    address = parse(url)
    made = load().Context.instance().socket(load().DEALER)
    made.linger, made.sndhwm, made.rcvhwm = 0, 1000, 0
    if address.scheme == CURVE and keys is not None:
        keys.be_client(made)
    made.connect(address.endpoint)
    return made


def frames(url: str, count: int, keys: Keys | None = None, seed: int = 0) -> None:
    """Send frames with some bytes changed, as somebody who is let in."""
    chance = random.Random(seed)
    like = [encode(golden(kind)) for kind in Kind]
    like += [
        encode(golden(kind)._replace(payload=chance.randbytes(1500))) for kind in (Kind.HELLO, Kind.CONTRIB)
    ]
    with dealer(url, keys) as peer:
        for number in range(count):
            if not peer.poll(10_000, load().POLLOUT):
                raise TimeoutError("the hub takes no more")
            peer.send(mutated(like[number % len(like)], chance))
            if number % 64 == 0:
                time.sleep(0.002)  # faster than it reads, it cuts


def parts(url: str, count: int, keys: Keys | None = None) -> None:
    """Send messages in several parts, and empty ones."""
    with dealer(url, keys) as peer:
        for number in range(count):
            peer.send_multipart([b"x" * (number % 7)] * (number % 5 + 2) if number % 3 else [b""])


def tokens(url: str, count: int, keys: Keys | None = None) -> None:
    """Ask to take part, ever anew as somebody else, by one connection."""
    with dealer(url, keys) as peer:
        for number in range(count):
            peer.send(encode(Frame(Kind.HELLO, payload=number.to_bytes(16, "big") + hello())))
            if number % 64 == 0:
                time.sleep(0.002)


def bursts(url: str, count: int) -> None:
    """Send many messages and a heartbeat at once, and vanish (plain)."""
    said = PLAIN + command(READY + b"DEALER") + message(encode(Frame(Kind.PING))) * 200 + PING * 5
    for _ in range(count):
        raw = connect(url)
        with contextlib.suppress(OSError):
            raw.sendall(said)
        reset(raw)


def deaf(url: str, count: int, keys: Keys | None = None, asks: int = 200) -> None:
    """Ask for many WELCOMEs, read none, and go; each by a connection, all at once."""
    peers = []
    for number in range(count):
        if keys is None:
            peers.append(_deaf_raw(url, number, asks))
        else:
            peers.append(_deaf(url, number, keys, asks))
    time.sleep(1.0)
    for peer in peers:
        if isinstance(peer, socket.socket):
            reset(peer)
        else:
            peer.close(0)


def _hellos(number: int, asks: int) -> list[bytes]:
    token = random.Random(number).randbytes(16)
    return [
        encode(Frame(Kind.HELLO, generation=1, incarnation=session, payload=token + hello()))
        for session in range(asks)
    ]


def _deaf_raw(url: str, number: int, asks: int) -> socket.socket:
    raw = connect(url, 4096)
    shake_hands(raw)
    with contextlib.suppress(OSError):
        raw.sendall(b"".join(map(message, _hellos(number, asks))))
    return raw


def _deaf(url: str, number: int, keys: Keys, asks: int) -> Any:
    peer = load().Context.instance().socket(load().DEALER)
    peer.rcvhwm, peer.rcvbuf, peer.linger = 1, 4096, 0
    keys.be_client(peer)
    peer.connect(parse(url).endpoint)
    for said in _hellos(number, asks):
        peer.send(said)
    return peer


def slow(url: str, count: int, seconds: float) -> None:
    """Hold connections by which a byte comes now and then, and open another for each that is cut."""
    said = (
        CIPHERED + command(HELLO) if parse(url).scheme == CURVE else PLAIN + command(READY + b"DEALER") + PING
    )
    held: list[tuple[socket.socket, int]] = [(connect(url), 0) for _ in range(count)]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        going_on = []
        for raw, at in held:
            try:
                raw.sendall(said[at : at + 1] or b"\0")
                going_on.append((raw, at + 1))
            except OSError:
                raw.close()
                going_on.append((connect(url), 0))
        held = going_on
        time.sleep(0.2)
    for raw, _ in held:
        raw.close()


def resident(process: int) -> int:
    """Return a process's memory in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096


Attack = tuple[str, Callable[..., None], Sequence[Any]]


def attacks(url: str, keys: Keys | None, scale: float) -> list[Attack]:
    """Return all that is done to a hub; *scale* 1: what is promised to be borne."""

    def some(count: int) -> int:
        return max(int(count * scale), 3)

    plain = parse(url).scheme != CURVE
    return [
        ("connects", connects, (url, some(50_000))),
        ("raw bytes", raw_bytes, (url, some(100_000))),
        ("mutated frames", frames, (url, some(200_000), keys)),
        ("parts", parts, (url, some(10_000), keys)),
        *([("bursts", bursts, (url, some(1000)))] if plain else []),
        ("slow peers", slow, (url, some(2000), 0.5 + 9.5 * scale)),
        ("peers that do not read", deaf, (url, some(50), keys)),
        ("tokens", tokens, (url, some(20_000), keys)),
    ]
