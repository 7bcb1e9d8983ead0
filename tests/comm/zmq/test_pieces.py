"""Large messages in pieces: the whole comes out as it went in, and nothing else ever does."""

from __future__ import annotations

import random

import pytest

from cdq.comm.kept import Kept
from cdq.comm.zmq.pieces import Incoming, Outgoing
from cdq.comm.zmq.wire import Assembled, Body, Frame, Kind, Message, Reason, Rejected, decode, outgoing

Piece = tuple[bytes, bytes]


def message(*parts: bytes) -> Message:
    return Message(Frame(Kind.CONTRIB, 7, uid=3, sequence=9), Body(*parts))


def pieces(sent: Message) -> list[Piece]:
    found: list[Piece] = []
    assert Outgoing(sent).send(lambda head, piece: found.append((bytes(head), bytes(piece))) is None)
    return found


def take_all(incoming: Incoming, came: list[Piece], limit: int | None = None) -> list[Assembled]:
    """Return the messages that come out; what is wrong is left out."""
    out = []
    for head, piece in came:
        try:
            whole = incoming.take(head, piece, limit)
        except ValueError:
            continue
        if whole is not None:
            out.append(whole)
    return out


PARTS = {
    "one": [5_000_000],
    "head and one": [40, 3_000_000],
    "many small": [100] * 30_000,
    "small among large": [10, 2_000_000, 70, 90, 1 << 16, 1 << 20, 0, 33],
}


@pytest.mark.parametrize("lengths", PARTS.values(), ids=PARTS)
def test_a_message_comes_out_as_it_went_in(lengths: list[int]) -> None:
    chance = random.Random(1)
    sent = message(*(chance.randbytes(length) for length in lengths))
    came = pieces(sent)
    assert max(len(piece) for _, piece in came) <= 1 << 20
    assert len(came) <= sum(lengths) // 500_000 + 2 * sum(length >= 1 << 16 for length in lengths) + 2
    (whole,) = take_all(Incoming(Kept()), came)
    assert whole.data == sent.whole()
    assert decode(whole) == decode(sent.whole())


def test_the_second_message_with_a_body_is_the_same() -> None:
    """Its CRC is known by then."""
    body = Body(bytes(100), random.Random(2).randbytes(3_000_000))
    for uid in range(3):
        sent = Message(Frame(Kind.RESULT, uid=uid), body)
        assert take_all(Incoming(Kept()), pieces(sent))[0].data == sent.whole()


def test_pieces_are_views_of_what_is_sent() -> None:
    payload = bytes(3_000_000)
    found: list[memoryview] = []
    Outgoing(message(payload)).send(lambda head, piece: found.append(piece) is None)  # type: ignore[arg-type]
    assert all(piece.obj is payload for piece in found[:-1])


def test_what_cannot_be_sent_now_is_sent_later() -> None:
    sent, found = message(random.Random(3).randbytes(5_000_000)), list[Piece]()
    going = Outgoing(sent)
    assert not going.send(lambda head, piece: False)
    assert not going.is_begun
    room = 0

    def put(head: bytes, piece: bytes) -> bool:
        nonlocal room
        room -= 1
        if room >= 0:
            found.append((head, bytes(piece)))
        return room >= 0

    turns = 0
    done = False
    while not done:
        room, turns = 2, turns + 1
        done = going.send(put)
    assert turns > 2
    assert going.is_begun
    assert take_all(Incoming(Kept()), found)[0].data == sent.whole()


def test_a_lost_doubled_or_swapped_piece_gives_no_message_and_the_next_message_comes() -> None:
    chance = random.Random(4)
    first, second = message(chance.randbytes(4_000_000)), message(chance.randbytes(3_000_000))
    for _ in range(100):
        came, at = pieces(first), chance.randrange(4)
        if chance.random() < 0.3:
            del came[at]
        elif chance.random() < 0.5:
            came[at], came[at + 1] = came[at + 1], came[at]
        else:
            came = came[: at + 1]  # the sender was cut off, and begins anew
        out = take_all(Incoming(Kept()), came + pieces(second))
        assert [whole.data for whole in out] == [second.whole()]


def test_a_corrupted_piece_is_refused_by_its_crc() -> None:
    chance = random.Random(5)
    sent = message(chance.randbytes(3_000_000))
    for _ in range(30):
        came = pieces(sent)
        at = chance.randrange(len(came))
        head, piece = came[at]
        flipped = bytearray(piece)
        flipped[chance.randrange(len(piece))] ^= 1 << chance.randrange(8)
        came[at] = head, bytes(flipped)
        (whole,) = take_all(Incoming(Kept()), came)
        with pytest.raises(Rejected):
            decode(whole)


def test_any_bytes_for_head_and_piece_are_borne() -> None:
    chance, incoming = random.Random(6), Incoming(Kept())
    honest = pieces(message(bytes(2_500_000)))
    for _ in range(20_000):
        head, piece = chance.choice(honest)
        spoilt = bytearray(head)
        for _ in range(chance.randrange(4)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        cut = spoilt[: chance.choice([len(spoilt)] * 5 + [3])]
        for whole in take_all(
            incoming, [(bytes(cut), piece[: chance.choice([0, 1, 64, 1 << 20])])], 3_000_000
        ):
            with pytest.raises(Rejected):
                decode(whole)
    assert len(take_all(incoming, honest, 3_000_000)) == 1


def test_longer_messages_than_are_allowed_get_no_memory() -> None:
    class NoMemory(Kept):
        def take(self, n_bytes: int) -> memoryview:
            raise AssertionError(n_bytes)

    incoming = Incoming(NoMemory())
    for head, piece in pieces(message(bytes(3_000_000))):
        with pytest.raises(ValueError, match="piece"):
            incoming.take(head, piece, 2_999_999)


def test_a_message_that_came_in_pieces_is_refused_as_a_whole_one_is() -> None:
    sent = message(bytes(3_000_000))
    (whole,) = take_all(Incoming(Kept()), pieces(sent))
    with pytest.raises(Rejected) as caught:
        decode(whole._replace(crc=whole.crc ^ 1))
    assert caught.value.reason == Reason.PAYLOAD_CRC


def test_only_large_messages_go_in_pieces() -> None:
    frame = Frame(Kind.RESULT)
    assert isinstance(outgoing(frame._replace(payload=bytes(1 << 20))), bytes)
    assert isinstance(outgoing(frame, Body(bytes(3 << 20))), Message)
