"""A parcel: what a process that a learner starts gets from it, to be a rank beside it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cdq.envs.by_value import pack
from cdq.errors import ConfigError
from cdq.training import Settings

if TYPE_CHECKING:
    from cdq.envs.trial import Played
    from cdq.training import Subject


class Parcel(NamedTuple):
    """All that a rank needs to begin with; what a script defines is packed, as it needs the path to be read.

    Parameters
    ----------
    directory : str
        The working directory.
    path : list of str
        Where modules are looked for.
    registry : dict of str to bytes
        What Gymnasium knows, by id.
    settings : bytes
        The learner's; its merge rule may be one of the user's own.
    env : bytes
        What the environment is made of.
    made : (str, list of str)
        What was made of it here: its fingerprint, and its classes.
    steps : bool
        Whether it is stepped in Python.
    trial : list of Played
        How it plays.
    """

    directory: str
    path: list[str]
    registry: dict[str, bytes]
    settings: bytes
    env: bytes
    made: tuple[str, list[str]]
    steps: bool
    trial: list[Played]


def make_parcel(subject: Subject, settings: Settings) -> bytes:
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
        env=pack(subject.recipe()),
        made=(subject.fingerprint(), subject.kinds()),
        steps=not subject.threads,
        trial=subject.trial(),
    )
    return pack(parcel)


def _registry() -> dict[str, bytes]:
    """Return what is registered, but for what cannot be sent: perhaps nobody needs that."""
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
