"""What has landed within the horizon, some 13 bytes a comparison, so that a day of it fits in memory.

A comparison is known by 80 bits of BLAKE2b over its id, target and role: among a hundred million the chance that any
two are alike is one in 10^8. Entries are kept in 65,536 strings of bytes for each horizon's length of event time; whole
lengths are dropped when what still comes can no longer repeat them. A few rows from a clock that runs far ahead drop
nothing: only a length that holds a good share of all rows moves time on.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from struct import Struct
from typing import Final

__all__ = ["Seen", "seen_key"]

_SUFFIX: Final = 8
_ENTRY: Final = Struct("<8sIB")
_TAIL: Final = Struct("<IB")
_MOST_SLICES: Final = 16
_LEAST_POPULATED: Final = 1_000


class Seen:
    """Comparisons by id, target and role, and when their request started.

    Args:
        horizon_us: An id that comes again this much later, in event time, is another request.
    """

    def __init__(self, horizon_us: int) -> None:
        # Times are kept in seconds, rounded down.
        self._horizon = max(horizon_us // 1_000_000, 1)
        self._slices: dict[int, dict[bytes, bytearray]] = {}
        self._counts: Counter[int] = Counter()

    def __len__(self) -> int:
        """How many are known."""
        return self._counts.total()

    def add(self, key: bytes, started_us: int, *, missing: bool) -> None:
        """Remember a comparison (see `seen_key`); `missing` says that its other side never came."""
        second = min(started_us // 1_000_000, 0xFFFF_FFFF)
        number = second // self._horizon
        buckets = self._slices.get(number)
        if buckets is None:
            self._forget()
            buckets = self._slices[number] = {}
        entry = _ENTRY.pack(key[:_SUFFIX], second, missing)
        bucket = key[_SUFFIX:]
        known = buckets.get(bucket)
        if known is None:
            buckets[bucket] = bytearray(entry)
        else:
            known += entry
        self._counts[number] += 1

    def get(self, key: bytes, started_us: int) -> bool | None:
        """Whether what is known of this comparison is that its other side never came; None when nothing is known."""
        bucket = key[_SUFFIX:]
        number = min(started_us // 1_000_000, 0xFFFF_FFFF) // self._horizon
        found: bool | None = None
        for near, buckets in self._slices.items():
            if -1 <= near - number <= 1:
                entries = buckets.get(bucket)
                if entries is not None and key[:_SUFFIX] in entries:
                    known = self._look(entries, key[:_SUFFIX], started_us)
                    if known is False:
                        return False
                    found = known or found
        return found

    def _look(self, entries: bytearray, suffix: bytes, started_us: int) -> bool | None:
        """As `get`, of what one bucket holds."""
        second = min(started_us // 1_000_000, 0xFFFF_FFFF)
        found: bool | None = None
        place = entries.find(suffix)
        while place >= 0:
            if place % _ENTRY.size == 0:
                at, missing = _TAIL.unpack_from(entries, place + _SUFFIX)
                if abs(at - second) < self._horizon:
                    if not missing:
                        return False
                    found = True
            place = entries.find(suffix, place + 1)
        return found

    def _forget(self) -> None:
        """Make room for another slice."""
        populated = max(_LEAST_POPULATED, self._counts.total() // 100)
        newest = max((number for number, count in self._counts.items() if count >= populated), default=None)
        gone = [number for number in self._slices if newest is not None and number < newest - 1]
        if len(self._slices) - len(gone) >= _MOST_SLICES:
            gone.append(min(self._slices.keys() - set(gone), key=self._counts.__getitem__))
        for number in gone:
            del self._slices[number], self._counts[number]


def seen_key(request_id: str, target: str, role: str) -> bytes:
    """What a comparison is known by."""
    text = f"{role}\0{target}\0{request_id}"
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=_SUFFIX + 2).digest()
