"""G3 to G6 and G13 of the machines alone: whatever the network does."""

from __future__ import annotations

import pytest

from cdq.job.membership.events import HubSettings
from tests.comm.zmq.simulation import World

EVENTS = 20_000
MODES = {
    "fixed": HubSettings(min_members=4, max_members=4, grace=1.5, resend=0.1),
    "elastic": HubSettings(grace=1.0, round_timeout=3.0, resend=0.1),
    "two at least": HubSettings(min_members=2, max_members=3, grace=0.5, round_timeout=1.0, resend=0.1),
    "patient": HubSettings(grace=1.0, resend=0.1),
    "asynchronous": HubSettings(grace=1.0, resend=0.1, asynchronous=True),
}


@pytest.mark.parametrize("seed", range(50))
def test_g5_g6_exactly_once_whatever_happens(seed: int) -> None:
    mode = list(MODES)[seed % len(MODES)]
    world = World(seed, 4, MODES[mode], keys=seed % 2 == 0)
    world.run(EVENTS)
    world.check()
    assert min(world.faults.values()) > 0, world.faults
    world.heal()
    before = [process.acknowledged for process in world.processes]
    rounds = len(world.disk.log)
    until = world.now + 60.0
    while world.now < until:
        world.run(200)
        gained = [process.acknowledged - old for process, old in zip(world.processes, before, strict=True)]
        if sorted(gained)[-MODES[mode].max_members :][0] >= 5 and len(world.disk.log) >= rounds + 5:
            break
    else:
        pytest.fail(f"seed {seed}, {mode}: no progress after all was well again: {gained}")
    world.check()
