"""One partition of a worker: what its records come to is compared, landed, and only then done with.

Records are taken in while the batch before them is on its way to the disk, never more than one: a store that is slow
or failing holds the partition up, and with it the consumer. Work is cut into slices of some milliseconds, so that the
event loop can always answer the group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from time import perf_counter
from typing import Final, Protocol, TypeVar

import msgspec

from gnomon.core.join import LIVE, Joined, Member, Slot
from gnomon.core.window import Found, Recall
from gnomon.engine import Engine
from gnomon.errors import DependencyError, FencedError
from gnomon.evidence import EvidenceBudget
from gnomon.model import Comparison, Difference, Exchange, Place, Reject, instant
from gnomon.operations import Readiness, WorkerMetrics
from gnomon.store.log import Batch, LandedRow, Position
from gnomon.stream.intake import Collected, Counts, Intake, Record, read_record
from gnomon.stream.landing import Writer

__all__ = ["Partition", "Shared"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

_RECORDS_A_SLICE: Final = 100
_SECONDS_A_SLICE: Final = 0.02
_REQUESTS_A_BATCH: Final = 5000
_RECALLS_AT_ONCE: Final = 5000
_SECONDS_A_BATCH: Final = 0.5
_SECONDS_OF_PATIENCE: Final = 0.2
"""How long what is complete waits at least, for a control that nobody announced or a duplicate."""

_SECONDS_WITHOUT_RESULTS: Final = 10.0
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)


class LooksBack(Protocol):
    """Reads records again by their offsets; those that are gone are missing."""

    async def read(self, topic: str, partition: int, offsets: Sequence[int], /) -> dict[int, Record]:
        """Raises DependencyError when the broker does not answer."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""


class Tells(Protocol):
    """Tells others what was found."""

    async def send(self, rejects: Sequence[Reject], comparisons: Sequence[Comparison]) -> None:
        """Give up after a while; never raise for what the broker does."""


class Shared(msgspec.Struct, kw_only=True):
    """What the partitions of a worker have in common.

    `clock_us` tells the time in epoch microseconds; `lost` is called when another owner has taken a partition over.
    """

    engine: Engine
    evidence: EvidenceBudget
    lookback: LooksBack
    outlet: Tells
    clock_us: Callable[[], int]
    lost: Callable[[str, int], None]
    readiness: Readiness
    metrics: WorkerMetrics


class Partition:
    """The records of one partition from the consumer to the store.

    Args:
        place: The topic and the partition.
        intake: Where its records are joined.
        writer: Where results land.
        shared: What it has in common with others.
        landed: Called with the offset below which all is durable.
    """

    def __init__(
        self, place: Place, intake: Intake, writer: Writer, shared: Shared, landed: Callable[[int], None]
    ) -> None:
        self.topic, self.number = place.source, place.partition or 0
        self.intake = intake
        self._writer = writer
        self._shared = shared
        self._landed = landed
        self._lock = asyncio.Lock()
        self._landing: asyncio.Task[None] | None = None
        self._name = f"{self.topic}[{self.number}]"
        self._began = perf_counter()
        self._settled_at: float | None = None
        self._told = Counts()
        self.closed = False
        self.stopping = False

    async def take(self, records: Sequence[Record]) -> None:
        """Take a slice of records in, and land what is due; returns early when the partition is closed."""
        async with self._lock:
            for start in range(0, len(records), _RECORDS_A_SLICE):
                if self.closed or self.stopping:
                    return
                self._take(records[start : start + _RECORDS_A_SLICE])
                await asyncio.sleep(0)
                if self._due():
                    await self._flush()

    async def tick(self, is_idle: Callable[[], Awaitable[bool]]) -> None:
        """Land what has become due; let time pass where nothing comes, which `is_idle` finds out."""
        if self._lock.locked() or self.closed:
            return
        async with self._lock:
            if self.intake.idle(self._shared.clock_us()) and await is_idle():
                self.intake.flow(self._shared.clock_us())
            if self._due() and (self._landing is None or self._landing.done()):
                await self._flush()

    async def drain(self) -> None:
        """Land all that is complete; for the end."""
        self.stopping = True
        async with self._lock:
            while self.intake.has_work and not self.closed:
                await self._flush()
            await self._landed_before()

    async def close(self) -> None:
        """Drop what is not landed; a batch that is on its way to the disk is waited for, for a while."""
        self.closed = True
        self._shared.readiness.forget(self._name)
        if self._landing is not None:
            await asyncio.wait({self._landing}, timeout=5)
        await asyncio.to_thread(self._writer.close)

    def _take(self, records: Sequence[Record]) -> None:
        idle = not self.intake.has_work
        now_us = self._shared.clock_us()
        for record in records:
            self.intake.take(record, now_us)
        self.intake.shed()
        if idle:
            self._begin()
        self._count()

    def _count(self) -> None:
        """Tell the metrics what has been counted since the last time."""
        counts, metrics = self.intake.counts, self._shared.metrics
        metrics.records.labels(self.topic).inc(counts.records - self._told.records)
        metrics.evictions.inc(counts.evicted - self._told.evicted)
        metrics.clock_skew_records.inc(counts.ahead - self._told.ahead)
        self._told = msgspec.structs.replace(counts)

    def _begin(self) -> None:
        """Begin a batch."""
        self._began, self._settled_at = perf_counter(), None

    def _due(self) -> bool:
        """Whether a batch is to land; a moment before, what is complete settles."""
        intake = self.intake
        if not intake.has_work:
            return False
        now = perf_counter()
        if self._settled_at is None and now - self._began >= _SECONDS_A_BATCH - _SECONDS_OF_PATIENCE:
            intake.settle()
            self._settled_at = now
        if intake.ready >= _REQUESTS_A_BATCH or len(intake.recalls) >= _RECALLS_AT_ONCE:
            return True
        if not intake.has_results:
            return now - self._began >= _SECONDS_WITHOUT_RESULTS
        return self._settled_at is not None and now - self._settled_at >= _SECONDS_OF_PATIENCE

    async def _flush(self) -> None:
        """Look up, compare, and hand a batch over to be landed."""
        await self._answer()
        await self._landed_before()
        if self.closed:
            return
        self._begin()
        everything = self.stopping or self.intake.ready >= _REQUESTS_A_BATCH
        collected = self.intake.collect(everything=everything)
        if collected.is_empty:
            return
        batch = await self._compare(collected)
        if batch is not None:
            self._landing = asyncio.create_task(self._land(batch, collected))

    async def _landed_before(self) -> None:
        """Wait for the batch before; there is never more than one on its way.

        Raises what ended its landing: its records count as done with, so nothing may land or be committed after it.
        """
        if self._landing is not None:
            await asyncio.wait({self._landing})
            self._landing.result()

    async def _compare(self, collected: Collected) -> Batch | None:
        """Compare in slices; None when the partition was closed meanwhile."""
        engine = self._shared.engine
        rows: list[tuple[Comparison, Sequence[Difference]]] = []
        exchanges = []
        rejects = [engine.redact_reject(reject) for reject in collected.rejects]
        replaced: list[tuple[str, datetime]] = []
        doubled: dict[str, int] = {}
        began, spent = perf_counter(), 0.0
        for given in collected.given:
            joined = given.joined
            if given.replaces:
                replaced += [(joined.request_id, instant(started_us)) for started_us in given.replaces]
            try:
                request = engine.compare(joined)
            except Exception as bug:
                # One request must not hold up all others: it would be read, and fail, again and again
                logger.exception("a bug of ours: %s", _where(joined))
                rejects += _bugs(joined, bug)
                continue
            rows += [(compared.comparison, compared.differences) for compared in request.compared]
            if joined.duplicates and LIVE in joined.duplicates:
                doubled[joined.request_id] = joined.duplicates[LIVE]
            if self._shared.evidence.wants(request, again=bool(given.replaces)):
                started_at = request.compared[0].comparison.started_at
                exchanges += [(exchange, request.endpoint, started_at) for exchange in engine.evidence(request)]
            if perf_counter() - began > _SECONDS_A_SLICE:
                spent += perf_counter() - began
                await asyncio.sleep(0)
                if self.closed:
                    return None
                began = perf_counter()
        self._shared.metrics.batch_seconds.observe(spent + perf_counter() - began)
        return Batch(
            comparisons=rows,
            replaced=replaced,
            live_duplicates=doubled,
            exchanges=exchanges,
            rejects=rejects,
            populations=collected.populations,
            position=Position(self.topic, self.number, self.intake.offsets.position),
            state=self.intake.handed_on(),
        )

    async def _land(self, batch: Batch, collected: Collected) -> None:
        """Land a batch, however long it takes; say meanwhile what is in the way."""
        comparisons = [comparison for comparison, _ in batch.comparisons]
        try:
            await self._shared.outlet.send(batch.rejects, comparisons)
            began = perf_counter()
            await self._insist(lambda: asyncio.to_thread(self._writer.land, batch))
        except FencedError:
            logger.warning(
                "%s[%d] has another owner now; what it was about to land is dropped", self.topic, self.number
            )
            self.closed = True
            self._shared.lost(self.topic, self.number)
            return
        except BaseException:
            self.closed = True
            raise
        if self.closed:
            return
        self._shared.metrics.landing_seconds.observe(perf_counter() - began)
        self._shared.metrics.count_landed(comparisons, batch.rejects)
        self.intake.has_landed(collected)
        self._landed(batch.position.offset)

    async def _insist(self, attempt: Callable[[], Awaitable[T]]) -> T | None:
        """Try until it works or the partition is closed; say meanwhile what is in the way."""
        tried = 0
        while not self.closed:
            try:
                result = await attempt()
            except DependencyError as error:
                if not tried:
                    logger.warning("%s is held up: %s", self._name, error)
                self._shared.readiness.not_ready(self._name, str(error))
                await asyncio.sleep(_PAUSES[min(tried, len(_PAUSES) - 1)])
                tried += 1
            else:
                if tried:
                    logger.warning("%s goes on", self._name)
                    self._shared.readiness.forget(self._name)
                return result
        return None

    async def _answer(self) -> None:
        """Find the records that are asked for, in the log and on Kafka."""
        recalls, self.intake.recalls = self.intake.recalls, []
        if not recalls:
            return
        rows = await self._find([recall for recall in recalls if recall.given])
        wanted = {recall.request_id: _offsets(recall, rows.get(recall.request_id, [])) for recall in recalls}
        offsets = sorted({offset for of_one in wanted.values() for offset in of_one})
        records = await self._insist(lambda: self._shared.lookback.read(self.topic, self.number, offsets))
        if records is None or self.closed:
            return
        for recall in recalls:
            of_one = wanted[recall.request_id]
            read = [one for offset in of_one if offset in records for one in self._decode(records[offset], recall)]
            self.intake.answer(recall, _found(read, rows.get(recall.request_id, []), len(of_one)))
            await asyncio.sleep(0)

    async def _find(self, recalls: Sequence[Recall]) -> dict[str, list[LandedRow]]:
        """Find what has landed of requests, by id."""
        rows: dict[str, list[LandedRow]] = {}
        if recalls:
            await self._landed_before()
            asked = {recall.request_id: instant(recall.started_us) for recall in recalls}
            for row in await self._insist(lambda: asyncio.to_thread(self._writer.find, asked)) or ():
                rows.setdefault(row.comparison.request_id, []).append(row)
        return rows

    def _decode(self, record: Record, recall: Recall) -> list[tuple[Member, int]]:
        """Read a record again: who it is, and its event time."""
        place = Place(self.topic, partition=self.number, offset=record.offset)
        exchange = read_record(record, place)
        if not isinstance(exchange, Exchange) or exchange.request_id != recall.request_id:
            return []
        return [(Member(exchange, place), self.intake.time_of(record, exchange, self._shared.clock_us()))]


def _offsets(recall: Recall, rows: Sequence[LandedRow]) -> list[int]:
    """Say where the records of a request are; the places of those put out of memory, or what its rows tell."""
    known = [place.offset for place in recall.places]
    known += [offset for row in rows for offset in (row.comparison.live_offset, row.comparison.shadow_offset)]
    return sorted({offset for offset in known if offset is not None})


def _found(read: list[tuple[Member, int]], rows: Sequence[LandedRow], wanted: int) -> Found:
    """Answer a recall by records in their order; those that are gone in part are gone altogether.

    What is left of them says something else.
    """
    if len(read) < wanted:
        return Found(gone=True)
    duplicates: dict[Slot, int] = {}
    late: set[Slot] = set()
    for row in rows:
        comparison = row.comparison
        slot: Slot = (comparison.role, comparison.target) if comparison.shadow_offset is not None else LIVE
        if slot != LIVE and comparison.duplicates > row.live_duplicates:
            duplicates[slot] = comparison.duplicates - row.live_duplicates
        if row.live_duplicates:
            duplicates[LIVE] = row.live_duplicates
        if comparison.late:
            late.add(slot)
    return Found([member for member, _ in read], duplicates, frozenset(late), at_us=read[0][1] if read else 0)


def _places(joined: Joined) -> list[Place]:
    members = [*([joined.live] if joined.live else []), *joined.others.values()]
    return [member.place for member in members if member.place is not None]


def _where(joined: Joined) -> str:
    return "the request at " + ", ".join(map(str, _places(joined))) + " cannot be compared"


def _bugs(joined: Joined, bug: Exception) -> list[Reject]:
    """What becomes of the records of a request that cannot be compared."""
    reason = f"it cannot be compared, which is a bug of Gnomon's: {type(bug).__name__}"
    return [Reject(place, reason) for place in _places(joined)]
