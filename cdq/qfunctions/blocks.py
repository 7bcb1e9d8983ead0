"""Tables of the blocks of a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from cdq.contracts.blocks import Blocks
from cdq.qfunctions.qtable import QTable


def tables_of(table: QTable, blocks: Blocks) -> Mapping[str, QTable]:
    """Return the table of each block, by its name, with the rows and the actions of the block alone.

    Where the table is hashed, the keys of a block's table are those of its own observations.

    Examples
    --------
    >>> from cdq.contracts.blocks import Block
    >>> blocks = Blocks((Block("lights", 2, 1), Block("buses", 1, 2)))
    >>> tables = tables_of(QTable(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 4.0]])), blocks)
    >>> tables["lights"].values.tolist(), tables["buses"].values.tolist()
    ([[1.0], [2.0]], [[3.0, 4.0]])
    """
    of = blocks.of_rows(np.arange(len(table)) if table.keys is None else table.keys)
    return MappingProxyType(
        {
            block.name: _part(table, blocks, number, np.flatnonzero(of == number))
            for number, block in enumerate(blocks.blocks)
        }
    )


def _part(table: QTable, blocks: Blocks, number: int, rows: np.ndarray) -> QTable:
    block = blocks.blocks[number]
    keys = None if table.keys is None else table.keys[rows] - blocks.first[number]
    name = f"{block.name} of {table.environment}" if table.environment else block.name
    return QTable(table.values[rows, : block.actions], table.visits[rows, : block.actions], name, keys)
