"""Payloads that communicators carry: parts of bytes, and contributions to a merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from cdq.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Buffer

Part: TypeAlias = (
    "Buffer | npt.NDArray[Any]"  # what may be sent: C-contiguous; arrays count as Buffer from 3.12
)
Received: TypeAlias = "bytes | memoryview"  # read-only


class Contribution(Protocol):
    """A rank's contribution to a merge, as the communicator sees it."""

    @property
    def nbytes(self) -> int:
        """Approximate number of bytes that ``cut`` returns in all: communicators choose by it how to merge."""

    def cut(self, size: int, /) -> Sequence[Part]:
        """Return `size` slices, each for the rank that merges it; one slice is the whole."""

    def merge(self, parts: Sequence[Received], rule: Any, index: int, size: int, /) -> Part:
        """Merge slice number `index` of `size` from the parts that all ranks cut, in rank order."""

    def join(self, slices: Sequence[Received], /) -> Any:
        """Put the merged slices, in order, together."""


class SlicedContribution(Contribution, Protocol):
    """A contribution that is packed and merged in memory that is given to it.

    There may be more slices than ranks, so that some travel while others are merged: of as many times the number of
    ranks, each rank merges so many that follow each other.
    """

    def begin(self, of: int, /) -> tuple[int, int]:
        """Return the most bytes of a packed slice, and of a merged one, for a merge by so many slices."""

    def pack(self, index: int, of: int, out: memoryview, /) -> memoryview:
        """Write slice number `index` to the beginning of *out*, and return that."""

    def merge_into(
        self, parts: Sequence[Received], rule: Any, index: int, of: int, out: memoryview, /
    ) -> int:
        """Merge slice number `index` from the parts that all ranks packed, in rank order; return its bytes."""


class SharedContribution(Contribution, Protocol):
    """A contribution that can also be merged straight from the other ranks' memory.

    Nobody may write to a contribution between the two hand-overs of a merge (before and after the ranks merged).
    After the second its owner may write again, except to its merged part: others may read that until
    `merge_shared` is called for the next merge.

    Ranks in other processes have no access to the objects, only to memory that `Communicator.share` gave. There
    `describe` says what the others need to find the contribution in it, and `peers` makes objects of what all said.
    """

    def merge_shared(self, contributions: Sequence[Any], rule: Any, rank: int, /) -> None:
        """Merge this rank's part of the contributions of all ranks, in rank order, and keep it."""

    def join_shared(self, contributions: Sequence[Any], /) -> Any:
        """Put together what `merge_shared` kept in the contribution of each rank, in rank order."""

    def describe(self) -> bytes:
        """Return what other processes need to read this contribution and its merged part; empty if they cannot."""

    def peers(self, descriptions: Sequence[Received], /) -> Sequence[Any]:
        """Return the contributions that the ranks described, in rank order."""


def as_bytes_view(part: Any) -> memoryview:
    """Return the bytes of a C-contiguous buffer, not copied."""
    try:
        view = memoryview(part)
    except (TypeError, ValueError):
        raise TypeError(f"a part must be a buffer, as bytes or a NumPy array are; got {part!r:.60}") from None
    if not view.c_contiguous:
        raise ConfigError(f"a part of shape {view.shape} is not C-contiguous; copy it first")
    if view.format == "O":
        raise ConfigError("a part holds Python objects; give numbers or bytes")
    return view.cast("B") if view.nbytes else memoryview(b"")  # an empty one of two dimensions cannot be cast
