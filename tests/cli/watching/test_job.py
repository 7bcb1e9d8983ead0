"""A job as its hub tells of it: running, waiting, done, and while the hub is gone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from cdq.cli.watching.job import JobWatch
from cdq.errors import CommError, CommTimeout, ConfigError
from tests.job.test_metrics import TOLD

PICTURE = {"curves": {"gap": [[1.0], [0.5]]}, "table": {"grid": [1, 1], "values": [1.0], "signs": ["G"]}}
STATE: dict[str, Any] = json.loads(json.dumps({**TOLD, "picture": PICTURE}))


def changed(**changes: Any) -> dict[str, Any]:
    return {**STATE, "service": {**STATE["service"], **changes.pop("service", {})}, **changes}


Hub = Callable[..., JobWatch]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    def answering(*answers: Any) -> JobWatch:
        left = iter(answers)

        def ask(url: str, timeout: float, keys: object, *, picture: bool) -> Any:
            assert picture
            answer = next(left)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr("cdq.cli.watching.job.status", ask)
        return JobWatch("tcp://127.0.0.1:1", 5.0, None)

    return answering


GONE = CommTimeout("tcp://127.0.0.1:1: no hub answers within 3 s")


def test_a_job_that_goes_on(hub: Hub) -> None:
    shown = hub(STATE).look()
    run = shown["run"]
    assert (run["title"], run["state"], run["share"]) == ("Taxi-v4", "running", 0.25)
    figures = dict(run["figures"])
    assert figures["steps"] == "2,500 of 10,000 (25%)"
    assert not {"worker 0", "environment", "epoch", "messages"} & set(figures)
    assert any("Worker 2 cannot be reached" in text for text in run["troubles"])
    assert (shown["curves"], shown["table"]) == (PICTURE["curves"], PICTURE["table"])
    assert shown["workers"][0]["who"] == "worker 0 (north on node-1)"
    assert json.dumps(shown, allow_nan=False)


def test_a_job_that_waits_and_one_that_is_done(hub: Hub) -> None:
    watched = hub(changed(members=[]), changed(service={"finished": True}))
    assert watched.look()["run"]["state"] == "waiting"
    assert watched.look()["run"]["state"] == "ended"


def test_a_hub_that_goes_and_comes_back(hub: Hub) -> None:
    watched = hub(STATE, GONE, ConfigError("own.secret cannot be read"), STATE)
    watched.look()
    gone = watched.look()
    assert gone["run"]["state"] == "gone"
    assert gone["run"]["says"].startswith("The hub has not answered since ")
    assert "time left" not in dict(gone["run"]["figures"])
    assert {row["state"] for row in gone["workers"]} == {"unknown"}
    assert watched.look()["run"]["says"] == gone["run"]["says"]
    back = watched.look()
    assert back["run"]["state"] == "running"
    said = [text for _, text in back["events"]]
    assert said.index("the hub does not answer any more") < said.index("the hub is back")
    assert said.count("the hub does not answer any more") == 1


def test_a_hub_that_goes_with_its_job_done_has_ended(hub: Hub) -> None:
    for state in (changed(service={"finished": True}), changed(service={"steps": 10_000})):
        watched = hub(state, GONE)
        watched.look()
        assert watched.look()["run"]["state"] == "ended"


def test_another_job_has_other_workers(hub: Hub) -> None:
    watched = hub(STATE, changed(run="0100", members=[5], workers=[], unreachable=[], delivered=[]))
    watched.look()
    assert [row["uid"] for row in watched.look()["workers"]] == [5]


def test_a_hub_that_does_not_answer_at_first_is_an_error(hub: Hub) -> None:
    with pytest.raises(CommTimeout, match="no hub answers"):
        hub(GONE).look()


def test_a_hub_of_ranks_has_no_job(hub: Hub) -> None:
    with pytest.raises(CommError, match="has ranks, and no job to watch"):
        hub({"size": 2, "ranks": [0], "counts": {}}).look()


@pytest.mark.parametrize(
    "state",
    [
        {name: value for name, value in STATE.items() if name != "picture"},
        {name: value for name, value in STATE.items() if name != "least"},
        changed(picture=3),
        changed(members="x"),
        changed(workers=[3]),
        changed(service={"target": "much"}),
        changed(counts=[]),
        changed(workers=[{**STATE["workers"][0], "seen": math.inf}]),
        changed(picture={**PICTURE, "table": math.nan}),
    ],
)
def test_a_hub_of_another_version_is_told_apart(hub: Hub, state: dict[str, Any]) -> None:
    with pytest.raises(CommError, match="the hub has another cdq"):
        hub(state).look()
    watched = hub(STATE, state)
    watched.look()
    assert watched.look()["run"]["state"] == "gone"  # a page goes on
