"""Signals to a worker that joins: each is heard, whatever the worker waits for."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

import cdq.job.join
from cdq.comm.zmq.link import Link
from cdq.job.join import take_part
from cdq.job.membership.connection import Connection


@pytest.fixture
def url() -> str:
    return "zmq+tcp://127.0.0.1:9"  # where nobody listens


def asked(number: int) -> Callable[..., Any]:
    """Return what takes the place of waiting: a signal comes, and the wait would go on."""

    def wait(*_: object, **__: object) -> None:
        signal.raise_signal(number)
        pytest.fail("the worker waits on")

    return wait


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_whose_hub_is_not_there_leaves_when_asked(
    url: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(number)
    monkeypatch.setattr(Link, "_reach", asked(number))
    assert take_part(url) == 0
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_whose_hub_is_silent_leaves_when_asked(
    url: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "_reach", lambda link, timeout: None)
    monkeypatch.setattr(Connection, "wait", asked(number))
    assert take_part(url) == 0


def test_a_worker_that_was_asked_before_it_waits_does_not_wait(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hello() -> bytes:
        signal.raise_signal(signal.SIGTERM)
        return b"{}"

    monkeypatch.setattr(cdq.job.join, "hello", hello)
    monkeypatch.setattr(Link, "_reach", lambda link, timeout: pytest.fail("the worker waits"))
    assert take_part(url) == 0
