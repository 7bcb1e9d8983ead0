"""Modules that are imported on first use."""

from __future__ import annotations

import importlib
from types import ModuleType


def submodule(package: str, name: str) -> ModuleType:
    """Return a module of a package, for the package's `__getattr__`.

    Raises
    ------
    AttributeError
        If there is no such module, or it needs a package that is not installed.
    """
    full = f"{package}.{name}"
    try:
        if not name.startswith("_"):
            return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise AttributeError(f"module {full!r} cannot be imported: {error}") from error
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
