"""xoshiro256++ in Python's integers, from the generator's description (Blackman and Vigna, 2019)."""

from __future__ import annotations

from collections.abc import Sequence

_MASK = 2**64 - 1


def _rotate_left(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & _MASK


class Xoshiro:
    """One stream; *words* are its four words of state."""

    def __init__(self, words: Sequence[int]) -> None:
        self.words = [int(word) for word in words]

    def next(self) -> int:
        """Return the next 64 random bits."""
        s = self.words
        result = (_rotate_left((s[0] + s[3]) & _MASK, 23) + s[0]) & _MASK
        shifted = s[1] << 17 & _MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= shifted
        s[3] = _rotate_left(s[3], 45)
        return result


def below(bits: int, n: int) -> int:
    """Return an integer below *n* from 32 random bits."""
    return bits * n // 2**32


def halves(word: int) -> tuple[int, int]:
    """Return the high and the low 32 bits."""
    return word >> 32, word & (2**32 - 1)
