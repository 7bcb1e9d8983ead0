"""Keras on TensorFlow, imported on use: one thread, and operations that give the same bits each time."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from cdq.errors import ConfigError, PackageMissing

_BACKEND = "tensorflow"
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
# Without lines about the processor, and without kernels whose order of additions depends on it.
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0"}

FORKED = (
    "TensorFlow ran before this process was forked, and would hang in it; start processes by 'spawn' "
    "(multiprocessing.set_start_method), by mpiexec or by cdq launch, or import TensorFlow in the child alone"
)


def keras() -> Any:
    """Return Keras 3 on the TensorFlow backend.

    Raises
    ------
    PackageMissing
        If Keras 3 or TensorFlow is not installed.
    ConfigError
        If Keras has another backend, or TensorFlow ran in a process of which this one is a fork.
    """
    _require_backend(os.environ.get("KERAS_BACKEND", _BACKEND))
    os.environ.setdefault("KERAS_BACKEND", _BACKEND)
    if "tensorflow" not in sys.modules:
        os.environ.update({**_QUIET, **os.environ, **dict.fromkeys(_THREADS, "1")})
    try:
        import keras as found
        import tensorflow  # noqa: F401  # which Keras may import later
    except ImportError as error:
        raise PackageMissing(
            f'a Keras model needs Keras 3 and TensorFlow ({error}): pip install "cdq[keras]"'
        ) from None
    if not hasattr(found, "config"):
        raise PackageMissing(f'keras is {found.__version__}; allowed: 3 or newer: pip install "cdq[keras]"')
    _require_backend(found.config.backend())
    _require_no_fork()
    return found


def tensorflow() -> Any:
    """Return TensorFlow, with one thread where it has not begun, and deterministic operations; raises as `keras`."""
    keras()
    import tensorflow as tf
    from tensorflow.python.eager import context

    if not context.context()._initialized:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    return tf


def _require_backend(name: str) -> None:
    if name != _BACKEND:
        raise ConfigError(
            f"Keras has the backend {name!r}; allowed: 'tensorflow': set KERAS_BACKEND=tensorflow before keras is "
            "imported"
        )


def _require_no_fork() -> None:
    """Raise `ConfigError` in a fork of a process in which TensorFlow ran: its threads are gone, and it would hang."""
    from tensorflow.python.eager import context

    tasks = Path("/proc/self/task")
    if not tasks.is_dir() or not context.context()._initialized:
        return
    if not any(_name_of(task).startswith("tf_") for task in tasks.iterdir()):
        raise ConfigError(FORKED)


def _name_of(task: Path) -> str:
    """Return the name of a thread; none of one that has just ended."""
    try:
        return (task / "comm").read_text()
    except OSError:
        return ""
