"""Observations and actions of blocks: the table of each has spaces of its own, and rows that follow one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts.blocks import MOST_ROWS, Block, Blocks, Placed
from cdq.core.envs.encode import Encoding
from cdq.envs.spaces import Encoder
from cdq.errors import ConfigError, UnsupportedEnvironment, unknown_name


def blocks_of(names: Sequence[str], encoders: Sequence[Encoder]) -> Blocks:
    """Return the blocks of tables by name, each for the observations and actions of an encoder.

    Observations that have a key, and no index, share the keys that there are; see `BlockEncoder.state_of`.

    Raises
    ------
    UnsupportedEnvironment
        If observations have no number.
    """
    for name, encoder in zip(names, encoders, strict=True):
        try:
            encoder.encoding(vectors=False)
        except UnsupportedEnvironment as error:
            told = str(error).partition(": ")[0]
            raise UnsupportedEnvironment(
                f"{name}: {told}; let the environment give whole numbers, such as the number of a bin"
            ) from None
    sizes = [encoder.n_states for encoder in encoders]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes) or sum(known) > MOST_ROWS:
        known = [MOST_ROWS // len(sizes)] * len(sizes)
    return Blocks(
        tuple(
            Block(name, rows, encoder.n_actions)
            for name, rows, encoder in zip(names, known, encoders, strict=True)
        )
    )


class BlockEncoder:
    """The observations of all blocks as rows of one table (`cdq.contracts.ObservationEncoder`).

    Parameters
    ----------
    blocks : Blocks
        The blocks.
    encoders : sequence of Encoder
        Encoder of each block.
    members : mapping of str to int
        Further names of blocks, and the number of the block that each means: those of agents that share one.

    Examples
    --------
    >>> from gymnasium.spaces import Discrete
    >>> encoders = [Encoder(Discrete(3), Discrete(2)), Encoder(Discrete(5), Discrete(4))]
    >>> encoder = BlockEncoder(blocks_of(["left", "right"], encoders), encoders)
    >>> encoder.n_states, encoder.n_actions, encoder.state_of(encoder.placed(2, "right"))
    (8, 4, 5)
    """

    countable, masked, width, first_action = True, False, 1, 0

    def __init__(
        self, blocks: Blocks, encoders: Sequence[Encoder], members: Mapping[str, int] | None = None
    ) -> None:
        self.blocks, self.encoders = blocks, tuple(encoders)
        self.n_states, self.n_actions = blocks.n_rows, blocks.n_actions
        self.members = dict(members or {})
        self._numbers = {**(members or {}), **{name: number for number, name in enumerate(blocks.names)}}

    def number_of(self, name: object) -> int:
        """Return the number of the block that a name means; `ConfigError` if it means none."""
        if name is None and len(self.encoders) > 1:
            names = ", ".join(self._numbers)
            raise ConfigError(f"whose observation is it? Give one of the names {names} after it")
        number = 0 if name is None else self._numbers.get(str(name))
        if number is None:
            raise ConfigError(unknown_name("name", name, self._numbers))
        return number

    def placed(self, observation: Any, name: object = None) -> Placed:
        """Return an observation of the block of a name, as the other methods take it."""
        return Placed(self.number_of(name), observation)

    def encoding(self, *, vectors: bool) -> Encoding:
        """Return the encoding of the first block; loops have one for each."""
        return self.encoders[0].encoding(vectors=vectors)

    def state_of(self, placed: Any) -> int:
        """Return the row, or the key, of an observation; it has its index in the block, or its key folded into it."""
        number, observation = self._as_placed(placed)
        block = self.blocks.blocks[number]
        return int(self.blocks.first[number]) + self.encoders[number].state_of(observation) % block.rows

    def vector_of(self, placed: Any) -> npt.NDArray[np.float64]:
        """Return the numbers of an observation."""
        number, observation = self._as_placed(placed)
        return self.encoders[number].vector_of(observation)

    def mask_of(self, placed: Any) -> Any:
        """Return the allowed actions of a block's own, where the observation holds a mask; else None."""
        number, observation = self._as_placed(placed)
        encoder = self.encoders[number]
        return encoder.mask_of(observation) if encoder.masked else None

    def split(self, placed: Any) -> list[Any] | None:
        """Return the single observations of a batch; None if it is no batch."""
        number, observations = self._as_placed(placed)
        found = self.encoders[number].split(observations)
        return None if found is None else [Placed(number, one) for one in found]

    def _as_placed(self, given: Any) -> Placed:
        return given if isinstance(given, Placed) else self.placed(given)
