"""What judges the events of a route: its tags, with the schemas and the memory that they need."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeAlias

from gnomon.core.routing import EventRouter, Routing
from gnomon.core.taint import PartitionTaint, TaintedIds
from gnomon.stream.route.registry import Schemas

__all__ = ["PartitionJudge", "ReadBack", "RouteJudge"]

_SLACK_MS: Final = 60_000
"""How far timestamps may go back in a partition before what was tagged earlier still is read too."""

Records: TypeAlias = Sequence[Any]
ReadBack: TypeAlias = Callable[[str, int, int], AsyncIterator[Records]]
"""Reads what is committed of a topic's partition from a time on, in epoch milliseconds; raises DependencyError."""


class RouteJudge:
    """Judges the events of one route.

    Args:
        router: What the tags say.
        schemas: The schemas of its values, where they have some.
        tainted: Ids that make events synthetic, where it has taint.
        synthetic: The topic that its synthetic events are on.
        read_back: Reads that topic, for ids to be known again.
    """

    def __init__(
        self,
        router: EventRouter,
        schemas: Schemas | None = None,
        *,
        tainted: TaintedIds | None = None,
        synthetic: str = "",
        read_back: ReadBack | None = None,
    ) -> None:
        self.router = router
        self.judge: Callable[[Any], Routing] = router.judge
        """Says where a record goes by its own tags; see `prepare`."""
        self.schemas = schemas
        self.tainted = tainted
        self.synthetic = synthetic
        self.read_back = read_back

    async def prepare(self, records: Records) -> None:
        """Get what `judge` needs for records, which has to follow before anything else is awaited.

        Raises:
            DependencyError: A schema cannot be had.
        """
        if self.schemas is not None:
            await self.schemas.prepare(records)

    def of_partition(self, partition: int) -> PartitionJudge:
        """Give what judges the records of a partition in their order, by whoever has just taken it over."""
        return PartitionJudge(self, partition)


class PartitionJudge:
    """Judges the records of one partition, in their order; by their own tags and by what was tagged before.

    What was tagged before is known again after a restart: it is on the synthetic topic, in the partition of the same
    number, put there in the transactions that moved the position on.
    """

    def __init__(self, route: RouteJudge, partition: int) -> None:
        self._route = route
        self._partition = partition
        self._taint = None if route.tainted is None else PartitionTaint(route.tainted)
        self._recalls = route.tainted is not None and route.read_back is not None
        self._slack_ms = _SLACK_MS
        self._known_from: float = float("inf")
        """All tags are known that hold at this time, in epoch milliseconds, or later."""
        self.judge: Callable[[Any], Routing] = route.judge if self._taint is None else self._judge_tainted
        """Says where a record goes; `prepare` has to come before, and nothing that is awaited in between."""

    def is_prepared(self, records: Records) -> bool:
        """Whether `judge` could judge these records now."""
        if self._recalls and _earliest(records) < self._known_from:
            return False
        return self._route.schemas is None or not self._route.schemas.lacking(records)

    async def prepare(self, records: Records) -> None:
        """Get what `judge` needs for records, which has to follow before anything else is awaited.

        Raises:
            DependencyError: A schema or the synthetic topic cannot be had.
        """
        if self._recalls and (earliest := _earliest(records)) < self._known_from:
            await self._recall(earliest)
        await self._route.prepare(records)

    def commit(self) -> None:
        """Take note that what was judged since the last time is committed."""
        if self._taint is not None:
            self._taint.commit()

    def _judge_tainted(self, record: Any) -> Routing:  # noqa: ANN401 - aiokafka has no types
        routing, document = self._route.router.look(record)
        taint, tainted = self._taint, self._route.tainted
        if taint is None or tainted is None or document is None:
            return routing
        return taint.judge(routing, tainted.ids(document), record.key, record.offset, _time_of(record))

    async def _recall(self, earliest: int) -> None:
        """Read back what holds at a time or later; twice as much more as before, so that it is seldom asked for."""
        tainted, read_back = self._route.tainted, self._route.read_back
        if tainted is None or read_back is None:
            return
        since = earliest - tainted.milliseconds - self._slack_ms
        async for records in read_back(self._route.synthetic, self._partition, max(since, 0)):
            await self._route.prepare(records)
            for record in records:
                routing, document = self._route.router.look(record)
                if routing.to == "synthetic":
                    tainted.mark(tainted.ids(document), _time_of(record))
        self._known_from = since + tainted.milliseconds if since > 0 else float("-inf")
        self._slack_ms *= 2


def _earliest(records: Records) -> int:
    earliest: int = min([record.timestamp for record in records])
    return min(earliest, _now())


def _time_of(record: Any) -> int:  # noqa: ANN401 - aiokafka has no types
    return min(int(record.timestamp), _now())


def _now() -> int:
    return time.time_ns() // 1_000_000
