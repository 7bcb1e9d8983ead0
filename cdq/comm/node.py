"""Nodes of the ranks, and the number of cores that the ranks of each node have."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cdq.comm.contribution import Received

# Lets a rank of Open MPI that waits leave its core to others, and what Open MPI takes for yes.
_YIELDING, _TRUE = "OMPI_MCA_mpi_yield_when_idle", {"1", "true", "t", "yes", "y", "enabled"}


class Place(NamedTuple):
    """Place of a rank: its node and cores.

    Parameters
    ----------
    node : str
        Tells nodes apart.
    cores : frozenset of int
        The cores that the process may use.
    quota : float
        Processor time that the process may use, in cores.
    """

    node: str
    cores: frozenset[int]
    quota: float

    def packed(self) -> bytes:
        """Return this place, to be sent."""
        return f"{self.node}\n{self.quota}\n{','.join(map(str, sorted(self.cores)))}".encode()


def unpacked(part: Received) -> Place:
    """Return the place that was sent."""
    node, quota, cores = bytes(part).decode().split("\n")
    return Place(node, frozenset(map(int, cores.split(","))), float(quota))


def here(name: str) -> Place:
    """Return where this process is, on a node of that name."""
    with contextlib.suppress(OSError):  # two nodes may have the same name, but not this number of Linux's
        name = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    everywhere = not hasattr(os, "sched_getaffinity")
    cores = range(os.cpu_count() or 1) if everywhere else os.sched_getaffinity(0)
    return Place(name, frozenset(cores), _quota())


def cores_of(places: Sequence[Place], node: str) -> int:
    """Return how many cores the ranks of a node have between them; launchers bind each rank to its own."""
    there = [place for place in places if place.node == node]
    cores = len(frozenset[int]().union(*(place.cores for place in there)))
    return math.ceil(min(cores, *(place.quota for place in there)))


def crowded(places: Sequence[Place]) -> dict[str, tuple[int, int]]:
    """Return ranks and cores of each node with fewer cores than ranks."""
    counts = {place.node: sum(other.node == place.node for other in places) for place in places}
    cores = {node: cores_of(places, node) for node in counts}
    return {node: (counts[node], cores[node]) for node in counts if counts[node] > cores[node]}


def advice(ranks: int, cores: int, is_open_mpi: bool) -> str:
    """Return the warning of a crowded node."""
    advice = (
        f"{ranks} ranks on a node where they may use {cores} core{'s' * (cores > 1)}: they take turns, and each merge"
        f" waits for the last. Start {cores} there (mpiexec -n)"
    )
    if is_open_mpi and os.environ.get(_YIELDING, "").lower() not in _TRUE:
        advice += f"; if it has to be so many, set {_YIELDING}=1"
    return advice


def _quota() -> float:
    """Return the processor time that the control groups of this process allow, in cores."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf
    groups = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    limits = [math.inf]
    for group in groups:
        folder = Path("/sys/fs/cgroup") / group
        limits += [_limit(level / "cpu.max") for level in (folder, *folder.parents)]
    return min(limits)


def _limit(path: Path) -> float:
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return math.inf
    return math.inf if quota == "max" else int(quota) / int(period)
