"""A hub that starts again: who is waited for, and who is counted as late."""

from __future__ import annotations

import json

from cdq.job.membership.events import HubSettings, Leave
from tests.comm.zmq.test_rounds import Team


def test_who_does_not_come_back_to_a_hub_that_starts_again_is_not_counted_as_late() -> None:
    settings = HubSettings(min_members=2, max_members=2, grace=5.0)
    team = Team(settings)
    for name in "ab":
        team.join(name)
    team.submit("a")
    team.submit("b")
    team.disk.state = json.loads(json.dumps(team.hub.state()))
    again = Team(settings, team.disk)
    again.now = 1.0
    for name in "cd":
        again.join(name)
    again.wait(3.0)
    assert again.members == [0, 1]  # they may come back
    again.wait(3.0)
    assert again.members == [2, 3]
    assert again.hub.counts["evicted"] == 0


def test_who_left_before_the_hub_ended_is_not_waited_for_when_it_starts_again() -> None:
    settings = HubSettings(min_members=2, max_members=2, grace=5.0)
    team = Team(settings)
    for name in "ab":
        team.join(name)
    for name in "ab":
        team.give(name, Leave(team.now))
    team.disk.state = json.loads(json.dumps(team.hub.state()))
    again = Team(settings, team.disk)
    for name in "cd":
        again.join(name)
    assert again.members == [0, 1]
