"""What has been sent where, by rule: the rows of `routed`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from gnomon.core.routing import Late

__all__ = ["NOT_COUNTED", "Tally"]

SAMPLES: Final = 5
"""Places that are kept of what one rule sent to one destination in one minute."""
NOT_COUNTED: Final = "(not counted: the process ended before)"
"""The rule of events that were sent on by a process which did not live to count them."""


class _Count:
    """Events of one minute, rule and destination."""

    __slots__ = ("events", "first", "last", "samples")

    def __init__(self, first: int) -> None:
        self.events = 0
        self.first = first
        self.last = first
        self.samples: list[int] = []


class Tally:
    """Counts of one partition, by minute, rule and destination.

    Args:
        topic: The topic that events were read from.
        partition: Its partition.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self._topic = topic
        self._partition = partition
        self._counts: dict[tuple[datetime | None, str, str], _Count] = {}

    def __bool__(self) -> bool:
        """Whether anything was counted."""
        return bool(self._counts)

    def count(self, rule: str, destination: str, offset: int) -> None:
        """Count one event, of a minute that is not known yet (see `merge`); offsets ascend."""
        key = (None, rule, destination)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(offset)
        count.events += 1
        count.last = offset
        if len(count.samples) < SAMPLES:
            count.samples.append(offset)

    def count_clean(self, offsets: Sequence[int]) -> None:
        """Count clean events, at least one, in the same way; no places of them are kept."""
        key = (None, "", "clean")
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(offsets[0])
        count.events += len(offsets)
        count.last = offsets[-1]

    def correct(self, rule: str, late: Late) -> None:
        """Count events that a tag, found by a rule, came too late for: they are on the clean topic."""
        count = self._counts.setdefault((None, rule, "correction"), _Count(late.first))
        count.events += late.events
        count.first, count.last = min(count.first, late.first), max(count.last, late.last)
        if len(count.samples) < SAMPLES:
            count.samples.append(late.first)

    def count_unseen(self, minute: datetime, first: int, end: int) -> None:
        """Count offsets that were sent on by a process which did not live to say where."""
        count = self._counts[minute, NOT_COUNTED, "unknown"] = _Count(first)
        count.events, count.last = end - first, end - 1

    def merge(self, other: Tally, minute: datetime) -> None:
        """Take over what another one has counted since, as events of a minute."""
        for (_, rule, destination), count in other._counts.items():
            self._take((minute, rule, destination), count)

    def absorb(self, later: Tally) -> None:
        """Take over what another one has counted since, each of its own minute."""
        for key, count in later._counts.items():
            self._take(key, count)

    def _take(self, key: tuple[datetime | None, str, str], count: _Count) -> None:
        own = self._counts.get(key)
        if own is None:
            own = self._counts[key] = _Count(count.first)
        own.events += count.events
        own.first, own.last = min(own.first, count.first), max(own.last, count.last)
        own.samples = (own.samples + count.samples)[:SAMPLES]

    def totals(self) -> Iterable[tuple[str, str, int]]:
        """Give rule, destination and how many events, of all minutes."""
        return [(rule, to, count.events) for (_, rule, to), count in self._counts.items()]

    def rows(self) -> list[dict[str, Any]]:
        """Give the rows of `routed`."""
        return [
            {
                "minute": minute,
                "topic": self._topic,
                "partition": self._partition,
                "rule": rule,
                "destination": destination,
                "events": count.events,
                "first_offset": count.first,
                "last_offset": count.last,
                "samples": [f"{self._topic}[{self._partition}]@{offset}" for offset in count.samples],
            }
            for (minute, rule, destination), count in self._counts.items()
        ]
