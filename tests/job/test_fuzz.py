"""G12 of every decoder: whatever comes is refused with an error of the project's own, or is what may have come."""

from __future__ import annotations

import contextlib
import json
import random
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from cdq.comm.zmq.events import Received, Send, Tick
from cdq.comm.zmq.ranks import collectives
from cdq.comm.zmq.ranks.relay import RelayMachine
from cdq.comm.zmq.wire import HEADER_BYTES, Frame, Kind, Rejected, decode, encode
from cdq.errors import ConfigError
from cdq.job.asynchronous import AsynchronousService
from cdq.job.handshake import check_hello, hello
from cdq.job.member import Member
from cdq.job.membership.events import Arrived, HubSettings, Submission
from cdq.job.membership.hub_machine import HubMachine
from cdq.job.membership.worker_machine import WorkerMachine
from cdq.job.service import LearningService
from tests.comm.zmq.test_wire import golden, mutated
from tests.job.jobs import Hub

CASES = 3000
EXTREME = (0, 1, 255, 127, 128)


def changed(data: bytes, chance: random.Random) -> bytes:
    """Return bytes like these: some replaced, whole words by extreme ones, cut off, or doubled."""
    said = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not said:
            break
        at, how = chance.randrange(len(said)), chance.randrange(5)
        if how == 0:
            said[at] ^= 1 << chance.randrange(8)
        elif how == 1:
            at -= at % 8
            said[at : at + 8] = bytes([chance.choice(EXTREME)]) * len(said[at : at + 8])
        elif how == 2:
            del said[at:]
        elif how == 3:
            said += said[at:][:1000]
        else:
            said[at : at + 8] = chance.randbytes(len(said[at : at + 8]))
    return bytes(said)


def right(frame: Frame, payload: bytes) -> bytes:
    """Return the message with that payload, which is right as far as its checksums go."""
    return bytes(encode(frame._replace(payload=payload)))


@pytest.fixture
def chance() -> random.Random:
    return random.Random(11)


@pytest.mark.parametrize("kind", [LearningService, AsynchronousService])
def test_g12_a_hub_bears_what_a_member_may_say(kind: type[LearningService], chance: random.Random) -> None:
    """Each message is of the session; its payload, or a field of its header, is not what it should be."""
    hub = Hub(workers=1, sync_every=90, make=kind, steps=10**9)
    asynchronous = kind is AsynchronousService
    machine = HubMachine(hub.service, HubSettings(asynchronous=asynchronous), 7)
    frame, payload = joined(machine)
    counts: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(CASES):
            said = right(frame, changed(payload, chance))
            if number % 3 == 0:
                said = mutated(said, chance)
            machine.step(Received(b"a", said, None, number * 1e-3))
            if machine.version:  # it was taken, as some changes leave what could be
                counts += machine.counts
                machine = HubMachine(hub.service, HubSettings(asynchronous=asynchronous), 7)
                frame, payload = joined(machine)
    counts += machine.counts
    assert sum(count for name, count in counts.items() if name.startswith("refused")) > CASES / 3


def joined(machine: HubMachine) -> tuple[Frame, bytes]:
    """Return a member's next contribution: its frame, and what is in it."""
    actions = machine.step(Received(b"a", encode(Frame(Kind.HELLO, payload=bytes(16) + hello())), None, 0.0))
    (welcome,) = (
        found
        for action in actions
        if isinstance(action, Send) and (found := decode(action.message)).kind == 2
    )
    member = Member()
    member.join(welcome.payload)
    frame = welcome._replace(kind=Kind.CONTRIB, sequence=welcome.sequence + 1)
    return frame, bytes(member.learn())


@pytest.mark.parametrize("machine", [RelayMachine(2, 7), RelayMachine(1, 7)])
def test_g12_a_relay_bears_whatever_comes(machine: RelayMachine, chance: random.Random) -> None:
    likes = [
        Frame(Kind.HELLO, payload=bytes(16) + collectives.WANTED_RANK.pack(-1)),
        Frame(Kind.HELLO, 7, base=5, payload=collectives.pack_group(0, [0, 1])),
        Frame(Kind.CONTRIB, 7, payload=bytes([1, 0, 0, 0]) + bytes(4) + b"gather".ljust(40, b"\0") + b"part"),
        Frame(
            Kind.CONTRIB,
            7,
            payload=bytes([2, 0, 0, 0]) + bytes(4) + b"x" * 40 + collectives.pack_lengths([b""] * 2),
        ),
        Frame(Kind.CONTRIB, 7, payload=bytes([3, 0, 0, 0]) + bytes(4) + b"x" * 40 + b"x"),
        Frame(Kind.PING, 7),
        Frame(Kind.BYE, 7, payload=collectives.pack_loss(collectives.Why.FAILED, [0], "gone")),
        Frame(Kind.STATUS),
        *map(golden, Kind),
    ]
    for number in range(10 * CASES):
        like = chance.choice(likes)._replace(uid=chance.randrange(2), base=chance.choice((0, 5, 6)))
        said = (
            right(like, changed(bytes(like.payload), chance))
            if number % 2
            else right(like, bytes(like.payload))
        )
        machine.step(Received(chance.choice((b"a", b"b", b"c")), said, None, 0.0))
        if number % 100 == 0:
            machine.step(Tick(number * 1.0))
    assert sum(count for name, count in machine.counts.items() if name.startswith("refused")) > CASES
    (answer,) = machine.step(Received(b"new", bytes(encode(Frame(Kind.STATUS))), None, 1e6))
    assert isinstance(answer, Send)
    assert (answer.route, decode(answer.message).kind) == (b"new", Kind.STATUS_REPLY)


def test_g12_a_worker_bears_whatever_comes(chance: random.Random) -> None:
    for seed in range(30):
        machine = WorkerMachine(hello(), bytes(16), seed)
        for number in range(CASES // 30):
            said = chance.choice([mutated, lambda data, _: data])(
                encode(golden(chance.choice(list(Kind)))), chance
            )
            for action in machine.step(Arrived(said, number * 1.0)):
                if isinstance(action, (bytes, memoryview)):  # a message: one that a hub can read
                    assert decode(action).kind in set(Kind)


def test_g12_greetings(chance: random.Random) -> None:
    said = hello()
    nested = b'{"cdq": ' + b"[" * 2000 + b"]" * 2000 + b"}"
    odd = [
        nested,
        b"1" * 4096,
        b"NaN",
        b'{"protocol": 1e999}',
        b"\xff\xfe",
        b'{"protocol": ' + b"9" * 4000 + b"}",
        b"{}",
    ]
    for data in [*odd, *(changed(said, chance) for _ in range(CASES))]:
        with contextlib.suppress(ConfigError):
            check_hello(data)
            assert json.loads(data).keys() >= {"protocol", "cdq", "probe"}


DECODERS: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "call": (
        lambda data: collectives.unpack_call(data, 1),
        bytes([1, 0, 0, 0]) + bytes(4) + b"gather".ljust(40, b"\0"),
    ),
    "parts": (
        lambda data: collectives.unpack_parts(data, 3),
        collectives.pack_lengths([b"ab", b"", b"c"]) + b"abc",
    ),
    "loss": (collectives.unpack_loss, collectives.pack_loss(collectives.Why.FAILED, [0, 2], "text")),
    "group": (collectives.unpack_group, collectives.pack_group(3, [0, 1, 5])),
    "frame": (decode, encode(golden(Kind.CONTRIB))),
}


@pytest.mark.parametrize("name", DECODERS)
def test_g12_what_ranks_say(name: str, chance: random.Random) -> None:
    unpack, said = DECODERS[name]
    unpack(said)  # what is right is taken
    taken = 0
    for _ in range(CASES):
        with contextlib.suppress(Rejected):
            unpack(changed(said, chance))
            taken += 1
    assert taken < CASES


def test_g12_what_a_hub_says_to_a_worker(chance: random.Random) -> None:
    """It is trusted with the table, and not with the process."""
    hub = Hub(workers=1, sync_every=90)
    welcome = hub.service.welcome(0, ())
    Member().join(welcome)  # what is right is taken
    refused = 0
    for _ in range(CASES // 10):
        member = Member()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                member.join(changed(welcome, chance))
            except ConfigError:
                refused += 1
    assert refused > CASES / 20


def test_a_length_is_believed_before_memory_is_taken() -> None:
    """A header that tells of 2^63 bytes, with a checksum that is right."""
    data = bytearray(encode(golden(Kind.CONTRIB)))
    for length in (2**63, 2**64 - 1, 2**40, 0):
        data[48:56] = length.to_bytes(8, "little")
        data[60:64] = crc32(data[:60]).to_bytes(4, "little")
        with pytest.raises(Rejected):
            decode(bytes(data))
    assert len(data) > HEADER_BYTES


def test_a_submission_whose_check_fails_unforeseen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(workers=1, sync_every=90, steps=10**9)
    machine = HubMachine(hub.service, HubSettings(), 7)
    frame, payload = joined(machine)

    def fail(uid: int, submission: Submission) -> None:
        raise np.linalg.LinAlgError("unforeseen")

    monkeypatch.setattr(hub.service, "check", fail)
    machine.step(Received(b"a", right(frame, payload), None, 0.1))
    assert machine.counts["refused CONTENT"] == 1
    monkeypatch.setattr(hub.service, "admit", fail)
    machine.step(Received(b"b", encode(Frame(Kind.HELLO, payload=bytes(range(16)) + hello())), None, 0.1))
    assert machine.counts["refused REFUSED"] == 1
