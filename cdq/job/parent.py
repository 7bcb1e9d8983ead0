"""The tie of a process to the one that started it, with which it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# The variable that names the process that must not be outlived, where there is one.
PARENT = "CDQ_PARENT"
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: str) -> None:
    """Let the kernel end this process when its parent ends, however that does; on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        raise SystemExit(1)
