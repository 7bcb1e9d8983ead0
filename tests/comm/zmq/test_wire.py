from __future__ import annotations

import random
from pathlib import Path
from zlib import crc32

import pytest

from cdq.comm.zmq.wire import HEADER_BYTES, Body, Frame, Kind, Reason, Rejected, decode, encode, pack_header

GOLDEN = Path(__file__).parents[2] / "golden"
EVERY_FIELD = {
    "run": 0x0102030405060708,
    "generation": 2,
    "epoch": 3,
    "uid": 4,
    "incarnation": 5,
    "sequence": 0x1112131415161718,
    "base": 0x2122232425262728,
}


def golden(kind: Kind) -> Frame:
    """Return the frame that ``frame1-KIND.bin`` holds."""
    return Frame(kind, **EVERY_FIELD, payload=kind.name.encode() * 3)


@pytest.mark.parametrize("kind", Kind)
def test_g18_frames_of_version_1_are_what_they_were(kind: Kind) -> None:
    data = (GOLDEN / f"frame1-{kind.name.lower()}.bin").read_bytes()
    assert encode(golden(kind)) == data
    assert decode(data) == golden(kind)


def test_the_header_is_as_documented() -> None:
    assert HEADER_BYTES == 64
    data = encode(golden(Kind.CONTRIB))
    assert data[:6] == b"CDQ\x01\x01\x03"
    assert data[8:16] == (0x0102030405060708).to_bytes(8, "little")
    assert data[48:56] == (21).to_bytes(8, "little")
    assert data[56:60] == crc32(data[64:]).to_bytes(4, "little")
    assert data[60:64] == crc32(data[:60]).to_bytes(4, "little")


def altered(at: int, value: int) -> bytes:
    """Return a frame with another byte in its header, whose CRC is right."""
    data = bytearray(encode(golden(Kind.PING)))
    data[at] = value
    data[60:64] = crc32(data[:60]).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.SHORT),
        (bytes(63), Reason.SHORT),
        (bytes(65), Reason.LENGTH),
        (encode(golden(Kind.PING))[:-1], Reason.LENGTH),
        (bytes(64), Reason.HEADER_CRC),
        (altered(0, 0), Reason.MAGIC),
        (altered(4, 2), Reason.VERSION),
        (altered(5, 0), Reason.KIND),
        (altered(5, 13), Reason.KIND),
        (altered(55, 0x80), Reason.LENGTH),  # a length of 2^63: nothing of that size is made
        (encode(golden(Kind.PING))[:-1] + b"x", Reason.PAYLOAD_CRC),
    ],
)
def test_what_is_refused(data: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as caught:
        decode(data)
    assert caught.value.reason == reason


def test_what_is_not_expected_is_refused_before_its_payload_is_read() -> None:
    def accept(frame: Frame) -> None:
        raise Rejected(Reason.TOO_LONG, frame)

    with pytest.raises(Rejected) as caught:
        decode(encode(golden(Kind.PING))[:-1] + b"x", accept)
    assert caught.value.reason == Reason.TOO_LONG


def mutated(data: bytes, shared: random.Random) -> bytes:
    """Return bytes that are like a frame."""
    changed = bytearray(data)
    for _ in range(shared.randint(1, 4)):
        at = shared.randrange(len(changed))
        how = shared.randrange(4)
        if how == 0:
            changed[at] ^= 1 << shared.randrange(8)
        elif how == 1:
            changed[at] = shared.randrange(256)
        elif how == 2:
            del changed[at : at + shared.randint(1, 8)]
        else:
            changed[at:at] = shared.randbytes(shared.randint(1, 8))
        if not changed:
            break
    if shared.random() < 0.5 and len(changed) >= HEADER_BYTES:  # a header that looks right
        changed[60:64] = crc32(changed[:60]).to_bytes(4, "little")
    return bytes(changed)


def test_g12_mutated_frames_are_refused_or_whole() -> None:
    shared = random.Random(12)
    frames = [encode(golden(kind)) for kind in Kind]
    refused = 0
    for number in range(200_000):
        data = mutated(frames[number % len(frames)], shared)
        try:
            frame = decode(data)
        except Rejected:
            refused += 1
        else:
            assert crc32(frame.payload) == int.from_bytes(data[56:60], "little")
            assert len(frame.payload) == len(data) - HEADER_BYTES
    assert refused > 100_000


@pytest.mark.parametrize("length", [0, 1000, 5 << 20])
def test_messages_with_the_same_body_are_those_with_that_payload(length: int) -> None:
    """Also where the payload is in parts."""
    payload = random.Random(5).randbytes(length)
    body = Body(payload[:7], memoryview(payload)[7:])
    frames = [golden(Kind.RESULT)._replace(uid=uid, payload=b"") for uid in range(3)]
    for frame in [*frames, frames[0]]:
        whole = encode(frame._replace(payload=payload))
        assert pack_header(frame, body) == whole[:HEADER_BYTES]
        assert encode(frame, body) == whole
        assert decode(whole).payload == payload
