"""Blocks: named parts of one table, for agents, robots or places that have states and actions of their own.

The blocks of a table lie end to end: a state of a block is a row of the table at the block's first row and on. In a
hashed table they are ranges of keys in the same way, so that equal observations of two blocks are two states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdq.errors import ConfigError, unknown_name
from cdq.errors.checks import one_of, shown, whole

# Workers that hold a block, and merge it: all of them, or one, which keeps it for itself. A home in which each row has
# one owner would be a third one, and `Blocks.owner_of` what tells who.
HOMES = ("all", "own")

# Keys of hashed tables have 63 bits; rows of dense tables are fewer.
MOST_ROWS = 2**63
# A mask for each is kept, and a line of the report.
MOST_BLOCKS = 65_536


@dataclass(frozen=True)
class Block:
    """Part of a table: the states and actions of an agent, a robot or a place.

    Parameters
    ----------
    name : str
        Name by which `QLearner.tables` and `predict` know it.
    rows : int
        Number of states: rows of the table, or keys of a hashed one.
    actions : int
        Number of actions: the first columns. Further columns, which other blocks need, are never chosen or valued.
    home : {"all", "own"}
        Workers that learn it. "all": their tables become one, as ever. "own": one worker, whose table it stays; the
        first such block is that of worker 0, the next one that of worker 1, and so on.

    Raises
    ------
    ConfigError
        If one of them is not allowed.

    Examples
    --------
    >>> Block("north", rows=50, actions=2)
    Block(name='north', rows=50, actions=2, home='all')
    """

    name: str
    rows: int
    actions: int
    home: str = "all"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"the name of a block is {shown(self.name)}; allowed: text that is not empty")
        for what, most in (("rows", MOST_ROWS), ("actions", 2**32 - 1)):
            count = whole(f"{what} of block {self.name!r}", getattr(self, what), 1, most)
            object.__setattr__(self, what, count)
        one_of(f"home of block {self.name!r}", self.home, HOMES)


@dataclass(frozen=True)
class Blocks:
    """The blocks of a table, laid end to end.

    Parameters
    ----------
    blocks : tuple of Block
        The blocks in their order; at least one, each of another name.

    Raises
    ------
    ConfigError
        If a name occurs twice, or there are too many blocks or rows.

    Examples
    --------
    >>> blocks = Blocks((Block("lights", 50, 2), Block("buses", 10, 3)))
    >>> blocks.first.tolist(), blocks.n_rows, blocks.n_actions
    ([0, 50, 60], 60, 3)
    >>> blocks.masks.tolist()
    [[1, 1, 0], [1, 1, 1]]
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        names = self.names
        if not 1 <= len(names) <= MOST_BLOCKS:
            raise ConfigError(f"a table of {len(names):,} blocks; allowed: 1 to {MOST_BLOCKS:,}")
        twice = (
            sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        )
        if twice:
            raise ConfigError(f"blocks have the same name: {shown(twice[0])}; give each another one")
        homes = [block.home for block in self.blocks]
        if "own" in homes and "all" in homes[homes.index("own") :]:
            raise ConfigError(
                "blocks that one worker keeps come last: their rows lie behind those that are merged"
            )
        if self.n_rows > MOST_ROWS:
            raise ConfigError(f"the blocks have {self.n_rows:,} rows together; allowed: up to 2**63")

    @property
    def names(self) -> list[str]:
        """Names of the blocks, in their order."""
        return [block.name for block in self.blocks]

    @cached_property
    def first(self) -> npt.NDArray[np.uint64]:
        """First row of each block, and the number of all rows: (n + 1,)."""
        return np.array([0, *accumulate(block.rows for block in self.blocks)], np.uint64)

    @property
    def n_rows(self) -> int:
        """Number of rows of all blocks."""
        return sum(block.rows for block in self.blocks)

    @property
    def n_actions(self) -> int:
        """Number of columns: the actions of the block that has most."""
        return max(block.actions for block in self.blocks)

    @property
    def uneven(self) -> bool:
        """True if a block has fewer actions than there are columns, so that masks are needed."""
        return any(block.actions < self.n_actions for block in self.blocks)

    @cached_property
    def masks(self) -> npt.NDArray[np.uint8]:
        """Columns that are actions of each block, (n, n_actions): 1 where one is, else 0."""
        actions = np.array([block.actions for block in self.blocks])
        return (np.arange(self.n_actions) < actions[:, np.newaxis]).astype(np.uint8)

    def number_of(self, name: object) -> int:
        """Return the number of the block of a name.

        Raises
        ------
        ConfigError
            If there is none.
        """
        names = self.names
        if not isinstance(name, str) or name not in names:
            raise ConfigError(unknown_name("table", name, names))
        return names.index(name)

    def of_rows(self, rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the number of the block that each row, or key of a hashed table, is of."""
        found: npt.NDArray[np.int64] = (
            np.searchsorted(self.first, np.asarray(rows, np.uint64), side="right") - 1
        )
        return found

    @property
    def own_rows(self) -> int:
        """Number of rows, the last ones, that one worker keeps each."""
        return sum(block.rows for block in self.blocks if block.home == "own")

    def owner_of(self, number: int) -> int | None:
        """Return the worker that keeps a block for itself; None where all workers merge it."""
        homes = [block.home for block in self.blocks]
        return homes[:number].count("own") if homes[number] == "own" else None

    def to_config(self) -> list[list[Any]]:
        """Return the blocks as files have them: name, rows, actions and home of each."""
        return [[block.name, block.rows, block.actions, block.home] for block in self.blocks]

    @classmethod
    def from_config(cls, config: Iterable[Any]) -> Blocks:
        """Return the blocks that `to_config` described; `ConfigError` or `TypeError` if it describes none."""
        return cls(tuple(Block(*one) for one in config))


class Placed(NamedTuple):
    """An observation, and the number of the block that it is of."""

    block: int
    observation: Any


def blocks_in(header: Mapping[str, Any]) -> Blocks | None:
    """Return the blocks that the header of a file describes; None where its table has none."""
    told = header.get("blocks")
    return None if told is None else Blocks.from_config(told)
