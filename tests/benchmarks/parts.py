"""The benchmarks whose tables the pages show: a line for each; a new one needs a line here, and its title in a page.

Each is a module of `tests.benchmarks`, run as a program, that prints tables as `tests/benchmarks/tables.py` has them,
and takes `--repeats`.
"""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """Command behind `python -m tests.benchmarks.`, the same within seconds, and the page of its tables."""

    command: str
    quick: str
    page: str = "docs/benchmarks.md"


PARTS: dict[str, Part] = {
    "speeds": Part("speeds", "speeds --only import"),
    "large": Part("speeds --large", "speeds --only import"),
    "loops": Part("loops", "loops --env FrozenLake8x8-v1 --lanes 1"),
    "numba": Part("numba_loop", "numba_loop --lanes 8 --steps 1e5"),
    "rounds": Part("rounds --steps 1e7", "rounds --steps 1e4"),
    "rounds-lake": Part(
        "rounds --env FrozenLake-v1 --windows auto --steps 1e7", "rounds --windows 1000 --steps 1e4"
    ),
    "rounds-taxi": Part(
        "rounds --env Taxi-v4 --windows auto --steps 1e7", "rounds --windows 1000 --steps 1e4"
    ),
    "merging": Part("merging", "merging --states 100"),
    "tasks": Part("tasks", "tasks --steps 1e4"),
    "rules": Part("rules", "rules --env FrozenLake8x8-v1 --steps 1e5"),
    "network": Part("network", "network"),
    "network-large": Part("network --inputs 8 --hidden 128,128 --actions 4", "network --samples 8"),
    "quantecon": Part("quantecon", "quantecon --states 1000 --side 10"),
    "mpi": Part("mpi learning round overlap", "mpi learning"),
    "mpi-merge": Part("mpi merge", "mpi merge"),
    "mpi-nodes": Part("mpi merge --nodes", "mpi merge --nodes"),
    "overlap": Part("overlap", "overlap --windows 1000 --milliseconds 1"),
    "checkpoint": Part("checkpoint", "checkpoint --mebibytes 1"),
    "zmq": Part("zmq", "zmq learning"),
    "local": Part("local --seconds 3 --ways threads local hub", "local --seconds 0.05 --ways threads local"),
    "ranks": Part(
        "ranks --env FrozenLake8x8-v1 Taxi-v4 --seconds 0.3",
        "ranks --env FrozenLake-v1 --windows 1000 --seconds 0.05 --ways threads mpiexec",
    ),
    "gymnasium": Part("gymnasium_loops", "gymnasium_loops"),
    "agents": Part("agents", "agents --only beyond"),
    "processes": Part("processes", "processes --steps 2e4"),
    "environments": Part("environments chain grid", "environments chain"),
    "signals": Part("city", "city --steps 1e5"),
    "data": Part("data", "data --log-only --transitions 10000"),
    "games": Part("games", "games --plies 1e5"),
    "many": Part("many", "many 100", "docs/scaling.md"),
    "scaling": Part("scaling", "scaling --most 1000 --ranks 4", "docs/scaling.md"),
}
