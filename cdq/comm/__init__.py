"""Communicators, through which workers reach each other. Importing this loads no implementation."""

from typing import Any

from cdq.comm.base import API_VERSION, Call, Communicator
from cdq.comm.contribution import Contribution, SharedContribution
from cdq.comm.registry import connect
from cdq.errors.lazy import submodule

__all__ = ["API_VERSION", "Call", "Communicator", "Contribution", "SharedContribution", "connect"]


def __getattr__(name: str) -> Any:
    return submodule("cdq.comm", name)
