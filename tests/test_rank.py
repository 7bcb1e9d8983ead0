"""Several workers of an environment that is stepped in Python: processes beside this one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError, PeerLost, UnsupportedEnvironment
from tests.envs import failing

WORKERS = 3


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other processes import this one's test modules, as a user's would be."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1])


def ranks_left() -> list[str]:
    """Return the processes of this module that still run."""
    shown = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if "cdq.rank" in line and "ps -eo" not in line]


def learner(env: Any, **changes: Any) -> cdq.QLearner:
    return cdq.QLearner(env, **{"workers": WORKERS, "seed": 1, "sync_every": 500, **changes})


def test_workers_are_processes_and_learn_together() -> None:
    agent = learner("Sound-v0").learn(9000)
    report = agent.report()
    assert (report["stepping"], report["comm"], report["workers"]) == ("Python environment", "zmq", WORKERS)
    assert agent.steps == agent.table.visits.sum() == 9000
    assert ranks_left() == []


def test_two_runs_are_one_and_a_second_call_goes_on() -> None:
    first, second = learner(failing.Sound).learn(3000), learner(failing.Sound).learn(3000)
    assert first.table.digest() == second.table.digest()
    assert first.learn(3000).table.digest() == second.learn(3000).table.digest()
    assert first.steps == 6000


@pytest.mark.parametrize("representation", [{}, {"table": "hash"}], ids=["dense", "hash"])
def test_processes_come_to_the_bits_of_threads(representation: dict[str, Any]) -> None:
    def learnt(comm: str) -> list[str]:
        agent = cdq.QLearner("cdq/RiverSwim-v0", workers=WORKERS, comm=comm, seed=0, **representation)
        return [agent.learn(20_000).table.digest() for _ in range(2)]

    assert learnt("zmq") == learnt("inprocess")


def test_weights_come_to_the_bits_of_threads() -> None:
    digests = {
        cdq.QLearner(
            "MountainCar-v0",
            features=cdq.TileCoding(4, 4),
            workers=WORKERS,
            comm=comm,
            seed=0,
            dtype="float32",
        )
        .learn(30_000)
        .table.digest()
        for comm in ("inprocess", "zmq")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (failing.Failing, "worker 1, lane 0, step 10: step raised RuntimeError: the sensor is lost"),
        (failing.Killed, "rank 1: its process cannot be reached"),
        (failing.Exiting, "rank 1: SystemExit: 3"),
    ],
)
def test_a_worker_that_fails_ends_the_call_and_leaves_the_last_round(env: Any, said: str) -> None:
    agent = learner(env)
    with pytest.raises(PeerLost, match=said):
        agent.learn(30_000)
    # Rank 1 failed in the window that its step 5000 would have ended.
    assert agent.steps == agent.table.visits.sum() == WORKERS * (failing.AT - 500)
    assert ranks_left() == []
    with pytest.raises(PeerLost, match=said):  # the same again: processes begin anew
        agent.learn(30_000)
    assert agent.steps == 2 * WORKERS * (failing.AT - 500)


def test_a_failure_leaves_a_checkpoint_of_the_last_round(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = learner(failing.Failing, checkpoint=tmp_path, checkpoint_every=6000)
    with pytest.raises(PeerLost):
        agent.learn(30_000)
    monkeypatch.setenv(failing.REPAIRED, "1")
    again = cdq.QLearner.resume(tmp_path, failing.Failing)
    assert again.steps == agent.steps == WORKERS * (failing.AT - 500)
    assert again.table.digest() == agent.table.digest()
    assert again.learn().steps == 30_000


def test_what_another_process_cannot_make_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"cannot be made in another process.*cdq launch"):
        learner(lambda: failing.Failing("never"))
    with pytest.raises(ConfigError, match="cannot be made in another process"):
        learner(failing.Sound())


def test_threads_that_would_take_turns_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"threads would take turns.*'zmq', 'mpi'"):
        learner("Sound-v0", comm="inprocess")


def test_an_id_that_only_this_process_knows(capfd: pytest.CaptureFixture[str]) -> None:
    import gymnasium

    gymnasium.register("Lambda-v0", entry_point=lambda: failing.Failing("never"))
    try:
        with pytest.raises((ConfigError, UnsupportedEnvironment)):
            learner("Lambda-v0")
    finally:
        del gymnasium.registry["Lambda-v0"]
    assert ranks_left() == []


def test_a_process_that_does_not_start_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from cdq.job import ranks

    monkeypatch.setattr(ranks, "RANK", ("-c", "import sys; sys.exit(7)"))
    with pytest.raises(PeerLost, match="with status 7"):
        learner("Sound-v0").learn(1000)
