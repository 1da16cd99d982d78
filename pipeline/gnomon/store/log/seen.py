"""What has landed within the horizon, 12 bytes a request, so that a day of it fits in memory.

A request is known by 80 bits of the MD5 of its id, which DuckDB can tell of millions: among a hundred million the
chance that any two are alike is one in 10^8. Entries are kept in 65,536 strings of bytes for each horizon's length of
event time; whole lengths are dropped when what still comes can no longer repeat them. A few rows from a clock that runs
far ahead drop nothing: only a length that holds a good share of all rows moves time on.
"""

from __future__ import annotations

from collections import Counter
from hashlib import md5
from struct import Struct
from typing import Any, Final

__all__ = ["Seen", "seen_key"]

_SUFFIX: Final = 8
_ENTRY: Final = Struct("<8sI")
_SECOND: Final = Struct("<I")
_ENTRIES: Final = [("suffix", "<u8"), ("second", "<u4")]
_LAST_SECOND: Final = 0xFFFF_FFFF
_MOST_SLICES: Final = 16
_LEAST_POPULATED: Final = 1_000


class Seen:
    """Requests by id, and when they started.

    One thread may add while others ask: each step on what both see is one of the interpreter's.

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

    def add(self, key: bytes, started_us: int) -> None:
        """Remember a request (see `seen_key`)."""
        second = min(started_us // 1_000_000, _LAST_SECOND)
        number = second // self._horizon
        buckets = self._slices.get(number)
        if buckets is None:
            buckets = self._slice(number)
        entry = _ENTRY.pack(key[:_SUFFIX], second)
        bucket = key[_SUFFIX:]
        known = buckets.get(bucket)
        if known is None:
            buckets[bucket] = bytearray(entry)
        elif entry in known:  # it was compared anew
            return
        else:
            known += entry
        self._counts[number] += 1

    def load(self, lower: Any, upper: Any, started_us: Any) -> None:  # noqa: ANN401 - numpy arrays
        """Remember many at once.

        Args:
            lower: `md5_number_lower` of their ids; what stands beside its equal counts once.
            upper: `md5_number_upper`.
            started_us: When they started.
        """
        import numpy as np  # noqa: PLC0415 - heavy, and readers of a store do without it

        if not len(lower):
            return
        seconds = np.clip(started_us // 1_000_000, 0, _LAST_SECOND)
        first = np.concatenate(([True], (lower[1:] != lower[:-1]) | (seconds[1:] != seconds[:-1])))
        entries = np.empty(int(first.sum()), _ENTRIES)
        entries["suffix"] = lower[first]
        entries["second"] = seconds[first]
        places = upper[first].astype("<u2")
        numbers = entries["second"] // self._horizon
        for number in np.unique(numbers).tolist():
            here = numbers == number
            order = np.argsort(places[here], kind="stable")
            sorted_places = places[here][order]
            data = entries[here][order].tobytes()
            starts = np.flatnonzero(np.concatenate(([True], sorted_places[1:] != sorted_places[:-1])))
            buckets = self._slices.get(number)
            if buckets is None:
                buckets = self._slice(number)
            ends = [*(starts[1:] * _ENTRY.size).tolist(), len(data)]
            names = sorted_places[starts].tobytes()
            for place, (start, end) in enumerate(zip((starts * _ENTRY.size).tolist(), ends, strict=True)):
                buckets.setdefault(names[2 * place : 2 * place + 2], bytearray()).extend(data[start:end])
            self._counts[number] += int(here.sum())

    def has(self, key: bytes, started_us: int) -> bool:
        """Whether a request is known that started within the horizon of this one."""
        bucket, suffix = key[_SUFFIX:], key[:_SUFFIX]
        number = min(started_us // 1_000_000, _LAST_SECOND) // self._horizon
        for near in (number, number - 1, number + 1):
            buckets = self._slices.get(near)
            if buckets is not None:
                entries = buckets.get(bucket)
                if entries is not None and suffix in entries and self._look(entries, suffix, started_us):
                    return True
        return False

    def _look(self, entries: bytearray, suffix: bytes, started_us: int) -> bool:
        """As `has`, of what one bucket holds."""
        second = min(started_us // 1_000_000, _LAST_SECOND)
        place = entries.find(suffix)
        while place >= 0:
            if place % _ENTRY.size == 0:
                (at,) = _SECOND.unpack_from(entries, place + _SUFFIX)
                if abs(at - second) < self._horizon:
                    return True
            place = entries.find(suffix, place + 1)
        return False

    def _slice(self, number: int) -> dict[bytes, bytearray]:
        """Make another slice, and room for it."""
        populated = max(_LEAST_POPULATED, self._counts.total() // 100)
        newest = max((number for number, count in self._counts.items() if count >= populated), default=None)
        gone = [number for number in self._slices if newest is not None and number < newest - 1]
        if len(self._slices) - len(gone) >= _MOST_SLICES:
            gone.append(min(self._slices.keys() - set(gone), key=self._counts.__getitem__))
        for one in gone:
            del self._slices[one], self._counts[one]
        buckets = self._slices[number] = {}
        return buckets


def seen_key(request_id: str) -> bytes:
    """What a request is known by."""
    digest = md5(request_id.encode("utf-8", "backslashreplace"), usedforsecurity=False).digest()
    return digest[8:] + digest[:2]
