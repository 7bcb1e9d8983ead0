"""Processes and their files, by what /proc tells of them: one that ends while it is asked for has ended."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable
from pathlib import Path


def children(process: int) -> list[int]:
    """Return the children of all threads of a process, zombies too."""
    tasks = Path(f"/proc/{process}/task").glob("*")
    return [int(child) for task in tasks for child in read(task / "children").split()]


def descendants(process: int) -> list[int]:
    """Return the children of a process, their children and so on: ranks have sessions of their own."""
    return [found for child in children(process) for found in (child, *descendants(child))]


def command(process: int) -> str:
    """Return the command of a process, its words parted by NUL; empty where it has ended."""
    return read(Path(f"/proc/{process}/cmdline"))


def runs(process: int) -> bool:
    """Return whether a process is more than an entry that nobody has asked for yet."""
    state = read(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return bool(state) and state[0] not in "ZX"


def left(processes: Iterable[int], seconds: float = 10.0) -> list[int]:
    """Wait for processes to end; return those that still run after so many seconds."""
    until = time.monotonic() + seconds
    found = [process for process in processes if runs(process)]
    while found and time.monotonic() < until:
        time.sleep(0.02)
        found = [process for process in found if runs(process)]
    return found


def open_files() -> int:
    """Return how many files this process has open; what earlier tests left to the collector is closed first."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def read(path: Path) -> str:
    """Return a file of /proc; empty where its process has ended, or belongs to somebody else."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
