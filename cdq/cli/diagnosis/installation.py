"""Facts of this installation and machine, as text, for a report of trouble."""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cdq._version import __version__
from cdq.cli.diagnosis.processes import ask, last_line
from cdq.comm import registry
from cdq.comm.node import here
from cdq.core import build

NOT_INSTALLED = "not installed"

_ANSWER_SECONDS = 10.0
_ASK_MPI = """
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print(MPI.Get_library_version().splitlines()[0].strip(" \\0"))
try:
    print(*{line.split()[-1] for line in open("/proc/self/maps") if "/libmpi" in line})
except OSError:
    print()
"""
_ASK_ZMQ = "import zmq; print(zmq.zmq_version())"


def facts() -> dict[str, str]:
    """Return the facts of this installation and machine, by name, as text."""
    return {
        **_software(),
        **_machine(),
        **_mpi(),
        "pyzmq": _zmq(),
        "communicators": ", ".join(registry.names()),
    }


def _software() -> dict[str, str]:
    compiled = f"{build.COMPILER}, {'debug' if build.DEBUG else 'release'} build"
    return {
        "cdq": f"{__version__}, {Path(__file__).parents[2]}",
        "compiled by": compiled,
        "Python": f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}",
        "NumPy": version_of("numpy"),
        "Gymnasium": version_of("gymnasium"),
        "safetensors": version_of("safetensors"),
    }


def _machine() -> dict[str, str]:
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "loops": _loops(),
        "cores": _cores(),
        "huge pages": _huge_pages(),
        "shared memory": _shared_memory(),
    }


def _mpi() -> dict[str, str]:
    installed = version_of("mpi4py")
    library = "" if installed == NOT_INSTALLED else _mpi_library()
    return {
        "mpi4py": installed,
        "MPI library": library or "none, as mpi4py is not installed",
        "mpiexec": _launcher(),
    }


def _mpi_library() -> str:
    status, output = ask([sys.executable, "-c", _ASK_MPI], _ANSWER_SECONDS)
    if status != 0:
        return f"cannot be loaded: {last_line(output)}"
    name, _, location = output.strip().partition("\n")
    return ", ".join(filter(None, [name, location]))


def _launcher() -> str:
    found = find_mpiexec()
    if found is None:
        return "none beside this Python, none in PATH"
    _, output = ask([found, "--version"], _ANSWER_SECONDS)
    first = next((line.strip() for line in output.splitlines() if line.strip()), "does not say its version")
    text = f"{found}, {first}"
    in_path = shutil.which("mpiexec")
    if in_path is not None and Path(in_path).resolve() != Path(found).resolve():
        text += f"; the shell would take {in_path}"
    return text


def find_mpiexec() -> str | None:
    """Return the mpiexec beside this Python, else the first in PATH, else None."""
    beside = str(Path(sys.executable).parent)
    return shutil.which("mpiexec", path=os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]))


def _zmq() -> str:
    installed = version_of("pyzmq")
    if installed == NOT_INSTALLED:
        return installed
    status, output = ask([sys.executable, "-c", _ASK_ZMQ], _ANSWER_SECONDS)
    return f"{installed}, libzmq {output.strip()}" if status == 0 else f"{installed}: {last_line(output)}"


def version_of(package: str) -> str:
    """Return the version of an installed package, or that it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _loops() -> str:
    flags = re.search(r"^flags\s*:(.*)$", _read("/proc/cpuinfo"), re.MULTILINE)
    avx2 = "avx2" in flags[1].split() if flags else False
    if build.uses_clones():
        return "for x86-64-v3 (AVX2)"
    if build.HAS_CLONES:
        return f"baseline, as the processor is no x86-64-v3 ({'with' if avx2 else 'without'} AVX2)"
    return "baseline: this build has no others" + (", though the processor has AVX2" if avx2 else "")


def _cores() -> str:
    place = here(platform.node())
    text = f"{os.cpu_count()} in the machine, {len(place.cores)} for this process ({_ranges(sorted(place.cores))})"
    return f"{text}, {'no quota' if math.isinf(place.quota) else f'a quota of {place.quota:g}'}"


def _huge_pages() -> str:
    folder = Path("/sys/kernel/mm/transparent_hugepage")
    chosen = [_chosen(_read(folder / name)) for name in ("enabled", "shmem_enabled")]
    return f"{chosen[0]}; of shared memory: {chosen[1]}"


def _chosen(options: str) -> str:
    found = re.search(r"\[(\w+)\]", options)
    return found[1] if found else "unknown"


def _shared_memory() -> str:
    try:
        room = shutil.disk_usage("/dev/shm")
    except OSError:
        return "no /dev/shm"
    return f"{room.total / 2**20:,.0f} MiB, {room.free / 2**20:,.0f} MiB free"


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers, those in a row as one.

    Examples
    --------
    >>> _ranges([0, 1, 2, 5])
    '0-2, 5'
    """
    rows: list[list[int]] = []
    for number in numbers:
        if rows and rows[-1][-1] == number - 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    return ", ".join(str(row[0]) if len(row) == 1 else f"{row[0]}-{row[-1]}" for row in rows)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
