"""Keras models by several processes: threads are refused, and all backends give the same bits."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError
from tests.test_examples import ENVIRONMENT, MPIEXEC

MODEL = """
def model():
    from keras import Input, Sequential, layers

    return Sequential([Input((4,)), layers.Dense(8), layers.LayerNormalization(), layers.ReLU(), layers.Dense(2)])
"""
COMMAND = "CartPole-v1 --network poles:model --steps 6144 --num-envs 32 --seed 1 --json report.json"
CDQ = str(Path(sys.executable).with_name("cdq"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "poles.py").write_text(MODEL)
    return tmp_path


def run(directory: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    python_path = os.pathsep.join([str(directory), ENVIRONMENT["PYTHONPATH"]])
    environment = {**ENVIRONMENT, "PYTHONPATH": python_path, **variables}
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )


def digest_by(directory: Path, *command: str) -> Any:
    result = run(directory, *command)
    assert result.returncode == 0, result.stderr
    return json.loads((directory / "report.json").read_text())["digest"]


def test_ranks_and_local_processes_learn_the_same(directory: Path) -> None:
    by_processes = digest_by(directory, CDQ, "train", *COMMAND.split(), "--workers", "2")
    by_mpi = digest_by(directory, MPIEXEC, "-n", "2", CDQ, "train", *COMMAND.split())
    by_launch = digest_by(directory, CDQ, "launch", "-n", "2", CDQ, "train", *COMMAND.split())
    assert by_processes == by_mpi == by_launch


def test_commands_go_on_with_a_model_that_is_named_again(directory: Path) -> None:
    begun = run(
        directory, CDQ, "train", *COMMAND.split(), "--checkpoint", "run", "--save", "poles.safetensors"
    )
    assert begun.returncode == 0, begun.stderr
    for command in (["train", "--resume", "run"], ["evaluate", "poles.safetensors", "--episodes", "2"]):
        refused = run(directory, CDQ, *command)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert "give network='poles:model' (--network on the command line)" in refused.stderr
        allowed = run(directory, CDQ, *command, "--network", "poles:model")
        assert allowed.returncode == 0, allowed.stderr


def test_workers_of_a_hub_name_the_function_themselves(directory: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        url = f"zmq+tcp://127.0.0.1:{door.getsockname()[1]}"
    job = f"--bind {url} --env {COMMAND} --merge mean --workers 2 --checkpoint job".split()
    worker = [CDQ, "join", url, "--network", "poles:model"]
    with ThreadPoolExecutor(3) as pool:
        hub = pool.submit(run, directory, CDQ, "hub", *job)
        workers = [pool.submit(run, directory, *worker) for _ in range(2)]
        assert hub.result().returncode == 0, hub.result().stderr
        assert [one.result().returncode for one in workers] == [0, 0]
    again = run(directory, CDQ, "replay", "job", "--network", "poles:model", "--json", "again.json")
    assert again.returncode == 0, again.stderr
    digests = [json.loads((directory / name).read_text())["digest"] for name in ("report.json", "again.json")]
    assert digests[0] == digests[1]
    assert "no module is imported because a file names it" in run(directory, CDQ, "replay", "job").stderr


def model() -> Any:
    from keras import Input, Sequential, layers

    return Sequential([Input((4,)), layers.Dense(8), layers.Dense(2)])


def test_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"threads .*allowed: 'zmq', 'mpi'"):
        cdq.QLearner("CartPole-v1", network=model, workers=2, comm="inprocess")


def test_a_command_without_the_function_says_so(directory: Path) -> None:
    for name, said in (
        ("poles:pole", "has no attribute 'pole'"),
        ("nowhere:model", "No module named 'nowhere'"),
        ("poles:", "allowed: a function without arguments"),
    ):
        result = run(directory, CDQ, "train", "CartPole-v1", "--network", name)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert said in result.stderr


FORK = """
import os, poles, cdq
if {first}:
    poles.model()
child = os.fork()
if child == 0:
    try:
        cdq.QLearner("CartPole-v1", network=poles.model)
    except cdq.errors.ConfigError as error:
        print(error, flush=True)
        os._exit(3)
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_tensorflow_that_ran_before_a_fork_is_refused(directory: Path) -> None:
    result = run(directory, sys.executable, "-c", FORK.format(first=True))
    assert (result.returncode, "TensorFlow ran before this process was forked" in result.stdout) == (3, True)
    assert run(directory, sys.executable, "-c", FORK.format(first=False)).returncode == 0


def test_another_backend_is_refused(directory: Path) -> None:
    result = run(directory, CDQ, "train", *COMMAND.split(), KERAS_BACKEND="jax")
    assert (result.returncode, result.stderr) == (
        2,
        "cdq: Keras has the backend 'jax'; allowed: 'tensorflow': set KERAS_BACKEND=tensorflow before "
        "keras is imported\n",
    )
