"""Agreement of all ranks of a run on settings, seed and tables, checked before anything depends on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cdq.comm.base import Communicator
from cdq.errors import ConfigError, DivergenceError, FileError
from cdq.errors.checks import shown


def require_same(comm: Communicator, what: Mapping[str, Any]) -> None:
    """Compare the descriptions of all ranks; a collective.

    Parameters
    ----------
    comm : Communicator
        Communicator of all ranks that are compared.
    what : dict
        A JSON object of this rank.

    Raises
    ------
    ConfigError
        On every rank, if something differs anywhere; names it, and the values of the first two ranks that differ.
    """
    texts = comm.allgather(json.dumps(what, sort_keys=True).encode())
    if all(bytes(text) == bytes(texts[0]) for text in texts):
        return
    first, *others = (json.loads(bytes(text)) for text in texts)
    for rank, other in enumerate(others, 1):
        for name in sorted({*first, *other}):
            if first.get(name) != other.get(name):
                raise ConfigError(
                    f"{name} is {shown(first.get(name))} on rank 0 and {shown(other.get(name))} on rank {rank}; "
                    "all ranks of a run must be made with the same"
                )


def require_same_tables(digests: Sequence[bytes], steps: int) -> None:
    """Compare the digests of all ranks' merged tables.

    Raises
    ------
    DivergenceError
        If they differ; names the ranks whose table is not that of most.
    """
    most = max(digests, key=list(digests).count)  # among equals that of the lowest rank
    odd = [rank for rank, digest in enumerate(digests) if digest != most]
    if odd:
        raise DivergenceError(
            f"the tables differ after {steps} steps: rank {', '.join(map(str, odd))} against the others; a merge rule "
            "of your own must be the same function of its arguments on every rank, else memory or network are at fault",
            odd,
        )


def agree_on_seed(comm: Communicator, seed: int, given: bool) -> int:
    """Return this rank's *seed* if it was given, else that of rank 0, given or drawn; a collective."""
    of_rank_0 = int(bytes(comm.broadcast(str(seed).encode(), 0)))
    return seed if given else of_rank_0


def from_rank_0(comm: Communicator, read: Callable[[], bytes]) -> bytes:
    """Return on every rank the bytes that *read* returns on rank 0; a collective.

    Raises
    ------
    FileError
        On every rank, if *read* raised it, or another OSError, on rank 0.
    """
    answer = b""
    if comm.rank == 0:
        try:
            answer = b"\x01" + read()
        except OSError as error:
            answer = b"\x00" + str(error).encode()
    received = bytes(comm.broadcast(answer, 0))
    if received[:1] == b"\x00":
        raise FileError(received[1:].decode())
    return received[1:]
