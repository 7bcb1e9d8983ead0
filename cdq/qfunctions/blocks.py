"""Blocks of a table: the table of each, and those that one worker keeps for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.comm.base import Communicator
from cdq.contracts.blocks import Blocks
from cdq.errors import TableError, unknown_name
from cdq.qfunctions.merged import MergedTable
from cdq.qfunctions.qtable import QTable, part_of


class Tables(dict[str, QTable]):
    """Tables by the names of their blocks; an agent's name leads to the table that it shares, too."""

    def __init__(self, tables: Mapping[str, QTable], members: Mapping[str, int]) -> None:
        super().__init__(tables)
        self._members = members

    def __missing__(self, name: str) -> QTable:
        if name not in self._members:
            raise KeyError(unknown_name("table", name, {*self, *self._members}))
        return list(self.values())[self._members[name]]


def tables_of(table: QTable, blocks: Blocks, members: Mapping[str, int] | None = None) -> Tables:
    """Return the table of each block, by its name, with the rows and the actions of the block alone.

    Where the table is hashed, the keys of a block's table are those of its own observations. *members* are further
    names, and the numbers of the blocks that they mean.

    Examples
    --------
    >>> from cdq.contracts.blocks import Block
    >>> blocks = Blocks((Block("lights", 2, 1), Block("buses", 1, 2)))
    >>> tables = tables_of(QTable(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 4.0]])), blocks)
    >>> tables["lights"].values.tolist(), tables["buses"].values.tolist()
    ([[1.0], [2.0]], [[3.0, 4.0]])
    """
    each = {name: part_of(table, blocks, number) for number, name in enumerate(blocks.names)}
    return Tables(each, members or {})


def bring_together(merged: MergedTable, blocks: Blocks | None, comm: Communicator) -> None:
    """Give every rank what the others keep for themselves, of which they see nothing in rounds; a collective.

    Raises
    ------
    TableError
        If another rank has blocks of another size.
    """
    if blocks is None or not blocks.own_rows:
        return
    owners = [blocks.owner_of(number) for number in range(len(blocks.blocks))]
    parts = comm.allgather(b"".join(array.tobytes() for array in _kept(merged, blocks, owners, comm.rank)))
    for rank, part in enumerate(parts):
        arrays = _kept(merged, blocks, owners, rank)
        if len(part) != sum(array.nbytes for array in arrays):
            raise TableError(
                f"rank {rank} keeps {len(part)} bytes for itself, of which this one knows otherwise"
            )
        at = 0
        for array in arrays if rank != comm.rank else []:
            array[:] = np.frombuffer(part, array.dtype, array.size, at).reshape(array.shape)
            at += array.nbytes


def _kept(merged: MergedTable, blocks: Blocks, owners: list[int | None], rank: int) -> list[npt.NDArray[Any]]:
    """Return the parts of a table that a rank keeps for itself; views."""
    numbers = [number for number, owner in enumerate(owners) if owner == rank]
    rows = [slice(int(blocks.first[number]), int(blocks.first[number + 1])) for number in numbers]
    return [getattr(merged, name)[part] for part in rows for name in merged.names]
