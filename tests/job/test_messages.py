"""What a hub believes: contributions that may have come of the window it asked for, and nothing else."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdq.errors import ConfigError
from cdq.job import handshake as description
from cdq.job.member import Member
from cdq.job.membership.events import Refused, Submission
from cdq.job.messages import DONE, OpenWindow, open_result, pack_result
from cdq.storage import pack_tensors, parse_tensors
from tests.job.jobs import Hub

SUMMARY, HEADER = 40 + 64, 32  # a tally is 64 bytes; short windows have one


def begun(window: int, dtype: str = "float64") -> tuple[Hub, Member, bytearray]:
    hub = Hub(workers=1, sync_every=window, dtype=dtype)
    hub.play([0], rounds=3)
    member = Member()
    member.join(hub.service.welcome(0, ()))
    return hub, member, bytearray(member.learn())


def said(hub: Hub, payload: bytes) -> str | None:
    return hub.service.check(0, Submission(payload, 4, 3))


def put(at: int, form: str, value: float) -> Callable[[bytearray], None]:
    """Return what writes a number there; places below 0 count from the end, where the lanes are."""
    return lambda payload: struct.pack_into(form, payload, at % len(payload), value)


# Of a window of 30 steps: about 20 listed pairs of the table's 120.
WRONG = {
    "too short": (lambda payload: payload.__delitem__(slice(39, None)), "too short"),
    "cut within its tally": (lambda payload: payload.__delitem__(slice(60, None)), "which it cannot"),
    "cut behind its tally": (lambda payload: payload.__delitem__(slice(110, None)), "too short"),
    "of another length": (lambda payload: payload.append(0), "is none of|size that its header says"),
    "more pairs than there are": (put(SUMMARY + 8, "<q", 121), "is none of 120 pairs"),
    "a part of the table": (put(SUMMARY, "<q", 3), "is none of 120 pairs"),
    "something behind the header": (put(SUMMARY + 16, "<q", 1), "is none of 120 pairs"),
    "not a number": (put(SUMMARY + HEADER, "<d", float("nan")), "not finite"),
    "more episodes than steps": (put(0, "<q", 31), "episodes that cannot be"),
    "fewer than none": (put(0, "<q", -1), "episodes that cannot be"),
    "an endless return": (put(16, "<d", float("inf")), "episodes that cannot be"),
    "bytes that the hub counts": (put(24, "<q", 5), "episodes that cannot be"),
    "a wish to stop": (put(32, "<i", 2), "episodes that cannot be"),
    "tallies without end": (put(36, "<i", 2**31 - 1), "which it cannot"),
    "more episodes in its tally": (put(48, "<d", 31.0), "tallies that cannot be"),
    "a return in its tally that is no number": (put(88, "<d", float("nan")), "not finite"),
    "a state beyond the table": (put(-4, "<I", 30), "states that there are not"),
    "a negative time": (put(-60, "<q", -1), "episodes that cannot be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused(name: str) -> None:
    hub, _, payload = begun(30)
    change, why = WRONG[name]
    assert said(hub, bytes(payload)) is None
    change(payload)
    told = said(hub, bytes(payload))
    assert told is not None
    assert re.search(why, told), told


def test_visits_are_those_of_the_window() -> None:
    hub, _, payload = begun(30)
    count = struct.unpack_from("<q", payload, SUMMARY + 8)[0]
    at = SUMMARY + HEADER + 8 * count
    struct.pack_into("<I", payload, at, struct.unpack_from("<I", payload, at)[0] + 1)
    assert str(said(hub, bytes(payload))).startswith("a contribution has 31 visits, not the 30 of its window")


def test_a_pair_that_is_listed_was_visited() -> None:
    """Workers are told of listed pairs without their visits."""
    hub, _, payload = begun(30)
    count = struct.unpack_from("<q", payload, SUMMARY + 8)[0]
    counts = np.frombuffer(payload, np.uint32, count, SUMMARY + HEADER + 8 * count)
    pairs = np.frombuffer(payload, np.uint32, count, SUMMARY + HEADER + 12 * count)
    clocks = hub.learner._state.merged.clock.reshape(-1)[pairs]
    counts[1] += counts[0] - clocks[0]
    counts[0] = clocks[0]
    assert (
        said(hub, bytes(payload))
        == "a contribution has 30 visits, not the 30 of its window, or none of a pair"
    )


def test_pairs_are_in_order_and_there() -> None:
    hub, _, payload = begun(30)
    count = struct.unpack_from("<q", payload, SUMMARY + 8)[0]
    at = SUMMARY + HEADER + 12 * count
    for last in (120, struct.unpack_from("<I", payload, at)[0]):
        changed = bytearray(payload)
        struct.pack_into("<I", changed, at + 4 * (count - 1), last)
        assert said(hub, bytes(changed)) == "a contribution names pairs that there are not, or out of order"


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_comes_is_refused_or_can_be_merged(data: st.DataObject) -> None:
    hub, member, payload = begun(data.draw(st.sampled_from([9, 30, 600])), "float32")
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    if said(hub, bytes(payload)) is None:
        merged = hub.service.apply({0: Submission(bytes(payload), 4, 3)})
        hub.service.open(1)
        member.settle(pack_result(hub.service.window, merged))
        assert np.isfinite(hub.learner.table.values).all()
        hub.play([0], rounds=1)


@pytest.mark.parametrize("what", ["value", "clock"])
def test_g3_a_table_that_is_not_the_hubs_is_found_out(what: str) -> None:
    hub = Hub(workers=2, sync_every=30)
    hub.play([0, 1], rounds=64)
    members = {uid: Member() for uid in range(2)}
    for uid, member in members.items():
        member.join(hub.service.welcome(uid, ()))
    data = np.asarray(members[1]._worker.rows.data)
    data[7, 2 if what == "value" else 33] ^= 4
    told = {uid: said(hub, member.learn()) for uid, member in members.items()}
    assert told[0] is None
    assert re.search("table is not the hub's|visits, not the", str(told[1]))


# ---- what a worker believes


@pytest.mark.parametrize(
    "payload", [b"", b"x" * 39, struct.pack("<qqddq", -1, 0, 0, 0, 0), struct.pack("<qqddq", 1, 0, 2, 0, 0)]
)
def test_a_result_that_is_none_is_refused(payload: bytes) -> None:
    hub, member, _ = begun(30)
    with pytest.raises(ConfigError, match="the hub sent what is no result"):
        member.settle(payload)
    with pytest.raises(ConfigError, match="the hub sent what is no result"):
        member.settle(pack_result(hub.service.window, b"merged"))


@pytest.mark.parametrize("n_listed", [1, 2, 35])
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_results_list_pairs_without_their_visits(n_listed: int, real: type) -> None:
    columns = [np.arange(n_listed, dtype=kind) + 2 for kind in (real, np.uint32, np.uint32, np.uint32)]
    values, visits, clocks, pairs = (column.tobytes() for column in columns)
    padding = bytes(-len(values) % 8)
    head = struct.pack("<qqqq", -1, n_listed, 5, 9) + values + padding
    packed = pack_result(DONE, head + visits + clocks + pairs)
    assert bytes(packed)[40:] == head + clocks + pairs
    assert open_result(packed) == (DONE, head + np.ones(n_listed, np.uint32).tobytes() + clocks + pairs)
    consecutive = struct.pack("<qqqq", 0, n_listed, 5, 9) + values + padding + visits + clocks
    assert open_result(pack_result(DONE, consecutive)) == (DONE, consecutive)


def test_results_come_back() -> None:
    window = OpenWindow(7, 100, 0.5, 0.25, 1)
    assert open_result(pack_result(window, b"merged")) == (window, memoryview(b"merged"))
    assert open_result(pack_result(DONE))[0] == DONE


def test_a_welcome_that_was_altered_is_refused() -> None:
    hub, member, _ = begun(30)
    welcome = bytearray(hub.service.welcome(0, ()))
    welcome[-1] ^= 1
    with pytest.raises(ConfigError, match="a worker cannot begin with what the hub sent.*altered"):
        member.join(bytes(welcome))


@pytest.mark.parametrize("kind", ["uint8", "bool", "float16", "int32", "int64"])
def test_a_table_whose_values_are_no_floating_point_numbers_is_refused(kind: str) -> None:
    """Memory of a worker would be taken for values of another size."""
    with pytest.raises(ConfigError, match=f"cannot begin with what the hub sent.*dtype is .*{kind}"):
        welcomed(values=lambda values: values.astype(kind))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("values", np.ravel),
        ("values", lambda values: values[:-1].copy()),
        ("values", lambda values: values[:, :-1].copy()),
        ("clock", lambda clock: clock[:-1].copy()),
        ("lanes", lambda lanes: lanes.astype(np.int32)),
        ("lanes", lambda lanes: lanes.reshape(1, -1)),
        ("lanes", lambda lanes: lanes[:-1].copy()),
        ("model.reward", np.float32),
        ("model.next_state", lambda states: states + 2**20),
    ],
)
def test_tensors_of_another_form_are_refused(name: str, change: Callable[[Any], Any]) -> None:
    with pytest.raises(ConfigError, match="cannot begin with what the hub sent"):
        welcomed(**{name: change})


@pytest.mark.parametrize(
    "task",
    [
        [None, 0, 0.1, 0.1, 1],
        [7, "0", 0.1, 0.1, 1],
        [7, 0, "x", 0.1, 1],
        [7, 0, 0.1, [0.1], 1],
        [7, 0, 0.1, {}, 1],
        [7, 0, 0.1, 1.5, 1],
        [7, -1, 0.1, 0.1, 1],
        [-1, 0, 0.1, 0.1, 1],
        [2**31, 0, 0.1, 0.1, 1],
        [7, 2**63, 0.1, 0.1, 1],
        [7, 0, 0.1, 0.1],
        [],
        {},
        "7",
        7,
        None,
    ],
)
def test_a_window_that_cannot_be_is_refused(task: Any) -> None:
    with pytest.raises(ConfigError, match="cannot begin with what the hub sent"):
        welcomed(task=lambda _: task)


def welcomed(**changes: Callable[[Any], Any]) -> None:
    """Let a worker begin with what a hub may send, but for changes of tensors and of what is told."""
    tensors, about = parse_tensors(begun(30)[0].service.welcome(0, ()), "welcome")
    for name, change in changes.items():
        whole: Any = tensors if name in tensors else about
        whole[name] = change(whole[name])
    Member().join(pack_tensors(tensors, about))


# ---- greetings


def test_greetings_are_compared() -> None:
    hub = Hub(workers=1)
    hub.service.admit(description.hello())
    ours = description.hello()
    for changed, why in [
        (b"", "not that of a cdq worker"),
        (b"[" * 5000, "not that of a cdq worker"),
        (b"[]", "not that of a cdq worker"),
        (ours.replace(b'"cdq": "', b'"cdq": "9.'), "the worker has cdq '9.*; install the same on both"),
        (
            ours.replace(b'"protocol": 4', b'"protocol": 3'),
            "the worker has protocol 3, the hub has 4; install the same cdq on both",
        ),
        (ours.replace(b'"probe": "', b'"probe": "0'), "floating-point arithmetic differs"),
        (ours.replace(b"little", b"big"), "floating-point arithmetic differs"),
    ]:
        with pytest.raises(Refused, match=why):
            hub.service.admit(changed)


def test_a_model_goes_with_the_welcome_and_is_compared() -> None:
    hub, _, _ = begun(30)
    tensors, about = parse_tensors(hub.service.welcome(0, ()), "welcome")
    tensors["model.reward"] = tensors["model.reward"] + 1
    with pytest.raises(ConfigError, match="its model is another one than it says"):
        Member().join(pack_tensors(tensors, about))
