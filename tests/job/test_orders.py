"""Orders for stretches in memory that anybody may write to who shares it: a worker follows those that can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cdq.comm.memory import Offer as Memory
from cdq.job.member import Member
from cdq.job.messages import TOGETHER
from cdq.job.stretches.commons import Commons, commons_bytes
from cdq.job.stretches.ending import open_ending
from cdq.job.stretches.offers import Offer
from cdq.workers import Look
from tests.job.jobs import STEPS, Hub


class Table:
    """A hub's memory, and one worker of a job that has found it."""

    def __init__(self, **given: Any) -> None:
        self.hub = Hub(workers=1, sync_every=60, **given)
        service, merged = self.hub.service, self.hub.learner._state.merged
        self.memory, self.member = Memory(commons_bytes(merged, 1)), Member()
        self.commons = Commons(self.memory.memory(), merged, 1)
        self.member.join(service.welcome(0, ()))
        self.member._accept(memoryview(Offer(self.memory.address.decode(), bytes(16), [0]).pack()))
        self.member.window = self.member.window._replace(compare=TOGETHER)

    def order(self, **wrong: Any) -> Any:
        """Give an order, some of whose numbers are wrong; return what the worker has to say in the end."""
        progress = self.hub.service._course.progress
        self.commons.write_plan(self.hub.service._course.plan, STEPS)
        self.commons.write(progress.steps, progress.window, Look(), self.hub.learner._state.merged.visits)
        for name, value in wrong.items():
            self.commons.order[name] = value
        return self.member.learn()


@pytest.fixture
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.commons.release()
    made.memory.withdraw()


def test_an_order_that_can_be_is_followed(table: Table) -> None:
    payload = table.order()
    assert open_ending(payload, table.hub.service.job.shape, first=True).end.steps >= STEPS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -1),
        ("steps", STEPS),
        ("steps", 1 << 62),
        ("target", -1),
        ("target", (1 << 63) - 1),
        ("rule", -1),
        ("rule", 99),
        ("needs_mass", 1 << 40),
        ("at", -1),
        ("steps_per_look", -(1 << 63)),
        ("most_rows", 0),
        ("most_rows", -1),
        ("unseen", 2),
        ("seen", -1),
        ("counts", -1),
        ("knows", 7),
        ("knows", -5),
        ("knows", 1 << 50),
        ("text", 0),
        ("text", -1),
        ("text", 5),
        ("text", 1 << 40),
        *(
            (name, value)
            for name in ("window", "floor", "longest")
            for value in (np.nan, np.inf, 0.0, -1.0, 1e300)
        ),
        *((name, value) for name in ("seconds", "mass") for value in (np.nan, np.inf, -1.0)),
        ("seconds", 1e300),
    ],
)
def test_an_order_that_cannot_be_is_none(name: str, value: float, table: Table) -> None:
    """Division by nothing, windows without end, memory beyond the end: the worker is to begin again."""
    assert table.order(**{name: value}) is None


@pytest.mark.parametrize(
    "text",
    [
        b"no JSON",
        b"[" * (1 << 16),
        b"[]",
        b"1",
        b'{"kind": "nothing"}',
        b'{"kind": "rescaled-linear", "gamma": 0.9}',
        b'{"kind": "constant", "value": 7}',
        b'{"kind": "constant", "value": NaN}',
        b'{"kind": "constant", "value": "0.1", "more": 1}',
        b"\xff\xfe",
    ],
)
def test_an_exploration_rate_that_is_none_is_no_order(text: bytes, table: Table) -> None:
    table.order()
    table.commons.text[: len(text)] = np.frombuffer(text, np.uint8)
    table.commons.order["text"] = len(text)
    assert table.member.learn() is None


def test_an_order_of_rubbish_is_none(table: Table) -> None:
    random = np.random.default_rng(5)
    for _ in range(200):
        table.order()
        table.commons.order.view(np.uint8)[:] = random.integers(0, 256, table.commons.order.nbytes, np.uint8)
        assert table.member.learn() is None
