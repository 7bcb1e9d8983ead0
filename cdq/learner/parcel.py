"""Parcels: all that a process gets from the learner that starts it, to be a rank beside it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cdq.envs.by_value import pack
from cdq.errors import ConfigError
from cdq.settings import Settings

if TYPE_CHECKING:
    from cdq.training import EnvironmentTask


class Parcel(NamedTuple):
    """All that a rank needs to begin with; what a script defines is packed, as it needs the path to be read.

    Parameters
    ----------
    directory : str
        Working directory of the learner.
    path : list of str
        Directories in which modules are looked for.
    registry : dict of str to bytes
        Environments that Gymnasium has registered, by id, each as bytes.
    settings : bytes
        Settings of the learner; the merge rule may be one of the user's own.
    env : bytes
        The environment's recipe: an environment is made of it in the other process. Of a fleet a list, in rank order.
    made : (str, list of str)
        Fingerprint and class names of the environment that was made of the recipe here.
    steps : bool
        True where the environment is stepped in Python.
    trial : list
        Record of steps played in the environment here (`cdq.envs.trial.Played`), to be compared with the same steps
        there; of a fleet a list.
    """

    directory: str
    path: list[str]
    registry: dict[str, bytes]
    settings: bytes
    env: bytes
    made: tuple[str, list[str]]
    steps: bool
    trial: list[Any]


def make_parcel(task: EnvironmentTask, settings: Settings) -> bytes:
    """Return the parcel for the ranks beside a learner; all get the same.

    Raises
    ------
    ConfigError
        If part of it cannot be sent.
    """
    parcel = Parcel(
        directory=str(Path.cwd()),
        path=[os.path.abspath(entry) for entry in sys.path],  # the empty one is the working directory
        registry=_registry(),
        settings=pack(settings, "what the learner was made with (merge, features)"),
        env=pack(task.recipe()),
        made=(task.fingerprint(), task.kinds()),
        steps=task.in_python,
        trial=task.trial(),
    )
    return pack(parcel)


def _registry() -> dict[str, bytes]:
    """Return the registered specs, but for those that cannot be sent: perhaps nobody needs them."""
    from cdq.envs.sending import registered

    packed: dict[str, bytes] = {}
    for name, spec in registered().items():
        with contextlib.suppress(ConfigError):
            packed[name] = pack(spec)
    return packed


def restore_surroundings(parcel: Parcel) -> None:
    """Make the working directory and the path those of the learner."""
    os.chdir(parcel.directory)
    sys.path[:] = parcel.path
