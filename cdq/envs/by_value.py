"""Objects by value, for processes that a learner starts itself: the only place of pickles.

A pickle is a program: whoever unpacks one runs it. So it crosses nothing but a socket pair, which a process inherits
from the one that starts it, and that no other process can open; never a network, a path in the file system or a file.
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

from cdq.errors import ConfigError
from cdq.errors.checks import described

_ROUNDS = 8  # of modules that come to light as others are sent


def pack(thing: Any, name: str = "") -> bytes:
    """Return *thing* as bytes: definitions of a script or a notebook by value, the rest by the module's name.

    Parameters
    ----------
    thing : object
        Object of any kind.
    name : str, optional
        Name of the thing, for messages.

    Raises
    ------
    ConfigError
        If part of it cannot be sent, as an open file, a lock or a window.
    """
    import cloudpickle

    by_value: list[Any] = []
    try:
        for _ in range(_ROUNDS):
            data = _dumped(thing)
            unknown = [sys.modules[module] for module in _modules_of(data) if not _can_be_found(module)]
            if not unknown:
                break
            for module in unknown:
                cloudpickle.register_pickle_by_value(module)
                by_value.append(module)
    except Exception as error:  # pickling calls what its objects define, and so raises anything
        raise ConfigError(
            f"{name or repr(thing)[:80]} cannot be sent to another process, and several workers of it are processes: "
            f"{described(error)}. Let it make such things there, as in __init__ or reset, or start the processes "
            "yourself: cdq launch -n 2 script.py, or mpiexec"
        ) from error
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return data


def _dumped(thing: Any) -> bytes:
    """Return *thing* pickled; classes that go by value keep their full name, which cloudpickle would shorten."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            reduced = super().reducer_override(obj)
            if isinstance(obj, type) and isinstance(reduced, tuple) and len(reduced) == 6:
                reduced[2][0]["__qualname__"] = obj.__qualname__
            return reduced

    buffer = io.BytesIO()
    Pickler(buffer).dump(thing)
    return buffer.getvalue()


def unpack(data: bytes) -> Any:
    """Return what `pack` packed; only for what the process that started this one sent, or this one itself."""
    return pickle.loads(data)


class _Reader(pickle.Unpickler):
    """Unpickles, and notes the modules that names are looked up in."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.modules.add(module)
        return super().find_class(module, name)


def _modules_of(data: bytes) -> list[str]:
    reader = _Reader(data)
    reader.load()
    return sorted(reader.modules)


def _can_be_found(module: str) -> bool:
    """Return whether another process with the same path can import a module."""
    top = module.partition(".")[0]
    if module == "__main__" or top in sys.stdlib_module_names:
        return True
    finders = [finder.find_spec for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return any(find(top, None) is not None for find in finders)
