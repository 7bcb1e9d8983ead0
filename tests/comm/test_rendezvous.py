"""Variables of launchers that start no relay: what they say, and what is wrong with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cdq
from cdq.comm import rendezvous as module
from cdq.comm.registry import choose
from cdq.comm.rendezvous import URL, launched_rank, mark, parent_meeting, rendezvous
from cdq.errors import ConfigError

TORCH = {"RANK": "1", "WORLD_SIZE": "3", "MASTER_ADDR": "node-0", "MASTER_PORT": "29500"}
INDEXED = {"JOB_COMPLETION_INDEX": "2", "CDQ_SIZE": "3", "CDQ_HUB": "job-0.job"}
AWS = {
    "AWS_BATCH_JOB_NODE_INDEX": "1",
    "AWS_BATCH_JOB_NUM_NODES": "2",
    "AWS_BATCH_JOB_MAIN_NODE_INDEX": "0",
    "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS": "10.0.0.7",
}
AWS_MAIN = {name: value for name, value in AWS.items() if not name.endswith("ADDRESS")} | {
    "AWS_BATCH_JOB_NODE_INDEX": "0"
}
KINDS = {name: value for kind in (TORCH, INDEXED, AWS) for name, value in kind.items()}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*KINDS, "CDQ_PORT", "CDQ_KEYS", "CDQ_COMM", "CDQ_RANK", "LOCAL_WORLD_SIZE", module._MARK]:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (TORCH, (1, 3, "node-0", 29501)),
        (TORCH | {"MASTER_PORT": ""}, (1, 3, "node-0", 5555)),
        (TORCH | {"CDQ_PORT": "7000"}, (1, 3, "node-0", 7000)),
        (TORCH | {"MASTER_PORT": "65535", "CDQ_PORT": "7000"}, (1, 3, "node-0", 7000)),
        (TORCH | {"MASTER_ADDR": "fd00::1"}, (1, 3, "[fd00::1]", 29501)),
        (TORCH | {"MASTER_ADDR": "[fd00::1]"}, (1, 3, "[fd00::1]", 29501)),
        # torchrun --standalone gives the machine's name, and that all processes are there.
        (TORCH | {"LOCAL_WORLD_SIZE": "3"}, (1, 3, "127.0.0.1", 29501)),
        (TORCH | {"LOCAL_WORLD_SIZE": "1"}, (1, 3, "node-0", 29501)),
        (INDEXED, (2, 3, "job-0.job", 5555)),
        (INDEXED | {"CDQ_PORT": "7000"}, (2, 3, "job-0.job", 7000)),
        (AWS, (1, 2, "10.0.0.7", 5555)),
        (AWS_MAIN, (0, 2, "", 5555)),
        (AWS_MAIN | {"AWS_BATCH_JOB_MAIN_NODE_INDEX": ""}, (0, 2, "", 5555)),
        # The main node is not the first: it is rank 0 all the same, as the others know its address.
        (
            AWS_MAIN | {"AWS_BATCH_JOB_MAIN_NODE_INDEX": "1", "AWS_BATCH_JOB_NODE_INDEX": "1"},
            (0, 2, "", 5555),
        ),
        (
            AWS | {"AWS_BATCH_JOB_MAIN_NODE_INDEX": "1", "AWS_BATCH_JOB_NODE_INDEX": "0"},
            (1, 2, "10.0.0.7", 5555),
        ),
        # Started inside a job of another kind: the inner one counts, unless it says that there is one process.
        (INDEXED | TORCH, (1, 3, "node-0", 29501)),
        (INDEXED | {"RANK": "0", "WORLD_SIZE": "1"}, (2, 3, "job-0.job", 5555)),
        (INDEXED | {"WORLD_SIZE": "1"}, (2, 3, "job-0.job", 5555)),
    ],
)
def test_the_variables_say_who_this_is(environment: dict[str, str], told: tuple[object, ...]) -> None:
    meeting = rendezvous(environment)
    assert meeting is not None
    assert meeting[1:] == told
    assert launched_rank(environment) == told[0]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WORLD_SIZE": "1"},
        {"WORLD_SIZE": "1", "RANK": "0"},
        {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "node-0", "MASTER_PORT": "29500"},
        {"RANK": "", "WORLD_SIZE": ""},
        {"MASTER_ADDR": "node-0", "MASTER_PORT": "29500"},  # as notebooks set them
        {"JOB_COMPLETION_INDEX": "4"},  # jobs that have nothing to do with each other
        INDEXED | {"CDQ_SIZE": "1", "JOB_COMPLETION_INDEX": "0"},
        {"CDQ_SIZE": "3"},  # of processes that name their hub
        AWS_MAIN | {"AWS_BATCH_JOB_NUM_NODES": "1"},
    ],
)
def test_one_worker_alone(environment: dict[str, str]) -> None:
    assert rendezvous(environment) is None
    assert launched_rank(environment) is None


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (
            TORCH | {"RANK": ""},
            r"RANK is not set, and WORLD_SIZE is; .* unset WORLD_SIZE, or give comm='inprocess'",
        ),
        (
            TORCH | {"WORLD_SIZE": ""},
            "WORLD_SIZE is not set, and RANK is; a launcher sets RANK and WORLD_SIZE",
        ),
        ({"RANK": "0"}, "WORLD_SIZE is not set, and RANK is"),
        (TORCH | {"RANK": "3"}, r"RANK is '3'; allowed: a whole number from 0 to 2 \(below WORLD_SIZE\)"),
        (
            {"RANK": "1", "WORLD_SIZE": "1"},
            r"RANK is '1'; allowed: a whole number from 0 to 0 \(below WORLD_SIZE\)",
        ),
        (TORCH | {"RANK": "-1"}, "RANK is '-1'"),
        (TORCH | {"RANK": "one"}, "RANK is 'one'; allowed: a whole number from 0 to 2"),
        (TORCH | {"RANK": "1.0"}, "RANK is '1.0'"),
        (TORCH | {"RANK": "\u0661"}, "RANK is "),
        (TORCH | {"RANK": "1" * 5000}, "RANK is '1111"),
        (TORCH | {"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'; allowed: a whole number from 1 to 8192"),
        (TORCH | {"WORLD_SIZE": "1000000000000"}, "WORLD_SIZE is '1000000000000'; allowed"),
        (TORCH | {"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
        (
            TORCH | {"MASTER_ADDR": ""},
            "MASTER_ADDR is not set, and RANK is 1 and WORLD_SIZE is 3; give the name",
        ),
        (TORCH | {"MASTER_ADDR": "  "}, "MASTER_ADDR is not set"),
        (TORCH | {"MASTER_PORT": "x"}, "MASTER_PORT is 'x'; allowed: a whole number from 1 to 65535"),
        (TORCH | {"MASTER_PORT": "70000"}, "MASTER_PORT is '70000'"),
        (TORCH | {"MASTER_PORT": "65535"}, "MASTER_PORT is 65535, and .* set CDQ_PORT to another one"),
        (TORCH | {"CDQ_PORT": "0"}, "CDQ_PORT is '0'; allowed: a whole number from 1 to 65535"),
        (INDEXED | {"CDQ_HUB": ""}, "CDQ_HUB is not set, and JOB_COMPLETION_INDEX is 2 and CDQ_SIZE is 3"),
        (INDEXED | {"CDQ_SIZE": ""}, "CDQ_SIZE is not set, and JOB_COMPLETION_INDEX and CDQ_HUB are"),
        (
            INDEXED | {"JOB_COMPLETION_INDEX": ""},
            "JOB_COMPLETION_INDEX is not set, and CDQ_SIZE and CDQ_HUB are",
        ),
        ({"CDQ_HUB": "node-0"}, "JOB_COMPLETION_INDEX is not set, and CDQ_HUB is"),
        (INDEXED | {"JOB_COMPLETION_INDEX": "3"}, "JOB_COMPLETION_INDEX is '3'.*below CDQ_SIZE"),
        (AWS | {"AWS_BATCH_JOB_NODE_INDEX": "2"}, "AWS_BATCH_JOB_NODE_INDEX is '2'"),
        (AWS | {"AWS_BATCH_JOB_NUM_NODES": ""}, "AWS_BATCH_JOB_NUM_NODES is not set"),
        (AWS | {"AWS_BATCH_JOB_MAIN_NODE_INDEX": "2"}, "AWS_BATCH_JOB_MAIN_NODE_INDEX is '2'"),
        (AWS_MAIN | {"AWS_BATCH_JOB_NODE_INDEX": "1"}, "PRIVATE_IPV4_ADDRESS is not set, and"),
    ],
)
def test_half_set_or_contradictory_variables_are_refused(
    environment: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        rendezvous(environment)
    assert len(str(caught.value)) < 400
    assert launched_rank(environment) is None, "who cannot be told says so itself"
    mark(dict(environment))  # as on import, which raises nothing
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=says):
        cdq.QLearner("FrozenLake-v1")
    cdq.QLearner("FrozenLake-v1", comm="inprocess")  # as the message says


def test_auto_is_the_meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in TORCH.items():
        monkeypatch.setenv(name, value)
    assert choose("auto") == URL


@pytest.mark.parametrize(
    ("inner", "chosen"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}, "mpi"),
        ({"PMI_SIZE": "2", "PMI_RANK": "0"}, "mpi"),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, "mpi"),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, "inprocess"),
        ({"CDQ_COMM": "inprocess"}, "inprocess"),
    ],
)
@pytest.mark.parametrize("outer", [TORCH, INDEXED, AWS, {"RANK": "0"}])
def test_mpiexec_and_slurm_inside_come_first(
    outer: dict[str, str], inner: dict[str, str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (outer | inner).items():
        monkeypatch.setenv(name, value)
    assert choose("auto") == chosen


def test_a_shell_that_slurm_starts_does_not_hide_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs typed there are no ranks of Slurm."""
    for name, value in (
        TORCH | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_PTY_PORT": "1"}
    ).items():
        monkeypatch.setenv(name, value)
    assert choose("auto") == URL


def test_a_child_inherits_the_mark_and_is_no_rank() -> None:
    environment = dict(TORCH)
    mark(environment)
    assert rendezvous(environment) is not None
    child = {**environment, module._MARK: environment[module._MARK].replace(str(os.getpid()), "1")}
    assert rendezvous(child) is None
    assert parent_meeting(child) == rendezvous(environment)
    another = {**child, "RANK": "2"}  # of a job that the rank starts
    assert rendezvous(another) is not None


CHILD = """
import multiprocessing, subprocess, sys
import {imported}
sys.stdout.reconfigure(line_buffering=True)
def chosen(_=None):
    from cdq.comm.registry import choose
    return choose("auto")
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        print(pool.apply(chosen))
    asked = "from cdq.comm.registry import choose; print(choose('auto'))"
    subprocess.run([sys.executable, "-c", asked], check=True)
"""


def said(script: str, folder: Path, environment: dict[str, str]) -> list[str]:
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, str(folder / "script.py")],
        env={**os.environ, **environment, "PYTHONPATH": str(Path(cdq.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize(("imported", "of_subprocess"), [("cdq.comm.registry", "inprocess"), ("os", URL)])
def test_a_pool_of_a_rank_has_no_ranks(
    method: str, imported: str, of_subprocess: str, tmp_path: Path
) -> None:
    """A program that has no part of cdq is no rank: what it starts may be."""
    script = CHILD.format(imported=imported, method=method)
    assert said(script, tmp_path, TORCH) == ["inprocess", of_subprocess]


RANKS = """
import multiprocessing, os
from cdq.comm.registry import choose
def chosen(rank):
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
    return choose("auto")
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.map(chosen, [0, 1]))
"""


def test_processes_that_a_script_starts_and_gives_ranks_are_ranks(tmp_path: Path) -> None:
    assert said(RANKS, tmp_path, {}) == [URL, URL]


def test_the_meeting_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no launcher gave this process one of several ranks"):
        cdq.QLearner("FrozenLake-v1", comm=URL)
    for name, value in TORCH.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigError, match="workers is 2, but torchrun or its like .* started 3 ranks, one worker"
    ):
        cdq.QLearner("FrozenLake-v1", workers=2)
