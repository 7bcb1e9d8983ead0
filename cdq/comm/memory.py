"""Memory that the ranks of one node share: anonymous files of Linux, which vanish with their last user.

Windows of MPI would do the same, but freeing one waits for all ranks, one that a killed job leaves stays in /dev/shm,
and that is often small (64 MB in a container).
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import re
import secrets
from collections.abc import Sequence

from cdq.comm.contribution import Received

_HUGE = 2 << 20
# Nobody makes an offer shorter, which would end whoever reads there.
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_PLACE, _NAME = re.compile(r"/proc/\d{1,10}/fd/\d{1,10}"), re.compile(r"/memfd:cdq-[0-9a-f]{32}")
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
        Address of the part, for `accept` and `reach`; empty if there is no such memory here.
    file : int
        File of the part.
    """

    def __init__(self, n_bytes: int) -> None:
        self.address = b""
        self.file = -1
        name = f"cdq-{secrets.token_hex(16)}"
        try:
            self.file = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(self.file, max(n_bytes, 1))
            fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, _SEALS)
        except (AttributeError, OSError):  # not Linux, or no such length
            self.withdraw()
            return
        self.address = f"/proc/{os.getpid()}/fd/{self.file} /memfd:{name}".encode()

    def memory(self) -> memoryview:
        """Return the memory, zeroed."""
        return memoryview(_advised(mmap.mmap(self.file, 0)))

    def withdraw(self) -> None:
        """Close the file: processes that have accepted the memory keep it."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def accept(addresses: Sequence[Received], rank: int, own: Offer) -> list[memoryview] | None:
    """Return the memory of all ranks, that of `rank` to be written to; None if any of it cannot be reached."""
    try:
        return [own.memory() if other == rank else reach(bytes(at)) for other, at in enumerate(addresses)]
    except OSError:
        return None


def reach(address: bytes, *, writable: bool = False) -> memoryview:
    """Map the memory of another process of this node, whatever address that process gives.

    Raises
    ------
    OSError
        If the address is not that of an offer, or is a stranger's, or cannot be reached: nothing else is opened.
    """
    path, _, name = address.decode("ascii", "replace").partition(" ")
    if not (_PLACE.fullmatch(path) and _NAME.fullmatch(name) and _named(path, name)):
        raise FileNotFoundError(path)
    file = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    try:
        if not (_named(f"/proc/self/fd/{file}", name) and _is_own(file) and _is_sealed(file)):
            raise FileNotFoundError(path)
        return memoryview(_advised(mmap.mmap(file, 0, prot=mmap.PROT_READ | writable * mmap.PROT_WRITE)))
    finally:
        os.close(file)


def _named(path: str, name: str) -> bool:
    return os.readlink(path).split(" ")[0] == name


def _is_own(file: int) -> bool:
    """Return whether a file is of the user of this process: root could open everybody's."""
    return os.fstat(file).st_uid == os.geteuid()


def _is_sealed(file: int) -> bool:
    """Return whether a file keeps its length."""
    try:
        return fcntl.fcntl(file, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:  # one that has no seals
        return False


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
