"""Processes as torchrun, Kubernetes and AWS Batch start them, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import cdq

CONNECT = """
import sys
from cdq.comm.registry import connect
with connect("auto", timeout={timeout})[0] as comm:
    came = [part[0] for part in comm.allgather(bytes([comm.rank]))]
    sys.stdout.write(f"{{comm.rank}} {{came}}\\n")
"""
LEARN = """
import sys, cdq
agent = cdq.QLearner("Taxi-v4", seed=0)
agent.learn(50_000)
sys.stdout.write(f"{agent.rank} {agent.report()['workers']} {agent.table.digest()}\\n")
"""


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        return int(door.getsockname()[1])


def torchrun(rank: int, size: int, port: int) -> dict[str, str]:
    variables = {"RANK": str(rank), "WORLD_SIZE": str(size)}
    return variables | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port - 1)}


def indexed_job(rank: int, size: int, port: int) -> dict[str, str]:
    variables = {"JOB_COMPLETION_INDEX": str(rank), "CDQ_SIZE": str(size)}
    return variables | {"CDQ_HUB": "localhost", "CDQ_PORT": str(port)}


def aws_batch(rank: int, size: int, port: int) -> dict[str, str]:
    """Return the variables of a job whose main node is the second."""
    index = str((rank + 1) % size)
    variables = {"AWS_BATCH_JOB_NODE_INDEX": index, "AWS_BATCH_JOB_NUM_NODES": str(size)}
    variables |= {"AWS_BATCH_JOB_MAIN_NODE_INDEX": str(1 % size), "CDQ_PORT": str(port)}
    return variables | ({"AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS": "127.0.0.1"} if rank else {})


Kind = Callable[[int, int, int], dict[str, str]]
KINDS: tuple[Kind, ...] = (torchrun, indexed_job, aws_batch)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a rank, with the variables of its launcher and none of this process's."""
    ours = ("CDQ_", "AWS_BATCH_", "OMPI_", "PMI")
    others = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**others, "PYTHONPATH": str(Path(cdq.__file__).parents[1]), **variables}


def start(script: str, variables: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start a process that is a rank, with the variables of its launcher and none of this process's."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        env=environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def end(
    processes: list[subprocess.Popen[str]], timeout: float = 60.0, kill: bool = False
) -> list[tuple[int, str, str]]:
    """Return status, output and the last line of the errors of each, when all have ended; none is left."""
    for process in processes:
        if kill:
            process.kill()
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [
        (process.returncode, out, (["", *err.splitlines()])[-1])
        for process, (out, err) in zip(processes, said, strict=True)
    ]
