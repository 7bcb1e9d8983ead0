"""Addresses of compiled functions, from every form in which users hold such functions."""

from __future__ import annotations

import ctypes
import re
from typing import Any

import numpy as np

from cdq.core.envs.envs import FUNCTIONS, capsule
from cdq.errors import ConfigError

_CTYPES_FUNCTION = ctypes.CFUNCTYPE(None).__mro__[1]
_EXPECTED = "one argument, a pointer to cdq_lane, and no result"

# Address -> name and place in `FUNCTIONS`: an address is that of this process alone, a name that of any.
_NAMES = {address: (name, i) for name, pair in FUNCTIONS.items() for i, address in enumerate(pair)}

Names = tuple[tuple[str, int] | None, ...]


def address_of(function: Any, what: str) -> int:
    """Return the address of a compiled function, after checking its signature where it tells.

    Parameters
    ----------
    function : int, ctypes function, PyCapsule, scipy.LowLevelCallable or numba.cfunc
        The function, as the user gave it.
    what : str
        Name of the function in messages: "step", "reset" or "encode".

    Raises
    ------
    ConfigError
        If it is none of these, the null pointer, or has another signature.
    """
    if isinstance(function, (int, np.integer)) and not isinstance(function, bool):
        address = int(function)
    elif type(function).__name__ == "PyCapsule":
        address = _of_capsule(function, what)
    elif isinstance(function, tuple) and hasattr(function, "signature"):  # scipy.LowLevelCallable
        address = _of_capsule(tuple.__getitem__(function, 0), what)  # its own [0] raises
    elif hasattr(function, "address") and hasattr(function, "native_name"):  # numba.cfunc
        address = _of_numba(function, what)
    elif isinstance(function, _CTYPES_FUNCTION):
        address = _of_ctypes(function, what)
    else:
        raise ConfigError(
            f"{what} is a {type(function).__name__}; allowed: a numba.cfunc, a PyCapsule, a scipy.LowLevelCallable, "
            "a ctypes function or an address. An environment in Python needs no CompiledEnv"
        )
    if not 0 < address < 2**64:
        raise ConfigError(f"{what} is the address {address}; allowed: that of a compiled function")
    return address


def to_names(addresses: tuple[int, ...]) -> Names | None:
    """Return functions that the package ships as another process finds them; None if one is the user's own.

    Address 0, no function, has no name.

    Examples
    --------
    >>> to_names((*FUNCTIONS["river"], 0))
    (('river', 0), ('river', 1), None)
    """
    if not all(address in _NAMES for address in addresses if address):
        return None
    return tuple(_NAMES.get(address) for address in addresses)


def from_names(names: Names) -> tuple[int, ...]:
    """Return the addresses in this process of functions that `to_names` named."""
    return tuple(0 if name is None else FUNCTIONS[name[0]][name[1]] for name in names)


def _of_capsule(given: Any, what: str) -> int:
    """Return a capsule's address; Cython and SciPy name capsules by signature, which is checked."""
    address, name = capsule(given)
    if "(" in name:
        match = re.fullmatch(
            r"\s*void\s*\(\s*(?:struct\s+)?\w+\s*\*\s*\)\s*(?:noexcept)?\s*(?:nogil)?\s*", name
        )
        if match is None:
            raise _wrong(what, name)
    return address


def _of_numba(given: Any, what: str) -> int:
    signature = getattr(given, "_sig", None)
    if signature is not None:
        argument = [type(kind).__name__ for kind in signature.args]
        if argument not in (["CPointer"], ["RawPointer"]) or str(signature.return_type) != "none":
            raise _wrong(what, str(signature))
    return int(given.address)


def _of_ctypes(given: Any, what: str) -> int:
    arguments = given.argtypes
    if arguments is not None and (len(arguments) != 1 or given.restype is not None):
        raise _wrong(what, f"{given.restype} of {[kind.__name__ for kind in arguments]}")
    return int(ctypes.cast(given, ctypes.c_void_p).value or 0)


def _wrong(what: str, signature: str) -> ConfigError:
    return ConfigError(f"{what} has the signature {signature!r}; it must have {_EXPECTED}")
