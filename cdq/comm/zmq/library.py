"""The module zmq, imported on use."""

from __future__ import annotations

from typing import Any

from cdq.errors import BackendUnavailable


def load() -> Any:
    """Return the module zmq.

    Raises
    ------
    BackendUnavailable
        If pyzmq is not there.
    """
    try:
        import zmq
    except ImportError as error:
        raise BackendUnavailable(f"pyzmq cannot be imported: {error}; try: pip install 'cdq[zmq]'") from error
    return zmq
