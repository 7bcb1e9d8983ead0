"""Ends of stretches that workers tell, and offers of memory that hubs make: what cannot be is refused."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import cdq
from cdq.comm.memory import Offer as Memory
from cdq.comm.memory import reach
from cdq.comm.zmq.wire import Frame, Kind, Reason, Rejected
from cdq.job.handshake import open_welcome
from cdq.job.membership.events import Submission
from cdq.job.membership.fence import check
from cdq.job.messages import OpenWindow, open_result, result_parts
from cdq.job.stretches.commons import Commons, commons_bytes
from cdq.job.stretches.ending import Before, End, check_ending, most_of, open_ending, pack_ending
from cdq.job.stretches.offers import Offer, with_offer, without_offer
from cdq.job.stretches.player import place_in
from cdq.workers import RECORD
from tests.job.jobs import MODEL, Hub

# ---- what a worker may say


def ending(hub: Hub, steps: int = 2700, rounds: int = 3) -> tuple[Any, Any, dict[str, Any]]:
    """Return the end of a stretch as an honest worker tells it, and its parts."""
    merged = hub.learner._state.merged.copy()
    merged.values[:] = 0.5
    merged.visits[0, 0] += steps
    merged.clock[0, 0] += 3
    records = np.zeros(rounds, RECORD)
    records["steps"] = np.arange(1, rounds + 1) * (steps // rounds)
    records["parts"], records["episodes"], records["return_sum"] = 2, 2, 1.0
    tallies = np.array([[150.0, 1.0, 20.0, 0.5, 20.0, 20.0, 0.5, 0.5]] * 2 * rounds)
    end = End(rounds, steps, 0, 2 * rounds, 300.0, 99, merged.merged_checksum())
    return end, merged, {"records": records, "tallies": tallies, "lanes": hub.service.lanes(0)}


def refused(hub: Hub, end: End, merged: Any, parts: dict[str, Any], **begun: Any) -> bool:
    before = Before(3, 0, 10**6, 300.0, (0.3, 60.0, 2.0**20))
    shape, table = hub.service.job.shape, hub.learner._state.merged
    payload = pack_ending(end, parts["lanes"], parts["records"], parts["tallies"], merged)
    try:
        opened = open_ending(payload, shape, first=merged is not None)
        check_ending(opened, shape, table, before._replace(**begun))
    except ValueError:
        return True
    return False


def test_what_a_worker_says_of_a_stretch_is_checked() -> None:
    hub = Hub(workers=3, sync_every=60)
    end, merged, parts = ending(hub)
    assert not refused(hub, end, merged, parts)
    assert not refused(hub, end, None, parts)
    for field, values in {
        "rounds": (0, -1, 1025, 1 << 62, 2),
        "steps": (0, -2700, 2701, 10**6, 1 << 62),
        "asked": (2, -1),
        "parts": (-1, 5, 16385),
        "window": (0.0, -1.0, float("nan"), float("inf"), 1e-9, 149.0, 601.0, 1e300),
        "bytes_sent": (-1,),
        "checksum": (end.checksum ^ 1,),
    }.items():
        for value in values:
            assert refused(hub, end._replace(**{field: value}), merged, parts), (field, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("values", np.nan), ("values", np.inf), ("visits", -1), ("visits", 7), ("clock", 0x40000001)],
)
def test_a_table_that_cannot_be_is_refused(name: str, value: float) -> None:
    hub = Hub(workers=3, sync_every=60)
    _, merged, parts = ending(hub)
    getattr(merged, name)[1, 1] = value
    end = End(3, 2700, 0, 6, 300.0, 99, merged.merged_checksum())
    assert refused(hub, end, merged, parts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 1801),
        ("parts", -2),
        ("parts", 0),
        ("parts", 3),
        ("parts", 1 << 40),
        ("episodes", -1),
        ("episodes", 3),
        ("return_sum", np.nan),
        ("return_sum", 1e9),
        ("bytes_sent", -1),
        ("nanoseconds", -1),
        ("nanoseconds", 1 << 50),
        ("visited", -2),
        ("visited", 1 << 40),
        ("clocks", -2),
        ("clocks", 1 << 40),
        ("clock_sum", 1 << 62),
    ],
)
def test_records_that_cannot_be_are_refused(name: str, value: float) -> None:
    hub = Hub(workers=3, sync_every=60)
    end, merged, parts = ending(hub)
    parts["records"][name][1] = value
    assert refused(hub, end, merged, parts)


def test_visits_whose_sum_is_beyond_64_bits_are_refused() -> None:
    """Whole numbers begin again there: the sum would be right."""
    hub = Hub(workers=3, sync_every=60)
    _, merged, parts = ending(hub)
    merged.visits.reshape(-1)[:4] += 1 << 62
    assert int(merged.visits.sum()) == 2700
    end = End(3, 2700, 0, 6, 300.0, 99, merged.merged_checksum())
    assert refused(hub, end, merged, parts)


@pytest.mark.parametrize(
    "begun",
    [
        {"window": 60.0},
        {"window": 2000.0},
        {"target": 2600},
        {"target": 1700},
        {"size": 2},
        {"size": 4},
        {"lengths": (0.3, 400.0, 2.0**20)},
        {"lengths": (0.3, 60.0, 200.0)},
        {"lengths": (0.0, 60.0, 2.0**20), "window": 200.0},
    ],
)
def test_windows_that_do_not_follow_from_those_before_are_refused(begun: dict[str, Any]) -> None:
    """The first one is the hub's to say, and so is the end; each is at most twice the one before."""
    hub = Hub(workers=3, sync_every=60)
    end, merged, parts = ending(hub)
    assert refused(hub, end, merged, parts, **begun)
    assert not refused(hub, end, merged, parts, lengths=(0.0, 60.0, 2.0**20))
    assert not refused(hub, end, merged, parts, target=2700)


def test_lanes_and_sizes_that_cannot_be_are_refused() -> None:
    hub = Hub(workers=3, sync_every=60)
    end, merged, parts = ending(hub)
    assert refused(hub, end, merged, {**parts, "lanes": bytes(len(parts["lanes"]))})
    finite = [*itertools.product(range(6), (-1.0, 0.75)), *((column, 1e300) for column in range(5))]
    for column, wrong in [*itertools.product(range(8), (np.nan, np.inf)), *finite]:
        right, parts["tallies"][1, column] = parts["tallies"][1, column], wrong
        assert refused(hub, end, merged, parts), (column, wrong)
        parts["tallies"][1, column] = right
    assert not refused(hub, end, merged, parts)
    whole = pack_ending(end, parts["lanes"], parts["records"], parts["tallies"], merged)
    shape = hub.service.job.shape
    for payload in (b"", whole[:8], whole[:-1], whole + b"x"):
        with pytest.raises(ValueError, match="stretch"):
            open_ending(payload, shape, first=True)
    with pytest.raises(ValueError, match="size"):
        open_ending(whole, shape, first=False)
    assert len(whole) < most_of(shape)


@pytest.mark.parametrize(("together", "reason"), [(0, Reason.CONTENT), (3, Reason.STALE)])
def test_a_worker_whose_stretch_is_refused_begins_again(together: int, reason: Reason) -> None:
    """Others write in the memory from which it tells; one whose window is refused has nobody else to blame."""
    service = mock.Mock(together=together)
    service.check.return_value = "what cannot be"
    frame = Frame(Kind.CONTRIB, payload=b"x")
    with pytest.raises(Rejected, match="what cannot be") as refused:
        check(service, 0, Submission(b"x", 1, 0), frame)
    assert refused.value.reason == reason


# ---- what a hub may offer


def accepted(offer: bytes) -> Any:
    """Return what worker 0 makes of an offer that it must not take."""
    service = Hub(workers=3).service
    welcome = open_welcome(service.welcome(0, ()), service.job.known())
    return place_in(offer, welcome)


def test_offers_come_back() -> None:
    window, offer = OpenWindow(7, 100, 0.5, 0.25, 1), Offer("/proc/1/fd/2 x", bytes(16), [0, 1])
    payload = b"".join(with_offer(result_parts(window, b"merged"), offer.pack()))
    result, found = without_offer(payload)
    assert Offer.unpack(found) == offer
    assert open_result(result) == (window, memoryview(b"merged"))


@pytest.mark.parametrize("payload", [b"", b"abc", b"abc\1\0\0\x80", b"a\2\0\0\0"])
def test_a_result_without_an_offer_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="offer"):
        without_offer(payload)


def test_a_hub_cannot_have_a_worker_write_to_a_file(tmp_path: Path) -> None:
    """Whatever address it gives: only memory that was made to be offered is opened."""
    path = tmp_path / "own"
    path.write_bytes(bytes(1 << 24))
    file, foreign = os.open(path, os.O_RDWR), os.memfd_create("other")
    loose = os.memfd_create(f"cdq-{'a' * 32}")  # which somebody may make shorter
    os.ftruncate(foreign, 1 << 24)
    os.ftruncate(loose, 1 << 24)
    own, token = f"/proc/{os.getpid()}/fd", bytes(range(16))
    try:
        for address in (
            str(path),
            f"{path} {path}",
            f"{own}/{file} {path}",
            f"{own}/{file} /memfd:cdq-{'0' * 32}",
            f"{own}/{foreign} /memfd:other",
            f"{own}/{loose} /memfd:cdq-{'a' * 32}",
            f"{own}/../fd/{foreign} /memfd:other",
            f"{own}/99999 /memfd:cdq-{'0' * 32}",
            "",
            "\0 \0",
        ):
            with pytest.raises((OSError, ValueError), match="proc|own|null|^$|\0"):
                reach(address.encode(), writable=True)
            assert accepted(Offer(address, token, [0]).pack()) is None
        assert not any(path.read_bytes())
    finally:
        for one in (file, foreign, loose):
            os.close(one)


@pytest.mark.parametrize(
    "offer",
    [
        b"",
        b"[]",
        b"{}",
        b"nonsense",
        b'["a", "zz", [0]]',
        b'[1, "00", [0]]',
        b'["a", "00", 5]',
        b"[" * 99_999,
        b'["a", "%s", [0, 0]]' % (b"00" * 16),
        b'["a", "%s", {"0": 0}]' % (b"00" * 16),
        Offer("a", bytes(16), [*range(65)]).pack(),
        Offer("a", bytes(16), [*range(1_000_000)]).pack(),
        Offer("a" * 9999, bytes(16), [0]).pack(),
    ],
)
def test_nonsense_is_no_offer(offer: bytes) -> None:
    assert accepted(offer) is None


@pytest.mark.parametrize(
    ("uids", "right"),
    [([0], True), ([1, 0], True), ([0, 0], False), ([0, 1, 1], False), ([*range(65)], False)],
)
def test_an_offer_names_workers_once_and_not_too_many(uids: list[int], right: bool) -> None:
    offer = Offer("a", bytes(16), uids)
    assert Offer.unpack(offer.pack()) == (offer if right else None)


def test_memory_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root could open it, and whoever owns it write there what root then takes for its own."""
    own = Memory(100)
    try:
        reach(own.address).release()
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(FileNotFoundError):
            reach(own.address)
    finally:
        own.withdraw()


def test_memory_that_is_too_short_is_refused() -> None:
    merged = cdq.QLearner(MODEL)._state.merged
    own = Memory(commons_bytes(merged, 2))
    try:
        Commons(own.memory(), merged, 2).release()
        with pytest.raises(OSError, match="not permitted"):  # who reads there would end
            os.ftruncate(own.file, 1)
        with pytest.raises(ValueError, match="memory of workers"):
            Commons(own.memory(), merged, 3)
        offer = Offer(own.address.decode(), bytes(range(16)), [0, 1, 2]).pack()
        assert accepted(offer) is None
    finally:
        own.withdraw()


def test_a_stretch_that_a_worker_did_not_meet_is_refused() -> None:
    hub = Hub(workers=3, sync_every=60)
    assert hub.service.check(0, Submission(bytes(64), 1, 0))
