"""Memory that the ranks of one node share: anonymous files of Linux, which vanish with their last user.

Windows of MPI would do the same, but freeing one waits for all ranks, one that a killed job leaves stays in /dev/shm,
and that is often small (64 MB in a container).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import secrets
from collections.abc import Sequence

from cdq.comm.contribution import Received

_HUGE = 2 << 20
_PROCESS = re.compile(rb"/proc/(\d{1,9})/fd/")


class Offer:
    """The part of this rank, and where the others find it.

    Parameters
    ----------
    n_bytes : int
        Least length of the part, in bytes.

    Attributes
    ----------
    address : bytes
        Address of the part, for `accept`; empty if there is no such memory here.
    """

    def __init__(self, n_bytes: int) -> None:
        self.address = b""
        self._file = -1
        name = f"cdq-{secrets.token_hex(16)}"
        file = anonymous_file(n_bytes, name)
        if file is None:
            return
        self._file = file
        self.address = f"/proc/{os.getpid()}/fd/{self._file} /memfd:{name}".encode()

    def memory(self) -> memoryview:
        """Return the memory, zeroed."""
        return memoryview(_advised(mmap.mmap(self._file, 0)))

    def withdraw(self) -> None:
        """Close the file: processes that have accepted the memory keep it."""
        if self._file >= 0:
            os.close(self._file)


def anonymous_file(n_bytes: int, name: str = "cdq") -> int | None:
    """Return a file of zeros of at least so many bytes, in memory; None where there is no such thing."""
    try:
        file = os.memfd_create(name)
    except (AttributeError, OSError):  # not Linux
        return None
    try:
        os.ftruncate(file, max(n_bytes, 1))
    except OSError:  # no such length
        os.close(file)
        return None
    return file


def accept(addresses: Sequence[Received], rank: int, own: Offer) -> list[memoryview] | None:
    """Return the memory of all ranks, that of `rank` to be written to; None if any of it cannot be reached."""
    try:
        return [own.memory() if other == rank else reach(bytes(at)) for other, at in enumerate(addresses)]
    except OSError:
        return None


def reach(address: bytes, *, writable: bool = False) -> memoryview:
    """Map the memory of another process of this node: the name tells whether it is that one or a stranger's.

    Raises
    ------
    OSError
        If it cannot be reached.
    """
    path, _, name = address.decode().partition(" ")
    if not name or not os.readlink(path).startswith(name):
        raise FileNotFoundError(path)
    file = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    try:
        return memoryview(_advised(mmap.mmap(file, 0, prot=mmap.PROT_READ | writable * mmap.PROT_WRITE)))
    finally:
        os.close(file)


def end_of(address: bytes) -> int:
    """Return a file that can be read once the process that offers memory at an address has ended.

    Raises
    ------
    OSError
        If this system has no such thing, or processes have other numbers than the address says.
    """
    found = _PROCESS.match(address)
    if found is None or not hasattr(os, "pidfd_open") or os.readlink("/proc/self") != str(os.getpid()):
        raise FileNotFoundError(address)
    return os.pidfd_open(int(found[1]))


def _advised(memory: mmap.mmap) -> mmap.mmap:
    """Ask for huge pages where they are many."""
    if len(memory) >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
