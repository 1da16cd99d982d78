"""The worker: opens and closes partitions as the group assigns them, and hands each its records."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from aiokafka.errors import KafkaError
from faust.types import TP

from gnomon.config import Settings
from gnomon.engine import Engine
from gnomon.errors import DependencyError, GnomonError
from gnomon.evidence import EvidenceBudget
from gnomon.model import JsonValue, Place
from gnomon.operations import PartitionState, Readiness, WorkerMetrics
from gnomon.stream.intake import Intake, IntakeOptions
from gnomon.stream.landing import Log, Writer
from gnomon.stream.partition import LooksBack, Partition, Shared, Tells
from gnomon.stream.transport import Slice

__all__ = ["ConsumerPort", "Worker"]

logger = logging.getLogger(__name__)

_MICROSECOND: Final = timedelta(microseconds=1)
_DRAIN_SECONDS: Final = 20.0
_ANSWER_SECONDS: Final = 10.0
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)


class ConsumerPort(Protocol):
    """What the worker asks of the consumer (`gnomon.stream.transport.Consumer`)."""

    def is_current(self, tp: TP, part: Slice) -> bool:
        """Whether a slice is from after the last seek."""

    def landed(self, tp: TP, offset: int) -> None:
        """Allow that everything below an offset is committed."""

    async def seek(self, partition: TP, offset: int) -> None:
        """Read on from an offset."""

    def highwater(self, tp: TP) -> int | None:
        """Give where a partition ended when it was last fetched from."""

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Ask the broker where partitions begin."""

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Ask the broker where partitions end."""

    async def is_past(self, tp: TP, end: int, following: int) -> bool:
        """Whether no record is left below an end for who has taken those below another offset."""


class _Loss(NamedTuple):
    """When another took a partition over, the first time and the last."""

    first: float
    last: float


class Worker:
    """All partitions of one process.

    Args:
        settings: How records are joined, and bounds.
        engine: Compares.
        log: Where results land.
        lookback: Reads records again.
        outlet: Tells others.
    """

    def __init__(self, settings: Settings, engine: Engine, log: Log, lookback: LooksBack, outlet: Tells) -> None:
        self._settings = settings
        self._log = log
        self.partitions: dict[TP, Partition] = {}
        self.readiness = Readiness(["kafka"])
        self.metrics = WorkerMetrics(self.readiness, self.states)
        self._lost: dict[TP, _Loss] = {}
        self._committed: dict[TP, int | None] = {}
        self.stopping = False
        self._assigned = 1
        self._opening = asyncio.Lock()
        self._gaps: dict[TP, int] = {}
        self._rules_landed = False
        self._ends: dict[TP, int] = {}
        self._shared = Shared(
            engine=engine,
            evidence=EvidenceBudget(settings.limits.evidence, settings.store.horizon),
            lookback=lookback,
            outlet=outlet,
            clock_us=_clock_us,
            lost=self._lose,
            readiness=self.readiness,
            metrics=self.metrics,
        )

    async def start_offsets(self, consumer: ConsumerPort, committed: Mapping[TP, int | None]) -> dict[TP, int]:
        """Open what is newly assigned and say where each partition is read from.

        A partition whose series cannot be opened yet is left out: it is opened when its first records come.
        """
        async with self._opening:
            self._assigned = max(len(committed), 1)
            self._committed = dict(committed)
            ends = await self._ends_of(consumer, committed)
            tps = sorted(committed)
            starts = await asyncio.gather(*(self._start_of(consumer, tp, committed[tp], ends.get(tp)) for tp in tps))
            self.readiness.ready("kafka")
            return {tp: start for tp, start in zip(tps, starts, strict=True) if start is not None}

    async def _ends_of(self, consumer: ConsumerPort, tps: Iterable[TP]) -> Mapping[TP, int]:
        """Ask where partitions end; where the broker does not answer, positions are believed."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await consumer.highwaters(*tps)
        except (KafkaError, TimeoutError) as error:
            logger.warning("the broker does not say where partitions end: %s", error or "no answer in time")
            return {}

    async def _start_of(self, consumer: ConsumerPort, tp: TP, committed: int | None, end: int | None) -> int | None:
        partition = self.partitions.get(tp)
        if partition is not None and not partition.closed:
            last = partition.intake.last
            if last is None or not await self._holds_another(tp, *last):
                return partition.intake.offsets.following
            committed = (await consumer.earliest_offsets(tp)).get(tp, 0)
        await self.revoke([tp])
        try:
            return await self._open(consumer, tp, committed, end)
        except DependencyError as error:
            self._note(tp, error)
            return None

    def states(self) -> list[PartitionState]:
        """Say where each partition stands."""
        return [
            PartitionState(
                topic=tp.topic,
                partition=tp.partition,
                lag_records=max(self._ends.get(tp, 0) - partition.intake.offsets.following, 0),
                watermark_age_seconds=(_clock_us() - partition.intake.joiner.watermark_us) / 1e6
                if partition.intake.joiner.watermark_us
                else None,
                pending_requests=len(partition.intake.joiner),
                pending_bytes=partition.intake.joiner.size,
            )
            for tp, partition in self.partitions.items()
        ]

    async def take(self, consumer: ConsumerPort, tp: TP, part: Slice) -> None:
        """Take what one poll brought of one partition."""
        tried = 0
        while not self.stopping and consumer.is_current(tp, part):
            partition = self.partitions.get(tp)
            if partition is not None:
                if await self._is_next(consumer, tp, partition, part.records[0].offset):
                    await partition.take(part.records)
                return
            try:
                async with self._opening:
                    if tp in self.partitions:
                        continue
                    end = (await consumer.highwaters(tp)).get(tp)
                    start = await self._open(consumer, tp, None, end)
            except (DependencyError, KafkaError, TimeoutError) as error:
                self._note(tp, error)
                await asyncio.sleep(_PAUSES[min(tried, len(_PAUSES) - 1)])
                tried += 1
                continue
            self.readiness.forget(_name(tp))
            if start is not None and start != part.records[0].offset:
                await consumer.seek(tp, start)

    async def _is_next(self, consumer: ConsumerPort, tp: TP, partition: Partition, first: int) -> bool:
        """Whether records from `first` on follow those that were read; if some are left out, look once more.

        Compacted topics and transactions leave offsets out; then the same comes again, and is taken.
        """
        following = partition.intake.offsets.following
        if first <= following or not following or self._gaps.get(tp) == following:
            return True
        self._gaps[tp] = following
        await consumer.seek(tp, following)
        return False

    async def tick(self, consumer: ConsumerPort) -> None:
        """Land what is due and let time pass in idle partitions; to be called several times a second.

        Raises:
            KafkaError, TimeoutError: The broker does not answer.
        """
        for tp, partition in list(self.partitions.items()):

            async def is_idle(tp: TP = tp, partition: Partition = partition) -> bool:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    end = (await consumer.highwaters(tp)).get(tp)
                    return end is not None and await consumer.is_past(tp, end, partition.intake.offsets.following)

            await partition.tick(is_idle)
            with suppress(AssertionError):  # it is no longer ours
                end, following = consumer.highwater(tp) or 0, partition.intake.offsets.following
                self._ends[tp] = following if await consumer.is_past(tp, end, following) else end

    async def take_back(self, consumer: ConsumerPort, seconds: float) -> None:
        """Open anew what another has taken over, and what is ours all the same `seconds` later, by the group's word.

        So it is where another was still opening a partition while the group gave it to us. One that has moved away from
        us is revoked before that.

        Raises:
            KafkaError, TimeoutError: The broker does not answer.
        """
        for tp, loss in list(self._lost.items()):
            partition = self.partitions.get(tp)
            if partition is None or not partition.closed or time.monotonic() - loss.last < seconds:
                continue
            logger.warning("%s is taken back: in the group it is ours", _name(tp))
            async with self._opening:
                end = (await consumer.highwaters(tp)).get(tp)
                start = await self._start_of(consumer, tp, self._committed.get(tp), end)
                self._lost[tp] = loss
            await consumer.seek(tp, start or 0)

    def usurped(self, seconds: float) -> TP | None:
        """Give a partition that is ours, by the group's word, and that another takes over for `seconds` already.

        So it is where two groups write one store.
        """
        now = time.monotonic()
        for tp, loss in list(self._lost.items()):
            partition = self.partitions.get(tp)
            if partition is None:
                continue
            if partition.closed and now - loss.first > seconds:
                return tp
            if not partition.closed and now - loss.last > 2 * seconds:
                del self._lost[tp]  # it has held
        return None

    async def maintain(self) -> None:
        """Keep the store in order; to be called now and then. What fails is tried again the next time."""
        try:
            if not self._rules_landed and self.partitions:
                rules = self._shared.engine.rules
                await asyncio.to_thread(self._log.land_rules, rules.version, rules.text)
                self._rules_landed = True
            if self.partitions:
                damaged = await asyncio.to_thread(self._log.maintain)
                self.metrics.damaged_files.set(len(damaged))
        except GnomonError as error:
            logger.warning("the store could not be put in order, it is tried again: %s", error)
        except Exception:
            # Nothing that lands depends on it
            logger.exception("a bug of ours kept the store from being put in order, it is tried again")

    async def revoke(self, tps: Iterable[TP]) -> None:
        """Drop the state of partitions; their next owner reads it again."""
        partitions = [self.partitions.pop(tp) for tp in tps if tp in self.partitions]
        for tp in tps:
            self._lost.pop(tp, None)
            self.readiness.forget(_name(tp))
        if partitions:
            await asyncio.gather(*(partition.close() for partition in partitions))

    async def stop(self) -> None:
        """Land what is complete, within some seconds."""
        self.stopping = True
        partitions = list(self.partitions.values())
        if partitions:
            drains = [asyncio.create_task(partition.drain()) for partition in partitions]
            _, late = await asyncio.wait(drains, timeout=_DRAIN_SECONDS)
            if late:
                logger.warning("%d partitions could not land all that was complete; it is read again", len(late))
            for drain in late:
                drain.cancel()
        await self._shared.lookback.close()

    def _lose(self, topic: str, number: int) -> None:
        now, tp = time.monotonic(), TP(topic, number)
        known = self._lost.get(tp)
        self._lost[tp] = _Loss(known.first if known else now, now)

    async def _open(self, consumer: ConsumerPort, tp: TP, committed: int | None, end: int | None) -> int | None:
        """Take a partition over; give where to read from, None for wherever the consumer stands.

        The log's word counts: a batch and its position land together. What is committed on Kafka is behind it, and
        counts where the log knows nothing. Positions past the end, and those behind another record than was read, are
        those of a topic that is gone.
        """
        writer = await asyncio.to_thread(self._log.open, tp.topic, tp.partition)
        state: dict[str, JsonValue] = dict(writer.state)
        if not state and committed is not None:
            state = {"following": committed}
        if state:
            state = await self._within_topic(consumer, tp, state, end)
        place = Place(tp.topic, partition=tp.partition)
        counts = self._shared.engine.populations()
        intake = Intake(place, self._options(writer.horizon), state, writer.landed, counts)
        self.partitions[tp] = self._partition(consumer, tp, place, intake, writer)
        logger.info("%s[%d] is read from %d", tp.topic, tp.partition, intake.offsets.following)
        return intake.offsets.following if state else None

    async def _within_topic(
        self, consumer: ConsumerPort, tp: TP, state: dict[str, JsonValue], end: int | None
    ) -> dict[str, JsonValue]:
        if end is None:
            return state
        match state:
            case {"following": int(following)} if following > end:
                why = f"ends at {end}, before {following} where it was read to"
            case {"last": [int(offset), int(timestamp)]} if await self._holds_another(tp, offset, timestamp):
                why = f"has another record at {offset} than was read there"
            case _:
                return state
        beginning = (await consumer.earliest_offsets(tp)).get(tp, 0)
        logger.warning("%s[%d] %s: it was made anew, and is read from its beginning", tp.topic, tp.partition, why)
        return {"following": beginning}

    async def _holds_another(self, tp: TP, offset: int, timestamp: int) -> bool:
        """Whether a record that was read has given way to another; where nobody can say, it has not."""
        try:
            record = (await self._shared.lookback.read(tp.topic, tp.partition, [offset])).get(offset)
        except DependencyError as error:
            logger.warning("%s[%d] may have been made anew: %s", tp.topic, tp.partition, error)
            return False
        return record is not None and record.timestamp != timestamp

    def _partition(self, consumer: ConsumerPort, tp: TP, place: Place, intake: Intake, writer: Writer) -> Partition:
        return Partition(place, intake, writer, self._shared, lambda offset: consumer.landed(tp, offset))

    def _options(self, horizon: timedelta) -> IntakeOptions:
        join = self._settings.join
        return IntakeOptions(
            window_us=join.window // _MICROSECOND,
            lateness_us=join.lateness // _MICROSECOND,
            skew_us=join.skew // _MICROSECOND,
            horizon_us=horizon // _MICROSECOND,
            expect=join.expect,
            memory=self._settings.limits.pending_bytes // self._assigned,
        )

    def _note(self, tp: TP, error: Exception) -> None:
        reason = str(error) or "no answer in time"
        if self.readiness.reasons.get(_name(tp)) != reason:
            logger.warning("%s is held up: %s", _name(tp), reason)
        self.readiness.not_ready(_name(tp), reason)


def _name(tp: TP) -> str:
    return f"{tp.topic}[{tp.partition}]"


def _clock_us() -> int:
    return time.time_ns() // 1000
