"""Run a module of the tests as a program: python tests/start.py MODULE [ARGUMENT ...].

It imports the cdq that the tests do: with ``python -m`` the repository would come first, where cdq may not be built.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0:1] = []  # the directory of this file
    sys.path.append(str(Path(__file__).parents[1]))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
