"""Which records of a partition are done with, and from where a successor has to read again.

A record is done with when what came of it has landed. Records wait for their counterparts, so those that are done with
are no prefix: the position is the oldest that is not, and a successor that starts there leaves out the ones above it
that are, by the ranges that are handed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

__all__ = ["Offsets"]

_MAX_RANGES: Final = 2000


class Offsets:
    """The bookkeeping of one partition; offsets are read in ascending order.

    Args:
        following: The first offset that nobody has read yet.
        open_ranges: Pairs (first, past the last) of offsets below it that were read and are not done with.
    """

    def __init__(self, following: int, open_ranges: Sequence[tuple[int, int]] = ()) -> None:
        self._open: dict[int, None] = {}
        self._again = set(chain.from_iterable(range(first, past) for first, past in open_ranges))
        self._known = following
        self.following = min((first for first, _ in open_ranges), default=following)

    def read(self, offset: int) -> bool:
        """Take note of a record; false where it was read and done with before, or is one that came already."""
        if offset < self.following:
            return False
        self.following = offset + 1
        if offset < self._known:
            if offset not in self._again:
                return False
            self._again.discard(offset)
        self._open[offset] = None
        return True

    def done(self, offsets: Iterable[int]) -> None:
        """Take note that records are done with."""
        for offset in offsets:
            self._open.pop(offset, None)

    @property
    def position(self) -> int:
        """The offset from which a successor has to read."""
        oldest = next(iter(self._open), self.following)
        return min(oldest, self.following)

    def __len__(self) -> int:
        """Count the records that were read and are not done with."""
        return len(self._open)

    def handed_on(self) -> tuple[int, list[tuple[int, int]]]:
        """Give what a successor's `Offsets` are made from; it is bounded, at the cost of records read twice."""
        unread = sorted(offset for offset in self._again if offset >= self.following)
        ranges: list[tuple[int, int]] = []
        for offset in chain(self._open, unread):
            if ranges and ranges[-1][1] == offset:
                ranges[-1] = (ranges[-1][0], offset + 1)
            elif len(ranges) == _MAX_RANGES:
                return offset, ranges
            else:
                ranges.append((offset, offset + 1))
        return max(self._known, self.following), ranges
