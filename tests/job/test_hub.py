"""The hub's directory: what it begins with, whose it is, and how much it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError, FileError
from cdq.job.hub import Hosting, run
from cdq.training import Goal, Requests
from tests.job.jobs import MODEL, Playing
from tests.job.test_chaos import assert_exact


def test_what_is_stored_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is written, though none is due, once what it replaces is larger than the room for it."""
    monkeypatch.setattr("cdq.job.hub._ROOM", 0)
    monkeypatch.setattr("cdq.job.hub.Hub", Playing)
    learner = cdq.QLearner(MODEL, comm="zmq", seed=5, num_envs=3, sync_every=100, checkpoint=tmp_path / "job")
    learner._checkpoints._every = 10**9
    learner.learn(30_000, hosting=Hosting(f"zmq+ipc://{tmp_path}/hub"))
    table = sum(part.nbytes for part in learner._state.tables().values())
    files = sorted((tmp_path / "job").glob("contributions-*"))
    assert len(files) == 3
    assert all(path.stat().st_size <= 3 * table + 10_000 for path in files)
    assert_exact(tmp_path / "job")


@pytest.mark.parametrize("other", [{"seed": 6}, {"gamma": 0.5}, {"env": "FrozenLake-v1"}])
def test_rounds_of_another_job_are_not_applied(
    other: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the checkpoints are gone, a job that is begun anew finds the journal of the one before."""
    monkeypatch.setattr("cdq.job.hub.Hub", Playing)
    job = tmp_path / "job"

    def play(**given: Any) -> str:
        arguments = {"env": MODEL, "comm": "zmq", "seed": 5, "num_envs": 3, "sync_every": 100, **given}
        learner = cdq.QLearner(**arguments, checkpoint=job)
        return learner.learn(3_000, hosting=Hosting(f"zmq+ipc://{tmp_path}/hub")).table.digest()

    digest = play()
    for path in job.glob("checkpoint-*"):
        path.unlink()
    with pytest.raises(
        FileError, match="holds the rounds of another job, on random-8; name another directory"
    ):
        play(**other)
    assert play() == digest  # the same one finds that it is done
    assert_exact(job)


def test_a_job_that_was_not_begun_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hub was killed after what a job begins with was written, and before the journal had a line."""
    monkeypatch.setattr("cdq.job.hub.Hub", Playing)
    for seed in (1, 2):
        learner = cdq.QLearner(
            MODEL, comm="zmq", seed=seed, num_envs=3, sync_every=100, checkpoint=tmp_path / "job"
        )
        learner.learn(3_000, hosting=Hosting(f"zmq+ipc://{tmp_path}/hub"))
        if seed == 1:
            for path in tmp_path.glob("job/*"):
                if path.name != "job.safetensors":
                    path.unlink()
    assert_exact(tmp_path / "job")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"staleness": n} for n in (-1, 10**23, 0.5, True, None)),
        *({"round_timeout": s} for s in (0, -1, float("nan"), float("inf"), 1e-9, 10**400, "1", True)),
        *({"grace": s} for s in (-1, float("nan"), float("inf"), 1e10, None)),
        *({"max_members": n} for n in (0, -1, 1 << 17, 2.5)),
        *({name: 1} for name in ("durable", "insecure", "asynchronous")),
    ],
    ids="{!s:.40}".format,
)
def test_what_no_hub_can_keep_to_is_refused_before_it_starts(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*; allowed: "):
        Hosting("zmq+ipc:///tmp/hub", **wrong)


def test_a_hub_is_for_members_alone(tmp_path: Path) -> None:
    """Where the workers are threads, or processes that step an environment in Python, an address is refused."""
    hosting = Hosting(f"zmq+ipc://{tmp_path}/hub")
    learner = cdq.QLearner(MODEL, seed=0, checkpoint=tmp_path / "job")
    with pytest.raises(
        ConfigError, match=r"hosting is for workers of a hub, and comm is 'inprocess'; allowed: "
    ):
        learner.learn(1000, hosting=hosting)
    how: dict[str, Any] = {"stepping": "python", "checkpoint": tmp_path / "job"}
    stepped = cdq.QLearner("FrozenLake-v1", comm="zmq", seed=0, **how)
    with pytest.raises(ConfigError, match="FrozenLake-v1 is stepped in Python"):
        stepped.learn(1000, hosting=hosting)
    assert not (tmp_path / "job").exists()
    assert learner.steps == stepped.steps == 0


def test_time_in_which_a_hub_waits_for_workers_is_none_of_learning() -> None:
    """The clock of the history begins anew until somebody joins, or a round closes."""
    begun, machine = list[int](), SimpleNamespace(epoch=3, version=7)

    def run_hub(stop: Callable[[], bool]) -> None:
        for machine.epoch, machine.version in ((3, 7), (3, 7), (4, 7), (4, 8)):
            assert not stop()

    call: Any = SimpleNamespace(
        monitor=SimpleNamespace(go_on=lambda: begun.append(machine.epoch)),
        requests=Requests(),
        state=SimpleNamespace(goal=Goal(100)),
    )
    hub: Any = SimpleNamespace(run=run_hub)
    run(hub, machine, call, lambda: None, lambda: None)  # type: ignore[arg-type]
    assert begun == [3, 3]
