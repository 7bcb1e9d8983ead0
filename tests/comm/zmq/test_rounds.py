"""The hub's machine, one event at a time; what the network can do to it is in ``test_simulation.py``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdq.comm.zmq.events import Dropped, Received, Revoked, Send, Stop, Tick, Unreachable
from cdq.comm.zmq.wire import Frame, Kind, Reason, decode, encode
from cdq.job.membership import roster
from cdq.job.membership.events import Deliver, Failed, HubSettings, Joined, Leave, Left, Submit
from tests.comm.zmq.simulation import Disk, delta
from tests.comm.zmq.teams import Team


def test_a_fixed_number_begins_together() -> None:
    team = Team(HubSettings(min_members=2, max_members=2))
    team.join("a")
    assert team.kinds("a") == []
    assert "between rounds" in team.workers["a"].waiting_for
    team.join("b")
    assert team.kinds("a") == team.kinds("b") == [Joined]
    assert team.hub.epoch == 1
    team.submit("a")
    assert team.kinds("a") == [Joined]
    team.submit("b")
    assert team.kinds("a") == team.kinds("b") == [Joined, Deliver]
    assert [entry[:2] for entry in team.disk.log[0]] == [(0, 1), (1, 1)]


def test_a_late_answer_to_an_earlier_question_sends_nothing_again() -> None:
    """Else each contribution that was sent twice would be answered, and that answer have the next one sent twice."""
    team = Team(HubSettings(min_members=2, max_members=2))
    for name in ("a", "b"):
        team.join(name)
    (first,) = team.workers["a"].step(Submit(delta(0, 1, team.disk.tables[0]).tobytes(), 0, 0.0))
    assert isinstance(first, bytes)
    team.step(Received(b"a", first, None, 0.0))
    (question,) = team.workers["a"].step(Tick(1.0))
    assert isinstance(question, bytes)
    team.submit("b")
    team.submit("a")
    for late in (question, first, question):
        team.step(Received(b"a", late, None, 1.0))
    assert team.workers["a"].counts["sent again"] == 0
    (question,) = team.workers["a"].step(Tick(2.0))
    team.hub._roster.members[0].submission = None  # as if it had been lost
    assert isinstance(question, bytes)
    team.step(Received(b"a", question, None, 2.0))
    assert team.workers["a"].counts["sent again"] == 1
    team.submit("b")
    assert team.kinds("a") == team.kinds("b") == [Joined, Deliver, Deliver]


def test_who_comes_during_a_round_waits_for_the_next() -> None:
    team = Team(HubSettings())
    team.join("a")
    team.join("b")
    assert (team.kinds("b"), team.members) == ([], [0])
    team.submit("a")
    assert (team.kinds("b"), team.members) == ([Joined], [0, 1])
    assert team.happened["b"][0].version == 1
    assert team.hub.epoch == 2


def test_who_is_late_is_dropped_and_comes_back() -> None:
    team = Team(HubSettings(round_timeout=2.0))
    team.join("a")
    team.join("b")
    team.submit("a")
    team.submit("a")
    team.wait(1.9)
    assert team.kinds("a") == [Joined, Deliver]
    team.wait(0.2)
    assert team.kinds("a") == [Joined, Deliver, Deliver]
    assert team.members == [0]
    team.submit("b")  # of a table that is gone
    assert team.kinds("b") == [Joined]
    assert team.hub.counts["refused STALE"] == 1
    team.submit("a")
    assert team.kinds("b") == [Joined, Joined]
    assert team.happened["b"][-1].version == 3
    assert team.members == [0, 1]


def test_who_cannot_be_reached_is_waited_for_a_while() -> None:
    team = Team(HubSettings(grace=1.0, min_members=1))
    team.join("a")
    team.join("b")
    team.submit("a")
    team.step(Unreachable(b"b", team.now))
    team.submit("a")
    team.wait(0.9)
    assert team.hub.version == 1
    team.wait(0.2)
    assert (team.hub.version, team.members) == (2, [0])


def test_who_leaves_is_not_waited_for() -> None:
    team = Team(HubSettings())
    team.join("a")
    team.join("b")
    team.submit("a")
    team.submit("a")
    team.give("b", Leave(team.now))
    assert team.kinds("b") == [Joined, Left]
    assert (team.hub.version, team.members) == (2, [0])


def test_what_a_leaver_brought_counts() -> None:
    team = Team(HubSettings())
    team.join("a")
    team.join("b")
    team.submit("a")
    team.submit("b")
    team.give("b", Leave(team.now))
    team.submit("a")
    assert [entry[:2] for entry in team.disk.log[1]] == [(0, 2), (1, 1)]
    assert team.members == [0]


def test_fewer_than_enough_wait_for_others() -> None:
    team = Team(HubSettings(min_members=2, grace=1.0))
    for name in "ab":
        team.join(name)
    team.submit("a")
    team.step(Unreachable(b"b", team.now))
    team.wait(5.0)
    assert team.hub.version == 0
    team.join("c")  # takes the place of the one that is gone
    assert team.kinds("c") == [Joined]
    team.submit("c")
    assert team.hub.version == 1


def test_a_hub_that_starts_again_counts_nothing_twice() -> None:
    team = Team(HubSettings(min_members=2, max_members=2))
    for name in "ab":
        team.join(name)
        if name == "b":
            team.submit("a")
            team.submit("b")
    team.submit("a")
    disk = Disk(team.disk.tables, team.disk.log, json.loads(json.dumps(team.disk.state)))
    again = Team(HubSettings(min_members=2, max_members=2), disk)
    again.workers, again.happened = team.workers, team.happened
    assert again.hub.generation == 2
    again.submit("b")  # to a hub that knows nobody: it asks, and gets it after all
    again.now += 9.0
    again.give("a", Tick(again.now))
    assert again.kinds("a") == again.kinds("b") == [Joined, Deliver, Deliver]
    assert [[entry[:2] for entry in entries] for entries in disk.log] == [[(0, 1), (1, 1)], [(0, 2), (1, 2)]]


def test_the_same_key_has_the_same_number_and_one_process() -> None:
    team = Team(HubSettings())
    team.join("a", key="K")
    team.join("b", key="K")
    assert [team.happened[name][-1].uid for name in "ab"] == [0, 0]
    team.submit("b")
    assert team.kinds("b") == [Joined, Deliver]
    team.step(Unreachable(b"a", team.now))
    team.submit("a")
    failed = team.happened["a"][-1]
    assert isinstance(failed, Failed)
    assert failed.reason == Reason.REPLACED
    assert "cdq keygen" in failed.text


def test_a_key_that_is_revoked_is_out() -> None:
    team = Team(HubSettings())
    team.join("a", key="K")
    team.step(Revoked(frozenset({"K"}), team.now))
    assert team.members == []


def test_who_may_not_take_part_hears_why() -> None:
    team = Team(HubSettings())
    team.join("a", hello=b"subtracts")
    assert team.happened["a"] == [Failed(Reason.REFUSED, "adds not")]


@pytest.mark.parametrize(("payload", "reason"), [(bytes(32), Reason.CONTENT), (bytes(33), Reason.TOO_LONG)])
def test_a_contribution_that_is_not_right(payload: bytes, reason: Reason) -> None:
    team = Team(HubSettings())
    team.join("a")
    team.give("a", Submit(payload, 0, 0.0))
    failed = team.happened["a"][-1]
    assert isinstance(failed, Failed)
    assert failed.reason == reason
    assert team.hub.version == 0


def test_asynchronous_contributions_are_applied_as_they_come() -> None:
    team = Team(HubSettings(asynchronous=True))
    for name in "abc":
        team.join(name)
    for _ in range(4):
        team.submit("a")
    team.submit("b")  # four versions late: too many
    assert team.kinds("a") == [Joined] + [Deliver] * 4
    assert team.kinds("b") == [Joined, Joined]
    team.submit("b")
    assert team.kinds("b") == [Joined, Joined, Deliver]
    assert team.hub.version == 5


def test_the_hub_ends_when_all_is_done_and_all_left() -> None:
    team = Team(HubSettings())
    team.join("a")
    team.submit("a")
    team.service.finished = True
    team.wait(0.1)
    assert not team.done
    team.join("b")  # too late: it hears so from the service
    assert team.kinds("b") == [Joined]
    for name in "ab":
        team.give(name, Leave(team.now))
    team.wait(0.1)
    assert team.done


def test_the_hub_ends_when_asked() -> None:
    team = Team(HubSettings())
    team.step(Stop(0.0))
    assert team.done


# ---- who asks for much, or is gone


def test_who_waits_and_is_gone_is_dropped() -> None:
    team = Team(HubSettings(min_members=1, max_members=2))
    team.join("a")
    team.join("b")
    assert team.hub.status()["waiting"] == [1]
    del team.workers["b"]
    team.wait(1.0)  # it is asked whether it is there
    pings = [action.route for action in team.hub.step(Tick(team.now + 1.0)) if isinstance(action, Send)]
    assert b"b" in pings
    team.step(Unreachable(b"b", team.now))
    assert team.hub.status()["waiting"] == []


def asks(team: Team, name: str, session: int, unread: int = 0) -> int:
    """Ask to be welcomed once more, and return how many WELCOMEs come of it."""
    frame = Frame(Kind.HELLO, 7, 1, incarnation=session, payload=name.encode().ljust(16) + b"adds")
    sent = team.hub.step(Received(name.encode(), encode(frame), None, team.now, unread))
    return sum(decode(action.message).kind == Kind.WELCOME for action in sent if isinstance(action, Send))


def test_a_worker_is_welcomed_again_when_it_has_taken_the_former_one() -> None:
    team = Team(HubSettings())
    team.join("a")
    assert asks(team, "a", 1, unread=1000) == 0
    assert asks(team, "a", 1) == 1


def test_a_worker_is_welcomed_so_often_in_a_second() -> None:
    team = Team(HubSettings())
    team.join("a")
    assert sum(asks(team, "a", session) for session in range(1, 1000)) <= 10
    session = team.hub._roster.members[0].incarnation
    team.now += 1.0
    assert asks(team, "a", session) == 1


def test_much_that_is_under_way_keeps_others_waiting() -> None:
    team = Team(HubSettings())
    team.hub.step(Tick(0.0, unread=1 << 30))
    team.join("a")
    assert team.members == [0]
    assert team.kinds("a") == []
    team.step(Tick(0.1, unread=1 << 30))
    assert team.kinds("a") == []
    team.step(Tick(0.2))
    assert team.kinds("a") == [Joined]


def test_joining_takes_as_long_for_each_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """No welcome copies the numbers of all, and members that come in any order are put in order once."""
    team, given, sorts = Team(HubSettings(min_members=5)), list[Any](), list[Any]()
    welcome = team.service.welcome
    monkeypatch.setattr(
        team.service, "welcome", lambda uid, members: given.append(members) or welcome(uid, members)
    )
    monkeypatch.setattr(roster, "sorted", lambda items: sorts.append(items) or sorted(items), raising=False)
    for key in "abcde":
        team.join(key, key)
    assert given == [team.hub._roster.members] * 5
    assert all(members is team.hub._roster.members for members in given)
    for key in "abcde":
        team.give(key, Leave(team.now))
    assert team.members == []
    for key in "edcba":
        team.join(key, key)
    assert team.members == list(range(5))
    assert sum(len(items) > 1 for items in sorts) == 1


@pytest.mark.parametrize("settings", [HubSettings(min_members=20), HubSettings(asynchronous=True)])
def test_members_are_counted_once_and_again_when_one_is_lost(
    monkeypatch: pytest.MonkeyPatch, settings: HubSettings
) -> None:
    team, looks = Team(settings), list[Any]()
    for number in range(20):
        team.join(f"first {number}")
    is_live = team.hub._is_live
    monkeypatch.setattr(team.hub, "_is_live", lambda peer: looks.append(peer) or is_live(peer))
    for number in range(50):
        team.join(f"later {number}")
    assert len(looks) <= 20
    assert len(team.members) == (70 if settings.asynchronous else 20)
    team.step(Unreachable(b"first 0", team.now))
    team.wait(1000.0)
    team.join("last")
    assert 0 not in team.members
    assert len(looks) > 20


def test_who_is_gone_before_its_turn_is_not_welcomed() -> None:
    team = Team(HubSettings())
    team.hub.step(Tick(0.0, unread=1 << 30))
    team.join("a")
    team.step(Unreachable(b"a", 0.1))
    assert not [action for action in team.hub.step(Tick(0.2)) if isinstance(action, Send)]


def test_a_result_is_not_sent_again_while_it_is_on_its_way() -> None:
    team = Team(HubSettings())
    team.join("a")
    team.submit("a")
    machine = team.workers["a"]
    ping = Frame(Kind.PING, 7, 1, team.hub.epoch, machine.uid, machine._incarnation, machine.applied)
    for unread, kind in ((1000, Kind.PONG), (0, Kind.RESULT)):
        team.now += 10.0
        (sent,) = team.hub.step(Received(b"a", encode(ping), None, team.now, unread))
        assert isinstance(sent, Send)
        assert decode(sent.message).kind == kind


def test_what_is_no_message_is_counted_and_told_ever_more_seldom() -> None:
    team = Team(HubSettings())
    said = [action for _ in range(1000) for action in team.hub.step(Dropped("a reason", 0.0))]
    assert team.hub.counts["refused a reason"] == 1000
    assert len(said) == 10
