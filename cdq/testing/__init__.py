"""Tests for implementations of cdq's interfaces, for other packages too; needs pytest.

A package that provides a communicator subclasses :class:`CommunicatorConformance` in one of its test files.
"""

from cdq.testing.conformance import CommunicatorConformance
from cdq.testing.threads import run_in_threads

__all__ = ["CommunicatorConformance", "run_in_threads"]
